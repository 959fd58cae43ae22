"""Which run the present code runs inside, over threads and tasks, LangChain's own included.

Two things know it: our own context variable, set by the recorders that wrap the user's code, and
LangChain's, which holds the callbacks of the runnable at work. The inner of the two wins: ours
remembers what LangChain's said when it was set.
"""

import sys
from contextvars import ContextVar, Token
from typing import Any

_LANGCHAIN = "langchain_core.runnables.config"
_current: ContextVar[tuple[str, str | None] | None] = ContextVar("refinery_run", default=None)
"""The innermost run of ours, and LangChain's run around it."""


def enter(run_id: str) -> "Token[tuple[str, str | None] | None]":
    """Make a run the one that runs begun from now on are children of."""
    return _current.set((run_id, langchain_run()))


def leave(token: "Token[tuple[str, str | None] | None]") -> None:
    """Undo `enter`; in another context than that of `enter` it does nothing."""
    try:
        _current.reset(token)
    except ValueError:  # a generator closed from elsewhere, a callback on another thread
        return


def current_run() -> str | None:
    """Id of the innermost run around the present code; None outside of all runs."""
    ours = _current.get()
    theirs = langchain_run()
    if ours is None:
        return theirs
    run_id, around = ours
    return theirs if theirs is not None and theirs != around else run_id


def own_run() -> str | None:
    """Id of the innermost run of our own recorders; None outside of all."""
    ours = _current.get()
    return ours[0] if ours else None


def langchain_run() -> str | None:
    """Id of the LangChain run whose code is at work; None outside of all, or without LangChain."""
    module = sys.modules.get(_LANGCHAIN)
    variable = getattr(module, "var_child_runnable_config", None)
    config: Any = variable.get() if variable is not None else None
    callbacks = config.get("callbacks") if isinstance(config, dict) else None
    parent = getattr(callbacks, "parent_run_id", None)
    return str(parent) if parent is not None else None
