"""Where the money of traces goes: chains of names that end in a model call, dearest first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refinery.performance.frames import Frame
from refinery.performance.sql import Reader

TRACES = 200
"""Dearest traces that are looked at."""
MAX_DEPTH = 100
"""Most names of a chain; what is above is left out."""


@dataclass(frozen=True, slots=True)
class CostlyPath:
    """One chain of names, over the dearest traces of a frame."""

    path: tuple[str, ...]
    """Names from the root down to the model call."""
    calls: int
    tokens: int | None
    cost_usd: float | None
    share: float
    """Of the cost of all calls looked at; of their tokens when no cost is known."""
    example_trace: str
    example_run: str
    """The dearest call."""


_DEAREST = """SELECT trace_id FROM model_calls WHERE {where} GROUP BY 1
ORDER BY sum(cost_usd) DESC NULLS LAST, sum(total_tokens) DESC NULLS LAST, 1 LIMIT {limit}"""
_CALLS = """SELECT trace_id, run_id, total_tokens, cost_usd FROM model_calls
WHERE trace_id IN (SELECT unnest(?)) AND (total_tokens IS NOT NULL OR cost_usd IS NOT NULL)"""
_TREE = """SELECT run_id, parent_id, coalesce(name, '') FROM runs
WHERE trace_id IN (SELECT unnest(?))"""


def costly_paths(reader: Reader, frame: Frame, limit: int = 30) -> list[CostlyPath]:
    """Chains of names by what the model calls at their ends cost."""
    where, parameters = frame.where()
    dearest = reader.query(_DEAREST.format(where=where, limit=TRACES), parameters)
    chosen = [row[0] for row in dearest]
    if not chosen:
        return []
    tree = {run: (above, name) for run, above, name in reader.query(_TREE, [chosen])}
    grouped: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for call in reader.query(_CALLS, [chosen]):
        grouped.setdefault(_path(tree, call[1]), []).append(call)
    by = 3 if any(call[3] for calls in grouped.values() for call in calls) else 2
    total = sum(call[by] or 0 for calls in grouped.values() for call in calls) or 1
    paths = [_summed(path, calls, by, float(total)) for path, calls in grouped.items()]
    return sorted(paths, key=lambda one: (-one.share, one.path))[:limit]


def _path(tree: Mapping[str, tuple[str | None, str]], run_id: str) -> tuple[str, ...]:
    """Names from the root down to a run; a circle of parents is cut."""
    names: list[str] = []
    seen: set[str] = set()
    at: str | None = run_id
    while at is not None and at in tree and at not in seen and len(names) < MAX_DEPTH:
        seen.add(at)
        above, name = tree[at]
        names.append(name)
        at = above
    return tuple(reversed(names))


def _summed(
    path: tuple[str, ...], calls: list[tuple[Any, ...]], by: int, total: float
) -> CostlyPath:
    tokens = [call[2] for call in calls if call[2] is not None]
    costs = [call[3] for call in calls if call[3] is not None]
    dearest = max(calls, key=lambda call: (call[by] or 0, call[1]))
    return CostlyPath(
        path,
        len(calls),
        sum(tokens) if tokens else None,
        sum(costs) if costs else None,
        sum(call[by] or 0 for call in calls) / total,
        dearest[0],
        dearest[1],
    )
