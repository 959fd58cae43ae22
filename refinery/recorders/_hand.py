"""Runs recorded by hand: what `xray` and `instrument` share.

A `Call` is one run between its beginning and its end. Whoever uses one calls its methods through
`safely`: an exception of ours is counted as a lost view and stays here, whatever it is, but for
those that end the host.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refinery.model.trace import RunKind
from refinery.recorders import _context, _source, switch
from refinery.recorders._book import Book, ending
from refinery.recorders._guards import HOSTS, guarded, lose, text
from refinery.recorders._metrics import Meter
from refinery.recorders._order import Place
from refinery.recorders._snapshot import Snapshot, fragment_of_own, snapshot
from refinery.recorders._view import View

_ENDED: dict[str, Any] = {}
"""Stands for what an ended run still had to tell."""
_KINDS = {"tool": RunKind.TOOL, "step": RunKind.STEP}


class _Attempts:
    """Whether switching on by itself has failed, which is then not tried at every call."""

    are_over = False


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a run before it begins, as the user gave it."""

    name: str
    kind: RunKind
    source: str
    """The recorder: `xray` or `instrument`."""
    layer: str | None = None
    tags: Iterable[str] = ()
    metadata: Mapping[str, Any] | None = None
    session_id: str | None = None
    user_id: str | None = None
    is_short: bool = field(init=False)
    """Whether there is nothing but a name, a kind and a layer, texts all."""

    def __post_init__(self) -> None:
        has_texts = type(self.name) is type(self.layer) is str
        has_more = type(self.tags) is not tuple or bool(self.tags) or self.metadata is not None
        is_of = self.session_id is not None or self.user_id is not None
        object.__setattr__(self, "is_short", has_texts and not has_more and not is_of)


def held_of(value: Any) -> tuple[Any, int]:
    """The same as `snapshot`, for values that may raise anything at all."""
    try:
        return snapshot(value)
    except HOSTS:
        raise
    except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
        lose(f"{type(error).__name__} in a value")
        return None, 0


def kind_of(layer: Any) -> RunKind:
    """The kind of a run by its layer: a tool is a tool, a step a step, all else a chain."""
    return _KINDS.get(layer, RunKind.CHAIN) if type(layer) is str else RunKind.CHAIN


@guarded
def book_at_hand() -> Book | None:
    """Where a run that begins now is kept; None when recording is off.

    It is the book of the run around it, else the process's, which is switched on by being
    asked for the first time.
    """
    book = _context.own_book() or switch.current_book()
    if book is None and not switch.was_decided() and not _Attempts.are_over:
        switch.record_by_hand()
        book = switch.current_book()
        _Attempts.are_over = book is None and switch.is_enabled()
    return book


class Call(Meter):
    """One run that has begun, and what its context variable says of it."""

    __slots__ = (
        "_inside",
        "_mark",
        "around",
        "book",
        "further",
        "outer",
        "place",
        "run",
        "size_bytes",
    )
    is_reported = False

    book: Book
    run: View | None
    """None when it has ended: contexts that outlive it need not keep what it holds."""
    place: Place
    around: str | None
    outer: _context.Inside | None
    further: dict[str, Any]
    """Fields of `Run` to be told at the end."""
    size_bytes: int
    _inside: _context.Inside | None
    _mark: "_context.Mark | None"

    def enter(self, book: Book, run: View, around: str | None) -> None:
        """A run that has begun, which the present code is inside of from now on."""
        self.book = book
        self.run = run
        self.place = run.place
        self.around = around
        self.outer = _context.current()
        self.further = {}
        self.size_bytes = 0
        self._inside = None
        self._mark = _context.enter_with(self)
        self.start()

    @property
    def run_id(self) -> str:
        """Id of the run; the book knows it by this from now on."""
        return self.book.known(self.place, self.run)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.run is not None

    def hold(self, value: Any) -> Any:
        """A value as it is now, to be put into the run's inputs or outputs untouched."""
        held, size_bytes = held_of(value)
        self.size_bytes += size_bytes
        return held

    def copy(self, value: Any) -> Any:
        """A copy of a value in plain containers, for every other field."""
        taker = Snapshot()
        copied = taker.take(value)
        self.size_bytes += taker.size_bytes
        return copied

    def note(self, name: str, value: Any) -> None:
        """Keep something of our own in the run's `metadata["refinery"]`."""
        if self.run is not None:
            self.run.note({name: value})

    def take_turns(self) -> None:
        """Be a run that works in turns with its caller; it rests until `work` is called."""
        self.pause()
        self._inside = _context.swap(None)
        self._leave()

    def work(self) -> None:
        """Begin a turn: what runs from now on is inside this run."""
        self._inside = _context.swap(self._inside)
        self.resume()

    def rest(self) -> None:
        """End a turn."""
        self.pause()
        self._inside = _context.swap(self._inside)

    def end(self, error: BaseException | None = None) -> None:
        """End the run, with the exception it ended by; one that takes turns must be at rest."""
        run = self.run
        if run is None:
            return
        self._leave()
        self.stop()
        further = self.further
        if error is not None:
            ended, notes = ending(error)
            further.update(ended)
            if notes:
                run.note(notes)
        if "metadata" in further:
            further["metadata"] = {**(run.fields.get("metadata") or {}), **further["metadata"]}
        self._close(run, further, self.size_bytes, None)

    def end_with(self, result: Any) -> None:
        """End the run of a function that returned."""
        # Few functions on the way: with cold caches each costs µs (benchmarks/overhead.py).
        run = self.run
        if run is None:
            return
        self.stop()
        mark, self._mark = self._mark, None
        if mark is not None:
            _context.leave(mark)
        further = self.further
        held: Any = None
        size_bytes, gave = 0, None
        try:
            held, size_bytes, gave = fragment_of_own({"output": result})
        except HOSTS:
            raise
        except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
            lose(f"{type(error).__name__} in a value")
        further["outputs"] = held
        self._close(run, further, size_bytes + self.size_bytes, gave)

    def _leave(self) -> None:
        mark, self._mark = self._mark, None
        if mark is not None:
            _context.leave(mark)

    def _close(self, run: View, further: dict[str, Any], size_bytes: int, gave: Any) -> None:
        """Hand the run over, and keep nothing of it: contexts may outlive it by far."""
        self.run, self.further = None, _ENDED
        further["metrics"] = self
        self.book.close(run, further, size_bytes, gave)


