"""The optimisation queue: what an audit found, in the order in which it should be done.

An append-only file of JSON lines in the project's `.refinery` folder; the latest line of an item
holds. An item leaves by `done` (a later variant is shown to be faster and within its limits),
`resolved` (the limits hold without that being shown) or `dropped` (a person said so).
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from refinery import clock, home
from refinery.errors import InputError, NotFoundError

FILE = "optimisations.jsonl"
OPEN = ("waiting", "taken")
STATES = (*OPEN, "done", "resolved", "dropped")


@dataclass(frozen=True, slots=True)
class Item:
    """One component to be made faster, cheaper or more reliable."""

    item_id: str
    layer: str | None
    name: str
    variant: str | None
    """The version that breaks the limits."""
    limit: str
    value: float
    observed: float | None
    runs: int
    """Runs the figures are of."""
    is_shown: bool
    priority: float
    recommendation: str
    trace_id: str
    run_id: str
    """An example."""
    file: str | None = None
    line: int | None = None
    state: str = "waiting"
    reason: str = ""
    """Why it is in that state."""
    tests: str | None = None
    """How the user's tests ended at the audit: `passed`, `failed`, `timed out`; None: not run."""
    queued_ns: int = 0
    changed_ns: int = 0
    outcome: dict[str, Any] | None = None
    """Figures of the variant that took it out of the queue, beside those of `variant`."""


class Queue:
    """The queue of a project."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def items(self, *, is_open: bool = True) -> list[Item]:
        """Items by priority, the most urgent first; without `is_open` those that left as well."""
        found: dict[str, Item] = {}
        for line in home.read_lines(self._path):
            if (item := _item(line)) is not None:
                found[item.item_id] = item
        chosen = [one for one in found.values() if not is_open or one.state in OPEN]
        return sorted(chosen, key=lambda one: (-one.priority, one.item_id))

    def find(self, text: str) -> Item:
        """An item by id or the beginning of one; `next`: the most urgent that waits.

        Raises:
            NotFoundError: there is none.
            InputError: several ids begin so.
        """
        if text == "next":
            found = [one for one in self.items() if one.state == "waiting"][:1]
        else:
            items = self.items(is_open=False)
            found = [one for one in items if text and one.item_id.startswith(text)]
        if not found:
            raise NotFoundError(
                f"no item {text!r} in the optimisation queue",
                hint="`refinery perf queue` lists it",
            )
        if len(found) > 1 and found[0].item_id != text:
            raise InputError(
                f"several items begin with {text!r}",
                hint=f"name one: {', '.join(one.item_id for one in found[:5])}",
            )
        return found[0]

    def take(self, text: str) -> Item:
        """Take an item to work on it; one that is taken already stays so.

        Raises:
            NotFoundError, InputError: as `find`.
        """
        item = self.find(text)
        return self.move(item, "taken", "") if item.state == "waiting" else item

    def put(self, item: Item) -> Item:
        """Add an item, or bring its figures up to date; one that was taken stays taken."""
        known = next(
            (one for one in self.items(is_open=False) if one.item_id == item.item_id), None
        )
        now = clock.now_ns()
        if known is not None and known.state in OPEN:
            item = replace(item, state=known.state, queued_ns=known.queued_ns)
        fresh = replace(item, queued_ns=item.queued_ns or now, changed_ns=now)
        self._write(fresh)
        return fresh

    def move(
        self, item: Item, state: str, reason: str, outcome: dict[str, Any] | None = None
    ) -> Item:
        """Note another state of an item.

        Raises:
            InputError: it is none of `STATES`.
        """
        if state not in STATES:
            raise InputError(f"unknown state {state!r}", hint=f"one of: {', '.join(STATES)}")
        moved = replace(
            item, state=state, reason=reason, outcome=outcome, changed_ns=clock.now_ns()
        )
        self._write(moved)
        return moved

    def _write(self, item: Item) -> None:
        try:
            home.append_line(self._path, asdict(item))
        except OSError as error:
            raise InputError(
                f"{self._path} cannot be written: {error.strerror}", hint="correct its rights"
            ) from error


def item_id(layer: str | None, name: str) -> str:
    """The id of a component's item: the same whenever it is queued."""
    return hashlib.sha256(f"{layer or ''}/{name}".encode("utf-8", "replace")).hexdigest()[:8]


def _item(line: dict[str, Any]) -> Item | None:
    """The item of a line; None when the line is none of ours."""
    known = {name: line[name] for name in Item.__dataclass_fields__ if name in line}
    try:
        item = Item(**known)
        valid = isinstance(item.item_id, str) and isinstance(item.priority, int | float)
        return item if valid and item.state in STATES else None
    except TypeError:
        return None
