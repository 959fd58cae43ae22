"""Where a run stands in its trace, and LangSmith's sort key made of it."""

from datetime import UTC, datetime


class Place:
    """A run's place: a light node of the tree, kept when the run itself has ended."""

    __slots__ = (
        "is_sampled",
        "monotonic_ns",
        "order",
        "parent",
        "run_id",
        "source",
        "start_ns",
        "trace_id",
        "wall_ns",
    )

    def __init__(
        self, run_id: str, parent: "Place | None", wall_ns: int, monotonic_ns: int
    ) -> None:
        self.run_id = run_id
        self.order: str | None = None
        """The sort key, once somebody asked for it."""
        if parent is None:
            self.parent: Place | None = None
            self.trace_id = run_id
            self.start_ns = self.wall_ns = wall_ns
            self.monotonic_ns = monotonic_ns
            self.source = "unknown"
            self.is_sampled = True
        else:
            self.parent = parent
            self.trace_id = parent.trace_id
            self.wall_ns = parent.wall_ns
            """Wall clock when the trace began, nanoseconds UTC."""
            self.monotonic_ns = parent.monotonic_ns
            """Monotonic clock at that moment."""
            self.start_ns = parent.wall_ns + monotonic_ns - parent.monotonic_ns
            self.source = parent.source
            self.is_sampled = parent.is_sampled


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
