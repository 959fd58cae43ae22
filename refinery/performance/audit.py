"""Holds components against their limits, and says what to do where one is broken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refinery.performance import thresholds as limits
from refinery.performance.frames import Frame
from refinery.performance.sql import Reader
from refinery.performance.thresholds import Breach, Measured, Threshold

SHARE_OF_CHILDREN = 0.6
"""Share of its time in one sort of child from which on that child is named (chosen by us)."""
REPEATED = 0.3
"""Share of runs with inputs seen before in their trace from which on a cache is advised."""


@dataclass(frozen=True, slots=True)
class Component:
    """A tool, step, node or function, in the version that ran last."""

    layer: str | None
    name: str
    variant: str | None
    runs: int
    total_ms: float
    p50_ms: float | None
    p90_ms: float | None
    cpu_p50_ms: float | None
    success_rate: float | None
    file: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Violation:
    """A component that breaks limits."""

    component: Component
    breaches: tuple[Breach, ...]
    """The worst first."""
    recommendation: str
    example_trace: str
    example_run: str
    """The slowest run, or the latest failure."""
    priority: float
    """Higher is more urgent: excess of the worst breach times seconds spent in all, shown breaches
    ten times before possible ones."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was held against limits."""

    components: tuple[Component, ...]
    violations: tuple[Violation, ...]
    """The most urgent first."""
    unknown: tuple[Component, ...]
    """Components that break no limit, and of one of them too few runs tell."""
    unmatched: tuple[Threshold, ...]
    """Limits that hold for no component of the frame."""
    kept: Mapping[tuple[str | None, str], frozenset[str]]
    """By layer and name of a component: the limits that it keeps, in enough runs."""


_COMPONENTS = """WITH latest AS (
    SELECT layer, name, arg_max(coalesce(variant, ''), start_ns) AS variant
    FROM runs WHERE name IS NOT NULL AND start_ns IS NOT NULL AND {where} GROUP BY 1, 2)
SELECT runs.layer, runs.name, nullif(latest.variant, ''), count(*), coalesce(sum(duration_ms), 0),
    quantile_cont(duration_ms, 0.5), quantile_cont(duration_ms, 0.9), quantile_cont(cpu_ms, 0.5),
    count(*) FILTER (status = 'ok') / nullif(count(*) FILTER (status IN ('ok', 'error')), 0),
    mode(code_file), mode(code_line)
FROM (SELECT * FROM runs WHERE {where}) AS runs JOIN latest
    ON latest.name = runs.name AND latest.layer IS NOT DISTINCT FROM runs.layer
    AND latest.variant = coalesce(runs.variant, '')
GROUP BY ALL ORDER BY 5 DESC"""
_OF = """name = ? AND layer IS NOT DISTINCT FROM ? AND coalesce(variant, '') = ? AND {where}"""


def audit(reader: Reader, frame: Frame, thresholds: Sequence[Threshold]) -> Audit:
    """Every component of a frame against the limits that hold for it.

    A component without a layer is a run recorded by a framework; its kind stands for its layer.
    """
    where, parameters = frame.where()
    rows = reader.query(_COMPONENTS.format(where=where), [*parameters, *parameters])
    components = tuple(Component(*row) for row in rows)
    violations, unknown = [], []
    matched: set[Threshold] = set()
    kept: dict[tuple[str | None, str], frozenset[str]] = {}
    for one in components:
        layer = _layer(reader, one, frame)
        matched.update(limit for limit in thresholds if limit.fits(layer, one.name))
        wanted = limits.strictest(list(thresholds), layer, one.name)
        if not wanted:
            continue
        measured = [(limit, measure(reader, frame, one, limit)) for limit in wanted]
        if found := _breaches(measured):
            violations.append(_violation(reader, frame, one, found, layer))
            continue
        known = {limit.limit for limit, seen in measured if seen.total >= limits.MIN_RUNS}
        kept[one.layer, one.name] = frozenset(known)
        if len(known) < len(measured):
            unknown.append(one)
    violations.sort(key=lambda one: -one.priority)
    unmatched = tuple(one for one in thresholds if one not in matched)
    return Audit(components, tuple(violations), tuple(unknown), unmatched, kept)


def _layer(reader: Reader, one: Component, frame: Frame) -> str | None:
    if one.layer is not None:
        return one.layer
    where, parameters = _of(one, frame)
    found = reader.query(f"SELECT mode(kind) FROM runs WHERE {where}", parameters)  # noqa: S608  # our own names
    return found[0][0] if found else None


def _of(one: Component, frame: Frame) -> tuple[str, list[Any]]:
    where, parameters = frame.where()
    return _OF.format(where=where), [one.name, one.layer, one.variant or "", *parameters]


