"""What runs cost, over the whole store: reports, summaries for pages, and SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.performance import sql as asking
from refinery.performance.costly_paths import CostlyPath, costly_paths
from refinery.performance.critical_path import Paths, critical_paths
from refinery.performance.error_patterns import ErrorPattern, error_patterns
from refinery.performance.figures import Figures, figures
from refinery.performance.frames import GROUPS, Frame, group_sql
from refinery.performance.regressions import Regression, regressions
from refinery.ports import Analysing, Store

BUCKETS = 60
"""Most buckets of time in a summary."""
_WIDTHS_S = (60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000)


@dataclass(frozen=True, slots=True)
class Report:
    """What the runs of a frame cost."""

    frame: Frame
    group: str
    figures: tuple[Figures, ...]
    errors: tuple[ErrorPattern, ...]
    paths: Paths
    costs: tuple[CostlyPath, ...]
    regressions: tuple[Regression, ...]
    """Against the other frame; empty when none was given."""


def report(
    store: Store,
    frame: Frame,
    group: str = "name",
    *,
    against: Frame | None = None,
    limit: int = 30,
) -> Report:
    """Figures, error patterns, critical paths and, against another frame, regressions.

    Args:
        store: holds the runs.
        frame: which runs.
        group: one of `frames.GROUPS`.
        against: what the frame is compared with.
        limit: most lines of each part.

    Raises:
        InputError: there is no such group, or the store keeps no copy for SQL.
        StoreError: the copy is in use by another program.
    """
    group_sql(group)
    with asking.open_reader(analysing(store).analytics()) as reader:
        return Report(
            frame,
            group,
            tuple(figures(reader, frame, group, limit)),
            tuple(error_patterns(reader, frame, limit)),
            critical_paths(reader, frame),
            tuple(costly_paths(reader, frame, limit)),
            tuple(regressions(reader, against, frame, group)[:limit]) if against else (),
        )


def ask(
    store: Store, sql: str, *, max_rows: int = asking.MAX_ROWS, timeout_s: float = asking.TIMEOUT_S
) -> asking.Table:
    """The answer to one SELECT over `runs`, `traces`, `feedback` and `model_calls`.

    Raises:
        RefusedError: it is not one SELECT, or reaches for other files.
        InputError: it is not SQL, or names what is not there.
        BudgetError: it took too long or too much memory.
    """
    with asking.open_reader(analysing(store).analytics()) as reader:
        return reader.ask(sql, max_rows=max_rows, timeout_s=timeout_s)


def summary(
    store: Store,
    since_ns: int | None = None,
    until_ns: int | None = None,
    group: str = "name",
    *,
    project: str | None = None,
) -> dict[str, Json]:
    """Figures by group and by time, for a page; every value is JSON.

    Args:
        store: holds the runs.
        since_ns: earliest start, nanoseconds UTC; None: the first run.
        until_ns: end of the range, not included; None: the last run.
        group: one of `frames.GROUPS`.
        project: only runs of this project.

    Returns:
        `{"group", "groups": [{"key", "count", "p50_ms", "p90_ms", "p99_ms", "error_rate",
        "tokens", "cost_usd"}], "bucket_ms", "buckets": [{"start_ms", "count", "p50_ms",
        "p90_ms", "p99_ms", "error_rate", "tokens", "cost_usd"}]}`; groups by total time, buckets
        by time, those without a run left out.

    Raises:
        InputError, StoreError: as `report`.
    """
    group_sql(group)
    frame = Frame(since_ns=since_ns, until_ns=until_ns, project=project)
    with asking.open_reader(analysing(store).analytics()) as reader:
        groups = [_figures(one) for one in figures(reader, frame, group, 200)]
        width_s = _width_s(reader, frame)
        buckets = _buckets(reader, frame, width_s)
    return {
        "group": group,
        "groups": groups,
        "bucket_ms": width_s * 1000,
        "buckets": buckets,
    }


def analysing(store: Store) -> Analysing:
    """The store as one that keeps a copy for SQL.

    Raises:
        InputError: it keeps none.
    """
    if not isinstance(store, Analysing):
        raise InputError("this store keeps no copy for SQL", hint="use a SQLite or a hybrid store")
    return store


def _figures(one: Figures) -> dict[str, Json]:
    return {
        "key": one.key,
        "count": one.count,
        "p50_ms": one.p50_ms,
        "p90_ms": one.p90_ms,
        "p99_ms": one.p99_ms,
        "error_rate": None if one.success_rate is None else 1 - one.success_rate,
        "tokens": one.tokens,
        "cost_usd": one.cost_usd,
    }


def _width_s(reader: asking.Reader, frame: Frame) -> int:
    """Width of a bucket of time, so that there are at most `BUCKETS`."""
    where, parameters = frame.where()
    row = reader.query(
        f"SELECT min(start_ns), max(start_ns) FROM runs WHERE {where}",  # noqa: S608  # our own names
        parameters,
    )[0]
    if row[0] is None:
        return _WIDTHS_S[0]
    span_s = (row[1] - row[0]) / 1e9
    for width_s in _WIDTHS_S:
        if span_s / width_s < BUCKETS:
            return width_s
    return int(span_s / BUCKETS) + 1


_BUCKETS = """WITH buckets AS (
    SELECT start_ns // {width} AS bucket, count(*) AS runs,
        quantile_cont(duration_ms, [0.5, 0.9, 0.99]) AS percentiles,
        count_if(status = 'error') / nullif(count_if(status IN ('ok', 'error')), 0) AS errors
    FROM runs WHERE start_ns IS NOT NULL AND {where} GROUP BY 1),
spent AS (
    SELECT start_ns // {width} AS bucket, sum(total_tokens) AS tokens, sum(cost_usd) AS cost
    FROM model_calls WHERE start_ns IS NOT NULL AND {where} GROUP BY 1)
SELECT bucket, runs, percentiles, errors, tokens, cost
FROM buckets LEFT JOIN spent USING (bucket) ORDER BY 1"""


def _buckets(reader: asking.Reader, frame: Frame, width_s: int) -> list[dict[str, Json]]:
    where, parameters = frame.where()
    rows = reader.query(
        _BUCKETS.format(where=where, width=width_s * 10**9), [*parameters, *parameters]
    )
    return [_bucket(row, width_s) for row in rows]


def _bucket(row: Sequence[Json], width_s: int) -> dict[str, Json]:
    bucket, runs, percentiles, errors, tokens, cost = row
    p50, p90, p99 = percentiles or (None, None, None)
    return {
        "start_ms": bucket * width_s * 1000,
        "count": runs,
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "error_rate": errors,
        "tokens": None if tokens is None else int(tokens),
        "cost_usd": cost,
    }


def groups() -> list[str]:
    """What runs can be grouped by."""
    return list(GROUPS)
