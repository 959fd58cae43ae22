"""What is nearest of what a store shows, when the index holds more than that."""

from refinery.ports import RunFilter, Store
from refinery.search.index import Index, Point
from refinery.search.query import Query
from refinery.search.searching import DEPTH

_MORE = 4
"""How many times more are asked for when too few of those found are shown (chosen by us)."""


def nearest(
    index: Index, point: Point, asked: Query, store: Store, *, exact: bool = False
) -> list[tuple[str, float]]:
    """Trace ids and similarities; what the store does not show takes no place among them."""
    depth, seen = DEPTH, -1
    while True:
        near = index.nearest(point, asked, depth, exact=exact)
        shown = [one for one in near if _is_shown(store, one[0])]
        if len(shown) >= DEPTH or len(near) == seen:
            return shown[:DEPTH]
        depth, seen = _MORE * depth, len(near)


def _is_shown(store: Store, trace_id: str) -> bool:
    return bool(store.find_runs(RunFilter(trace_id=trace_id, limit=1)).runs)
