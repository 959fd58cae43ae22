"""What chance decides in one run of an entry point, kept so that a replay can draw it again.

In a process of ours (`entry`), the user's own calls of `uuid.uuid4` and `uuid.uuid1` are noted,
and the global random generator is seeded with a noted number when the run begins and whenever a
tool or retriever has ended, because a replay does not run those. A program that seeds the
generator itself keeps its seed; then the generator's state is noted.

Kept in the root run's `metadata["refinery"]["draws"]`: `{"ids": [[uuid, run]], "seed": int}`,
where `run` is the tool or retriever an identifier was drawn in, else null; or `"state"`, the
numbers of `random.getstate`, instead of the seed.
"""

import contextlib
import functools
import random
import secrets
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from refinery.recorders import _context, _source

if TYPE_CHECKING:
    from refinery.recorders._book import Book
    from refinery.recorders._view import View

MAX_IDS = 5_000
"""Most identifiers noted of one run."""
_FRAMES = 8
"""Frames looked at above a draw; pydantic's and dataclasses' own lie between."""
_BETWEEN = frozenset({"pydantic", "dataclasses", "uuid", "refinery"})
"""Top-level modules that may stand between the user's code and a draw."""
_OURS = str(Path(__file__).resolve().parents[1])
_NAMES = ("uuid4", "uuid1")
_SERVED = ("tool", "retriever")
"""Kinds of runs whose work a replay does not do."""


class Draws:
    """Chance in one run of an entry point, as it is drawn and noted."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        """What is kept of it; lists in it grow while the run is open."""
        self._ids: list[list[str | None]] = []
        self._tools = 0
        self._book: Book | None = None

    def begin(self, book: "Book | None") -> None:
        """Seed the generator, unless the program has done so itself, and listen to a book."""
        self.notes["ids"] = self._ids
        if _Process.is_seeded:
            version, numbers, gauss = random.getstate()
            self.notes["state"] = [version, list(numbers), gauss]
        else:
            self.notes["seed"] = secrets.randbits(48)
            reseed(self.notes["seed"], 0)
        self.listen(book)

    def listen(self, book: "Book | None") -> None:
        """Be told of the runs of a book until `end`, and of draws."""
        _Process.current = self
        self._book = book
        if book is None:
            return
        book.listener = self

    def end(self) -> None:
        """Listen no more."""
        _Process.current = None
        if self._book is not None:
            self._book.listener = None

    def started(self, run: "View", fields: Mapping[str, Any]) -> None:
        """A run inside this one begins."""

    def placed(self, run: "View") -> None:
        """It has its place; what chance decides is noted with the root."""
        if self._book is not None:
            self._book.known(run.place, run)
        if run.entry is not None or run.place.root is None:
            run.note({"draws": self.notes})

    def ended(self, run: "View") -> None:
        """A run inside this one has ended; after a tool the generator is seeded anew."""
        if run.fields.get("kind") in _SERVED:
            self._tools += 1
            if "seed" in self.notes and not _Process.is_seeded:
                reseed(self.notes["seed"], self._tools)

    def new_id(self, made: uuid.UUID) -> uuid.UUID:
        """An identifier for the user's code; `made` is a fresh one."""
        if len(self._ids) < MAX_IDS:
            self._ids.append([str(made), self.tool_at_work()])
        return made

    def tool_at_work(self) -> str | None:
        """The tool or retriever whose code is at work; None outside of all."""
        if self._book is None:
            return None
        run_id = _context.current_run()
        run = self._book.get(run_id) if run_id else None
        while run is not None:
            if run.fields.get("kind") in _SERVED:
                return run.place.run_id
            run = self._book.get(run.parent_id) if run.parent_id else None
        return None


class _Process:
    """What is changed in this process."""

    current: Draws | None = None
    is_seeded = False
    """Whether the program has seeded the generator itself."""


def install() -> None:
    """Listen to `uuid` and `random.seed` from now on; for processes of ours, before the agent."""
    for name in _NAMES:
        setattr(uuid, name, _drawing(getattr(uuid, name)))
    vars(random)["seed"] = _seeding(random.seed)


def reseed(seed: int, number: int) -> None:
    """Put the generator into the state that belongs to a seed and a number of ended tools."""
    random.setstate(random.Random(f"{seed}/{number}").getstate())  # noqa: S311  # no secret


def _drawing(real: Callable[..., uuid.UUID]) -> Callable[..., uuid.UUID]:
    @functools.wraps(real)
    def draw(*args: Any, **kwargs: Any) -> uuid.UUID:
        made = real(*args, **kwargs)
        draws = _Process.current
        if draws is None or not _is_for_user(sys._getframe(1)):
            return made
        with contextlib.suppress(Exception):  # the recorder never breaks the host
            return draws.new_id(made)
        return made

    return draw


def _seeding(real: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(real)
    def seed(*args: Any, **kwargs: Any) -> None:
        _Process.is_seeded = True
        real(*args, **kwargs)

    return seed


def _is_for_user(frame: FrameType | None) -> bool:
    """Whether the user's code asks, be it by way of a model's or dataclass's default."""
    for _ in range(_FRAMES):
        if frame is None:
            return False
        name = str(frame.f_globals.get("__name__", ""))
        filename = frame.f_code.co_filename
        if filename != "<string>" and name.partition(".")[0] not in _BETWEEN:
            return _is_users(filename)
        frame = frame.f_back
    return False


@functools.lru_cache(1024)
def _is_users(filename: str) -> bool:
    return _source.is_users(filename) and not filename.startswith(_OURS)
