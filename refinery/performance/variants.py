"""Versions of the user's code by the hash of their source, and two of them side by side."""

from dataclasses import dataclass
from typing import Any

from refinery.errors import InputError, NotFoundError
from refinery.performance.frames import clean
from refinery.performance.intervals import Finding, Ratio, rank_test, ratio_of_medians, share_test
from refinery.performance.sql import Reader

MAX_VALUES = 20_000
"""Most values of a variant that are compared, picked by the hash of their run's id."""
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Variant:
    """One version of a function, as its runs showed it."""

    variant: str
    """SHA-256 of its source text."""
    name: str
    layer: str | None
    count: int
    p50_ms: float | None
    p90_ms: float | None
    cpu_p50_ms: float | None
    rss_p90_mb: float | None
    passed: int
    failed: int
    first_ns: int | None
    last_ns: int | None
    file: str | None
    line: int | None

    @property
    def success_rate(self) -> float | None:
        """Of the runs that ended well or in an error."""
        judged = self.passed + self.failed
        return self.passed / judged if judged else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two variants."""

    first: Variant
    second: Variant
    duration: Ratio
    duration_p: float | None
    """Of the Mann-Whitney test."""
    cpu: Ratio
    memory: Ratio
    success_p: float | None

    @property
    def finding(self) -> Finding:
        """What is shown of the duration: interval and test must agree."""
        if self.duration_p is None:
            return Finding.TOO_FEW
        return self.duration.finding if self.duration_p < ALPHA else Finding.NONE

    @property
    def is_less_reliable(self) -> bool:
        """Whether it is shown that fewer runs of the second end well."""
        rates = (self.first.success_rate, self.second.success_rate)
        if self.success_p is None or None in rates:
            return False
        return self.success_p < ALPHA and (rates[1] or 0) < (rates[0] or 0)


_SQL = """SELECT variant, coalesce(name, ''), mode(layer), count(*),
    quantile_cont(duration_ms, 0.5), quantile_cont(duration_ms, 0.9), quantile_cont(cpu_ms, 0.5),
    quantile_cont(rss_delta_bytes, 0.9) / 1048576, count(*) FILTER (status = 'ok'),
    count(*) FILTER (status = 'error'), min(start_ns), max(start_ns),
    mode(code_file), mode(code_line)
FROM runs WHERE variant IS NOT NULL AND {where} GROUP BY 1, 2 ORDER BY {order}"""
_LATEST = "max(start_ns) DESC, 1"
_FUNCTION_FIRST = """max(code_qualname = name OR ends_with(code_qualname, '.' || name))
    DESC NULLS LAST, count(*) DESC, 2"""
"""A block told by `track` has the variant of the function around it, and another name."""
_VALUES = """SELECT list({column} ORDER BY hash(run_id)) FILTER ({column} IS NOT NULL)
FROM runs WHERE variant = ? AND coalesce(name, '') = ?"""
_NAMES = "SELECT DISTINCT name FROM runs WHERE variant IS NOT NULL AND name IS NOT NULL"


def variants(reader: Reader, name: str | None = None) -> list[Variant]:
    """Variants of a component, or of all; the one that ran last comes first."""
    where, parameters = ("name = ?", [clean(name)]) if name is not None else ("true", [])
    sql = _SQL.format(where=where, order=_LATEST)
    return [Variant(*row) for row in reader.query(sql, parameters)]


def names(reader: Reader) -> list[str]:
    """Names of the components whose versions were recorded."""
    return sorted(row[0] for row in reader.query(_NAMES))


def find(reader: Reader, text: str, name: str | None = None) -> Variant:
    """The variant whose hash begins with a text, in runs of a name.

    Without a name it is the function itself rather than a block inside it.

    Raises:
        NotFoundError: there is none.
        InputError: there are several.
    """
    prefix = text.strip().lower()
    where = "starts_with(variant, ?)" + (" AND name = ?" if name is not None else "")
    given = [clean(prefix), *([clean(name)] if name is not None else [])]
    found = reader.query(_SQL.format(where=where, order=_FUNCTION_FIRST), given)
    if not found or len(prefix) < 4:
        raise NotFoundError(
            f"no variant {text!r}", hint="`refinery perf report --by variant` lists them"
        )
    if len(several := sorted({row[0] for row in found})) > 1:
        raise InputError(
            f"several variants begin with {text!r}",
            hint=f"name one: {', '.join(variant[:16] for variant in several[:5])}",
        )
    return Variant(*found[0])


def compare(reader: Reader, first: Variant, second: Variant) -> Comparison:
    """Two variants side by side, the second against the first."""
    sides = [
        {
            column: _values(reader, one, column)
            for column in ("duration_ms", "cpu_ms", "rss_delta_bytes")
        }
        for one in (first, second)
    ]
    ratios = {column: ratio_of_medians(sides[0][column], sides[1][column]) for column in sides[0]}
    judged = [(one.passed, one.passed + one.failed) for one in (first, second)]
    return Comparison(
        first,
        second,
        ratios["duration_ms"],
        rank_test(sides[0]["duration_ms"], sides[1]["duration_ms"]),
        ratios["cpu_ms"],
        ratios["rss_delta_bytes"],
        share_test(*judged),
    )


def _values(reader: Reader, one: Variant, column: str) -> list[float]:
    rows: list[tuple[Any, ...]] = reader.query(
        _VALUES.format(column=column), [one.variant, one.name]
    )
    return list(rows[0][0] or [])[:MAX_VALUES]


_RUNS = """SELECT run_id FROM runs WHERE variant = ? AND start_ns IS NOT NULL
ORDER BY start_ns LIMIT 200"""


def runs_with_source(reader: Reader, variant: str) -> list[str]:
    """Runs of a variant among which the first of each process holds the source text."""
    return [row[0] for row in reader.query(_RUNS, [variant])]
