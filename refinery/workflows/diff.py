"""Compares two traces run by run, and says what changed first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from refinery.model.codec import encode
from refinery.model.trace import Json, Run, Trace
from refinery.replay.align import Pair, align, values
from refinery.replay.canonical import Fresh
from refinery.replay.compare import Difference, differences

MAX_DIFFERENCES = 50
"""Most differences listed of one pair of runs."""
_BEFORE = ("name", "kind", "model", "params", "inputs")
"""What a run has from its beginning; the rest comes at its end."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two runs side by side."""

    pair: Pair
    differences: tuple[Difference, ...] = ()
    """In plain form: fresh identifiers and times do not count."""

    @property
    def state(self) -> str:
        """`same`, `changed`, `removed` (only on the left) or `added` (only on the right)."""
        if self.pair.left is None or self.pair.right is None:
            return "added" if self.pair.left is None else "removed"
        return "changed" if self.differences else "same"


@dataclass(frozen=True, slots=True)
class First:
    """What changed first."""

    compared: Compared
    difference: Difference | None
    """None: the run is only on one side."""


@dataclass(frozen=True, slots=True)
class TraceDiff:
    """Two traces, aligned."""

    left: Trace
    right: Trace
    rows: tuple[Compared, ...]
    """In tree order."""
    first: First | None
    """In the order in which things happened; None when nothing differs."""

    @property
    def is_same(self) -> bool:
        """Whether nothing differs but identifiers, times, tokens and costs."""
        return self.first is None


def diff(left: Trace, right: Trace) -> TraceDiff:
    """Align two traces and compare what belongs together."""
    fresh = _fresh(left), _fresh(right)
    rows = tuple(_compared(pair, fresh) for pair in align(left, right))
    return TraceDiff(left, right, rows, _first(rows))


def _fresh(trace: Trace) -> Fresh:
    return Fresh(min((run.start_ns or 0 for run in trace.runs), default=0))


def _compared(pair: Pair, fresh: tuple[Fresh, Fresh]) -> Compared:
    if pair.left is None or pair.right is None:
        return Compared(pair)
    found = differences(values(pair.left, fresh[0]), values(pair.right, fresh[1]))
    return Compared(pair, tuple(islice(found, MAX_DIFFERENCES)))


def _first(rows: Sequence[Compared]) -> First | None:
    """The earliest change: what a run began with counts before its children, its end after."""
    late: list[tuple[int, First]] = []
    for row in rows:
        while late and late[-1][0] >= row.pair.depth:
            return late[-1][1]
        if row.state in ("added", "removed"):
            return First(row, None)
        early = [d for d in row.differences if d.path.split(".")[0].split("[")[0] in _BEFORE]
        if early:
            return First(row, early[0])
        if row.differences:
            late.append((row.pair.depth, First(row, row.differences[0])))
    return late[-1][1] if late else None


def to_document(found: TraceDiff) -> dict[str, Json]:
    """The comparison as the JSON of `refinery diff --json`."""
    counts = dict.fromkeys(("same", "changed", "added", "removed"), 0)
    for row in found.rows:
        counts[row.state] += 1
    first = found.first
    return {
        "left": found.left.trace_id,
        "right": found.right.trace_id,
        "same": found.is_same,
        "counts": counts,
        "first": first
        and {
            **_about(first.compared),
            "difference": encode(first.difference) if first.difference else None,
        },
        "rows": [
            {**_about(row), "differences": [encode(item) for item in row.differences]}
            for row in found.rows
        ],
    }


def _about(row: Compared) -> dict[str, Json]:
    run = row.pair.run
    return {
        "state": row.state,
        "kind": run.kind.value if run.kind else None,
        "name": run.name,
        "depth": row.pair.depth,
        "left_run_id": _id(row.pair.left),
        "right_run_id": _id(row.pair.right),
    }


def _id(run: Run | None) -> str | None:
    return run.run_id if run else None
