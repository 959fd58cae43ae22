"""Which run the present code runs inside, over threads and tasks, LangChain's own included.

Two things know it: our own context variable, set by the recorders that wrap the user's code, and
LangChain's, which holds the callbacks of the runnable at work. The inner of the two wins: ours
remembers what LangChain's said when it was set.
"""

import sys
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from refinery.recorders._book import Book
    from refinery.recorders._order import Place

LANGCHAIN = "langchain_core.runnables.config"


class Inside(Protocol):
    """A run of ours at work, and what it runs inside; none of it ever changes."""

    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def around(self) -> str | None:
        """LangChain's run at work when this one began."""

    @property
    def outer(self) -> "Inside | None":
        """The run of ours around this one."""

    @property
    def book(self) -> "Book | None":
        """Where runs inside this one are kept; None: the process's own."""

    @property
    def place(self) -> "Place | None":
        """Where it stands; None: its book knows, by its id."""

    @property
    def is_reported(self) -> bool:
        """Whether it is LangChain's, which says itself what the parents of its runs are."""


@dataclass(slots=True, eq=False)
class _Entered:
    """One that was entered by its id."""

    run_id: str
    around: str | None
    outer: Inside | None
    book: "Book | None"
    is_reported: bool
    place: "Place | None" = None


Mark: TypeAlias = "Token[Inside | None]"
"""What `enter` returns and `leave` takes."""

_current: ContextVar[Inside | None] = ContextVar("refinery_run", default=None)
current = _current.get
"""The run of ours around the present code; None outside of all."""
_model_call: "ContextVar[tuple[Book, str] | None]" = ContextVar("refinery_model", default=None)


enter_with = _current.set
"""The same as `enter` for one that knows itself what it runs inside."""


def enter(run_id: str, book: "Book | None" = None, *, is_reported: bool = False) -> Mark:
    """Make a run the one that runs begun from now on are children of.

    Args:
        run_id: the run.
        book: where it is kept; default: where the run around it is.
        is_reported: see `Inside.is_reported`.
    """
    outer = _current.get()
    kept = book if book is not None or outer is None else outer.book
    return _current.set(_Entered(run_id, langchain_run(), outer, kept, is_reported))


def leave(token: Mark) -> None:
    """Undo `enter`; in another context than that of `enter`, or again, it does nothing."""
    try:
        _current.reset(token)
    except (ValueError, RuntimeError):  # closed from another thread or task; left already
        return


def swap(inside: Inside | None) -> Inside | None:
    """Put another run, or none, in the place of the present one, which is returned.

    For code that runs in turns with its caller: a generator has its own run around it while it
    works, and its consumer must not.
    """
    present = _current.get()
    _current.set(inside)
    return present


def current_run() -> str | None:
    """Id of the innermost run around the present code; None outside of all runs."""
    ours, theirs = _current.get(), langchain_run()
    return ours.run_id if ours is not None and is_innermost(ours, theirs) else theirs


def is_innermost(ours: Inside, theirs: str | None) -> bool:
    """Whether the run of ours at work is inside LangChain's at work, and not around it."""
    return theirs is None or theirs == ours.around


def own_run() -> str | None:
    """Id of the innermost run of our own recorders; None outside of all."""
    ours = _ours()
    return ours.run_id if ours else None


def own_book() -> "Book | None":
    """Where the innermost run known here is kept; None outside of all."""
    ours = _current.get()
    return ours.book if ours else None


def is_inside(run: Inside) -> bool:
    """Whether a run of our own recorders is around the present code, however far out."""
    ours = _current.get()
    while ours is not None:
        if ours is run:
            return True
        ours = ours.outer
    return False


def parent_of_reported(parent_id: str | None) -> str | None:
    """The parent of a run that LangChain reports under `parent_id`, or as a root (None).

    When a run of ours began inside that same parent and is still at work, it lies between.
    """
    ours = _ours()
    if ours is not None and (parent_id is None or parent_id == ours.around):
        return ours.run_id
    return parent_id


def _ours() -> Inside | None:
    ours = _current.get()
    while ours is not None and ours.is_reported:
        ours = ours.outer
    return ours


def enter_model_call(book: "Book", run_id: str) -> None:
    """Say which model call of LangChain's is at work here, until another one is."""
    _model_call.set((book, run_id))


def model_call() -> "tuple[Book, str] | None":
    """Where LangChain's latest model call here is kept, and its run, which may have ended."""
    return _model_call.get()


def langchain_run() -> str | None:
    """Id of the LangChain run whose code is at work; None outside of all, or without LangChain."""
    module = sys.modules.get(LANGCHAIN)
    if module is None:
        return None
    variable = getattr(module, "var_child_runnable_config", None)
    config: Any = variable.get() if variable is not None else None
    callbacks = config.get("callbacks") if isinstance(config, dict) else None
    parent = getattr(callbacks, "parent_run_id", None)
    return str(parent) if parent is not None else None
