"""Where a run stands in its trace, and LangSmith's sort key made of it."""

import time
from datetime import UTC, datetime

from refinery import clock


class Place:
    """A run's place: a light node of the tree, kept when the run itself has ended."""

    __slots__ = (
        "is_sampled",
        "monotonic_ns",
        "name",
        "order",
        "parent",
        "root",
        "source",
        "start_ns",
        "wall_ns",
    )

    name: str | None
    """The run's id, once somebody asked for it."""
    root: "Place | None"
    """None of the root itself."""
    parent: "Place | None"
    """The place of the run around it, until the sort key is known."""
    order: str | None
    """The sort key, once somebody asked for it."""
    start_ns: int
    wall_ns: int
    """Wall clock when the trace began, nanoseconds UTC."""
    monotonic_ns: int
    """Monotonic clock at that moment."""
    source: str
    is_sampled: bool

    # No `__init__`: with cold caches that costs 5 µs more (benchmarks/overhead.py).
    def take(self, run_id: str | None, parent: "Place | None", source: str) -> None:
        """Take the place of a run that begins now.

        Args:
            run_id: the run; None: it gets its id when somebody asks for it.
            parent: the place of the one around it; None for a root.
            source: the recorder; the whole trace has the one of its root.
        """
        self.name = run_id
        self.parent = parent
        self.order = None
        if parent is None:
            self.root = None
            self.start_ns = self.wall_ns = time.time_ns()
            self.monotonic_ns = time.monotonic_ns()
            self.source = source
            self.is_sampled = True
        else:
            self.root = parent.root or parent
            self.wall_ns = wall_ns = parent.wall_ns
            self.monotonic_ns = monotonic_ns = parent.monotonic_ns
            self.start_ns = wall_ns + time.monotonic_ns() - monotonic_ns
            self.source = parent.source
            self.is_sampled = parent.is_sampled

    @property
    def run_id(self) -> str:
        """Id of the run: a UUID string, see `clock.new_uuid`."""
        if self.name is None:
            made = clock.new_uuid(self.start_ns)
            # The host and the writer may both ask: between these two no other thread runs.
            if self.name is None:
                self.name = made
        return self.name

    @property
    def trace_id(self) -> str:
        """Id of the trace, which is that of its root run."""
        return self.run_id if self.root is None else self.root.run_id


def dotted_order(place: Place) -> str:
    """`YYYYMMDDTHHMMSSffffffZ<run id>`, joined from the root by dots."""
    above: list[Place] = []
    at: Place | None = place
    while at is not None and at.order is None:
        above.append(at)
        at = at.parent
    order = at.order if at is not None else None
    for at in reversed(above):
        segment = _segment(at.start_ns, at.run_id)
        order = at.order = f"{order}.{segment}" if order is not None else segment
        at.parent = None  # told: a long chain of runs need not be kept for it
    return order or ""


_second: tuple[int, str] = (-1, "")


def _segment(time_ns: int, run_id: str) -> str:
    global _second  # most runs begin in the same second as the one before
    seconds, rest = divmod(time_ns, 1_000_000_000)
    known, text = _second
    if known != seconds:
        text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y%m%dT%H%M%S")
        _second = (seconds, text)
    return f"{text}{rest // 1000:06d}Z{run_id}"