def _breaches(measured: Sequence[tuple[Threshold, Measured]]) -> list[Breach]:
    found = [limits.breach(limit, seen) for limit, seen in measured]
    broken = [breach for breach in found if breach is not None]
    return sorted(broken, key=lambda breach: (not breach.is_shown, -breach.excess))


def measure(reader: Reader, frame: Frame, one: Component, threshold: Threshold) -> Measured:
    """How many runs of a component lie beyond a limit."""
    limit = limits.LIMITS[threshold.limit]
    where, parameters = _of(one, frame)
    if limit.is_least:
        sql = (
            "SELECT count(*) FILTER (status = 'error'), "  # noqa: S608  # our own names
            f"count(*) FILTER (status IN ('ok', 'error')) FROM runs WHERE {where}"
        )
        beyond, total = reader.query(sql, parameters)[0]
        return Measured(beyond, total, (total - beyond) / total if total else None)
    sql = (
        f"SELECT count(*) FILTER ({limit.column} > ?), count({limit.column}), "  # noqa: S608  # our own names
        f"quantile_cont({limit.column}, ?) FROM runs WHERE {where}"
    )
    given = [threshold.value, 1 - limit.share, *parameters]
    return Measured(*reader.query(sql, given)[0])


def _violation(
    reader: Reader, frame: Frame, one: Component, breaches: list[Breach], layer: str | None
) -> Violation:
    worst = breaches[0]
    where, parameters = _of(one, frame)
    order = (
        "(status = 'error') DESC, start_ns DESC"
        if worst.threshold.limit == "min_success_rate"
        else "duration_ms DESC NULLS LAST"
    )
    trace_id, run_id = reader.query(_EXAMPLE.format(where=where, order=order), parameters)[0]
    weight = 10.0 if worst.is_shown else 1.0
    seconds = max(one.total_ms / 1000, 0.001)
    return Violation(
        one,
        tuple(breaches),
        _recommendation(reader, frame, one, worst, layer),
        trace_id,
        run_id,
        priority=weight * min(worst.excess, 1e6) * seconds,
    )


_EXAMPLE = "SELECT trace_id, run_id FROM runs WHERE {where} ORDER BY {order} LIMIT 1"
_CHILDREN = """SELECT children.name, sum(children.duration_ms) FROM runs AS children
JOIN (SELECT run_id FROM runs WHERE {where}) AS above ON children.parent_id = above.run_id
GROUP BY 1 ORDER BY 2 DESC NULLS LAST LIMIT 1"""
_REPEATS = """SELECT count(*) - count(DISTINCT (trace_id, inputs)), count(*)
FROM runs WHERE inputs IS NOT NULL AND length(inputs) < 8000 AND {where}"""
"""Inputs that were cut in the copy may differ behind the cut."""


def _recommendation(
    reader: Reader, frame: Frame, one: Component, worst: Breach, layer: str | None
) -> str:
    """What to do first, from what was measured besides."""
    limit = worst.threshold.limit
    if limit == "min_success_rate":
        return "look at its errors: refinery perf report --errors"
    if limit in ("max_tokens", "max_cost_usd"):
        return "shorten what is sent to the model, cap its answer, or use a smaller model"
    if limit == "max_memory_mb":
        return "work on parts instead of the whole, and let go of what is not needed any more"
    if limit == "max_io_mb":
        return "read and write less: select columns, keep what was read, write once"
    where, parameters = _of(one, frame)
    children = reader.query(_CHILDREN.format(where=where), parameters)
    if children and children[0][1] and children[0][1] > SHARE_OF_CHILDREN * one.total_ms:
        share = min(1.0, children[0][1] / one.total_ms)
        return f"{share:.0%} of its time is in {children[0][0]!r}: begin there"
    repeats, total = reader.query(_REPEATS.format(where=where), parameters)[0]
    if total and repeats / total > REPEATED:
        return f"{repeats} of {total} runs repeat inputs of the same trace: keep the answers"
    if layer in ("llm", "embedding"):
        return "it waits for the model: ask for less, use a faster one, or run calls side by side"
    if one.cpu_p50_ms is None or not one.p50_ms:
        return "profile it: nothing recorded tells computing from waiting"
    if one.cpu_p50_ms > 0.5 * one.p50_ms:
        return (
            f"it computes ({one.cpu_p50_ms:.0f} of {one.p50_ms:.0f} ms on the processor): "
            "look for repeated work, a better algorithm, or vectorise it"
        )
    return (
        f"it waits ({one.cpu_p50_ms:.0f} of {one.p50_ms:.0f} ms on the processor): "
        "ask for less, in parallel, in batches, or keep answers"
    )
