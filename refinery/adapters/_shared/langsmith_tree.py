"""What LangSmith's service computes of a whole trace: ids, tree keys, and totals upwards.

Its API wants UUIDs for runs, traces and projects. A native id that is a UUID stays as it is; any
other becomes a UUID of version 5 (RFC 9562 section 5.5) below `NAMESPACE`.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from refinery.model.trace import Run, Usage

NAMESPACE = uuid.UUID("0a9f6d5e-3c1b-5e0f-8d55-7f6f2a1c9b10")
"""Chosen by us; the ids made with it must never change."""

WORKSPACE_ID = str(uuid.uuid5(NAMESPACE, "workspace"))
"""The one tenant there is."""

NO_PROJECT = "default"
"""Project that traces without one are shown in: the SDK's own default."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = 253_402_300_799_999_999
"""Microseconds from the epoch to the end of the year 9999, the last `datetime` can say."""


def public_id(native: str) -> str:
    """The UUID that stands for an id in LangSmith's API.

    >>> public_id("01A1FCDE50E17D57956A1F5CC2552931")
    '01a1fcde-50e1-7d57-956a-1f5cc2552931'
    """
    try:
        return str(uuid.UUID(native))
    except ValueError:
        return str(uuid.uuid5(NAMESPACE, "run " + native.encode("utf-8", "replace").decode()))


def project_id(name: str | None) -> str:
    """The UUID of a project; traces without one are in `NO_PROJECT`."""
    text = (name or NO_PROJECT).encode("utf-8", "replace").decode()
    return str(uuid.uuid5(NAMESPACE, "project " + text))


def moment(ns: int) -> datetime:
    """A time in nanoseconds UTC, cut to what `datetime` can say."""
    return _EPOCH + timedelta(microseconds=min(max(ns // 1000, 0), _LAST_US))


@dataclass(frozen=True, slots=True)
class Totals:
    """Tokens and money of a run and all below it, each counted once; None: nobody said."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost_usd: Decimal | None = None


@dataclass(slots=True)
class _Node:
    native_id: str
    parent: str | None
    start_ns: int | None
    dotted_order: str | None
    own: Totals
    below: list["_Node"] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)


class TraceShape:
    """The tree of one trace without what went in and out of its runs."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._nodes = {run.run_id: _node(run) for run in runs}
        for node in self._nodes.values():
            if (above := self._above(node)) is not None:
                above.below.append(node)
        for node in self._nodes.values():
            node.below.sort(key=lambda below: (below.start_ns is None, below.start_ns or 0))
        self._total()
        starts = [node.start_ns for node in self._nodes.values() if node.start_ns is not None]
        self.start_ns = min(starts, default=0)
        """Earliest start of a run; 0 when none is known."""

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._nodes

    def totals(self, run: Run) -> Totals:
        """Tokens and money of the run and all below it."""
        node = self._nodes.get(run.run_id)
        return node.totals if node else _own(run)

    def children(self, run: Run) -> list[str]:
        """UUIDs of the runs directly below, by start."""
        node = self._nodes.get(run.run_id)
        return [public_id(below.native_id) for below in node.below] if node else []

    def above(self, run: Run) -> Iterator[str]:
        """Native ids of the runs above that are known, nearest first."""
        for node in self._upwards(run):
            if node.native_id != run.run_id:
                yield node.native_id

    def start_of(self, run: Run) -> int:
        """Start of the run; of the nearest run above, or of the trace, when it has none."""
        for node in self._upwards(run):
            if node.start_ns is not None:
                return node.start_ns
        return self.start_ns

    def dotted_order(self, run: Run) -> str:
        """LangSmith's tree key: as the source wrote it, or made of starts and ids."""
        segments: list[str] = []
        last: _Node | None = None
        for node in self._upwards(run):
            if _says_itself(node):
                return ".".join([node.dotted_order or "", *reversed(segments)])
            segments.append(_segment(node.start_ns, self.start_ns, node.native_id))
            last = node
        if last is not None and last.parent is not None and last.parent not in self._nodes:
            segments.append(_segment(last.start_ns, self.start_ns, last.parent))
        return ".".join(reversed(segments))

    def _upwards(self, run: Run) -> Iterator[_Node]:
        """The run and all above it; ends where the parents go round in a circle."""
        node: _Node | None = self._nodes.get(run.run_id) or _node(run)
        seen: set[str] = set()
        while node is not None and node.native_id not in seen:
            seen.add(node.native_id)
            yield node
            node = self._above(node)

    def _above(self, node: _Node) -> _Node | None:
        return self._nodes.get(node.parent) if node.parent is not None else None

    def _total(self) -> None:
        """Sum leaf model calls upwards, children before parents; circles keep their own."""
        waiting = {key: len(node.below) for key, node in self._nodes.items()}
        ready = [node for node in self._nodes.values() if not node.below]
        while ready:
            node = ready.pop()
            node.totals = _joined([below.totals for below in node.below], node.own)
            above = self._above(node)
            if above is not None:
                waiting[above.native_id] -= 1
                if waiting[above.native_id] == 0:
                    ready.append(above)
        for key, count in waiting.items():
            if count:
                self._nodes[key].totals = self._nodes[key].own


def ancestors(dotted_order: str) -> list[str]:
    """UUIDs of the runs above, root first, as the tree key tells them."""
    return [segment.partition("Z")[2] for segment in dotted_order.split(".")[:-1]]


def _node(run: Run) -> _Node:
    return _Node(run.run_id, run.parent_id, run.start_ns, run.dotted_order, _own(run))


def _own(run: Run) -> Totals:
    usage = run.usage or Usage()
    total = usage.total
    if total is None and (usage.input is not None or usage.output is not None):
        total = (usage.input or 0) + (usage.output or 0)
    return Totals(
        usage.input,
        usage.output,
        total,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        run.cost_usd,
    )


def _joined(below: list[Totals], own: Totals) -> Totals:
    """Sums of what the children say; where none says anything, what the run itself says."""
    names = Totals.__dataclass_fields__
    sums: dict[str, int | Decimal | None] = {}
    for name in names:
        said = [value for one in below if (value := getattr(one, name)) is not None]
        sums[name] = sum(said, start=type(said[0])(0)) if said else None
    if sums["total"] is None:
        return own if sums["cost_usd"] is None else _with_cost(own, sums["cost_usd"])
    if sums["cost_usd"] is None:
        sums["cost_usd"] = own.cost_usd
    return Totals(**sums)  # type: ignore[arg-type]  # the fields of the same class


def _with_cost(own: Totals, cost: int | Decimal | None) -> Totals:
    values: dict[str, int | Decimal | None] = {
        name: getattr(own, name) for name in Totals.__dataclass_fields__
    }
    return Totals(**{**values, "cost_usd": cost})  # type: ignore[arg-type]  # as above


def _says_itself(node: _Node) -> bool:
    """Whether the source wrote a tree key that ends with this run."""
    text = node.dotted_order
    if not text:
        return False
    *above, last = text.split(".")
    has_parent = bool(above) == (node.parent is not None)
    return has_parent and last.partition("Z")[2] == public_id(node.native_id)


def _segment(start_ns: int | None, otherwise_ns: int, native_id: str) -> str:
    start = moment(otherwise_ns if start_ns is None else start_ns)
    return start.strftime("%Y%m%dT%H%M%S%fZ") + public_id(native_id)
