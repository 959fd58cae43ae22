"""Count, percentiles, success, tokens and cost of runs, group by group."""

from dataclasses import dataclass

from refinery.intervals import wilson
from refinery.performance.frames import Frame, group_sql
from refinery.performance.sql import Reader

MAX_GROUPS = 1_000
"""Most groups of a report, those that took the most time first."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the runs of one group cost; None: nothing in the group says it."""

    key: str | None
    """None: the runs that have none."""
    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    """Percentiles of the duration, interpolated linearly."""
    max_ms: float | None
    total_ms: float
    errors: int
    success_rate: float | None
    """Of the runs that ended well or in an error; others count for neither."""
    success_interval: tuple[float, float] | None
    """95 % Wilson interval."""
    cpu_p50_ms: float | None
    rss_p90_mb: float | None
    """Growth of the resident memory during a run, mebibytes."""
    io_p90_mb: float | None
    tokens: int | None
    """Of leaf model calls in the group; parents that repeat them do not count."""
    cost_usd: float | None
    first_ns: int | None
    last_ns: int | None
    """Start of the earliest and latest run."""
    name: str | None = None
    """Of a variant: the commonest name of its runs."""


_SQL = """SELECT {key} AS key, count(*), quantile_cont(duration_ms, [0.5, 0.9, 0.99]),
    max(duration_ms), coalesce(sum(duration_ms), 0), count(*) FILTER (status = 'error'),
    count(*) FILTER (status = 'ok'), quantile_cont(cpu_ms, 0.5),
    quantile_cont(rss_delta_bytes, 0.9) / 1048576, quantile_cont(io_bytes, 0.9) / 1048576,
    min(start_ns), max(start_ns), {name}
FROM runs AS one WHERE {where} GROUP BY 1 ORDER BY 5 DESC, 1 LIMIT {limit}"""
_MODEL_SQL = """SELECT {key} AS key, sum(total_tokens), sum(cost_usd)
FROM model_calls AS one WHERE {where} GROUP BY 1"""


def figures(reader: Reader, frame: Frame, group: str, limit: int = MAX_GROUPS) -> list[Figures]:
    """Figures of the runs in a frame by group, the most time in all first.

    Raises:
        InputError: nothing to group by has that name.
    """
    where, parameters = frame.where()
    parts = {
        "key": group_sql(group),
        "where": where,
        "limit": max(1, min(limit, MAX_GROUPS)),
        "name": "mode(name)" if group == "variant" else "NULL",
    }
    spent = {
        key: (tokens, cost)
        for key, tokens, cost in reader.query(_MODEL_SQL.format(**parts), parameters)
    }
    found = reader.query(_SQL.format(**parts), parameters)
    return [_figures(row, spent.get(row[0], (None, None))) for row in found]


def _figures(row: tuple, spent: tuple[int | None, float | None]) -> Figures:  # type: ignore[type-arg]  # of DuckDB
    key, count, percentiles, longest, total, errors, passed, *rest = row
    cpu, rss, io, first, last, name = rest
    p50, p90, p99 = percentiles or (None, None, None)
    judged = passed + errors
    return Figures(
        key=key,
        count=count,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        max_ms=longest,
        total_ms=total,
        errors=errors,
        success_rate=passed / judged if judged else None,
        success_interval=wilson(passed, judged),
        cpu_p50_ms=cpu,
        rss_p90_mb=rss,
        io_p90_mb=io,
        tokens=None if spent[0] is None else int(spent[0]),
        cost_usd=spent[1],
        first_ns=first,
        last_ns=last,
        name=name,
    )