@guarded
def begin(
    about: About | None,
    inputs: Any = None,
    *,
    subject: _source.Subject | None = None,
    above: Call | None = None,
    book: Book | None = None,
) -> Call | None:
    """Begin a run inside the present one; None when recording is off or it failed.

    Args:
        about: name, kind and the like.
        inputs: what went in, not yet copied; None when it is told later.
        subject: the code that runs.
        above: the run it belongs to even where the present code runs outside of it.
        book: where it is kept; default: where the run around it is, else the process's.
    """
    if about is None:  # it could not be made
        return None
    around = _context.langchain_run()
    if above is not None and not _context.is_inside(above):
        return open_run(about, inputs, subject, above.book, (above.place, around))
    kept = book or book_at_hand()
    if kept is None:
        return None
    parent = parent_in(kept, _context.current(), around)
    return open_run(about, inputs, subject, kept, (parent, around))


def parent_in(book: Book, inside: _context.Inside | None, around: str | None) -> Place | None:
    """The place of the innermost run at work that a book knows; None outside of all.

    Args:
        book: the book.
        inside: the run of ours at work.
        around: LangChain's.
    """
    if inside is None or not _context.is_innermost(inside, around):
        return None if around is None else book.place_of(around)
    if inside.place is not None and inside.book is book:
        return inside.place
    return book.place_of(inside.run_id)


def open_run(
    about: About,
    inputs: Any,
    subject: _source.Subject | None,
    kept: Book,
    inside_of: tuple[Place | None, str | None],
) -> Call:
    """Begin a run whose place is known.

    Args:
        about: as for `begin`.
        inputs: the same.
        subject: the same.
        kept: where it is kept.
        inside_of: the parent, and LangChain's run at work.
    """
    parent, around = inside_of
    fields: dict[str, Any]
    if about.is_short:
        fields, size_bytes = {"name": about.name, "kind": about.kind, "layer": about.layer}, 0
    else:
        fields, size_bytes = _first_fields(about)
    given = None
    if inputs is not None:
        try:
            fields["inputs"], inputs_bytes, given = fragment_of_own(inputs)
            size_bytes += inputs_bytes
        except HOSTS:
            raise
        except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
            lose(f"{type(error).__name__} in a value")
    run = View()
    run.subject = subject
    run.given = given
    run.size_bytes = size_bytes
    kept.open(run, fields, parent, about.source)
    call = Call()  # without `__init__`, as `Place`
    call.enter(kept, run, around)
    return call


def _first_fields(about: About) -> tuple[dict[str, Any], int]:
    fields: dict[str, Any] = {"name": text(about.name), "kind": about.kind}
    if about.layer is not None:
        fields["layer"] = text(about.layer)
    size_bytes = 0
    if about.tags:
        fields["tags"] = [text(tag) for tag in about.tags]
    if about.metadata is not None:
        taker = Snapshot()
        fields["metadata"] = taker.take(dict(about.metadata))
        size_bytes += taker.size_bytes
    if about.session_id is not None:
        fields["session_id"] = text(about.session_id)
    if about.user_id is not None:
        fields["user_id"] = text(about.user_id)
    return fields, size_bytes


@guarded
def caller(depth: int) -> _source.Subject | None:
    """The user's function `depth` frames above the one that asks; None when it is not theirs."""
    try:
        code = sys._getframe(depth + 2).f_code
    except ValueError:  # not that many frames
        return None
    return _source.Subject(code, code) if _source.is_users(code.co_filename) else None
