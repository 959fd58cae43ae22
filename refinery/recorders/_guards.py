"""What keeps a recorder's mistakes, and what a host's values raise, away from the host."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from refinery.recorders import _context, switch

if TYPE_CHECKING:
    from refinery.recorders._book import Book

HOSTS = (KeyboardInterrupt, SystemExit)
"""Exceptions that are the host's own even when they surface inside the recorder."""

P = ParamSpec("P")
R = TypeVar("R")


def guarded(method: Callable[P, R]) -> Callable[P, R | None]:
    """Swallow and count whatever goes wrong inside a method of the recorder's."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return method(*args, **kwargs)
        except HOSTS:
            raise
        except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
            swallow(error, method)
            return None

    return call


def safely(action: Callable[..., R], *args: Any, **kwargs: Any) -> R | None:
    """Do something of the recorder's; whatever goes wrong is swallowed and counted."""
    try:
        return action(*args, **kwargs)
    except HOSTS:
        raise
    except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
        swallow(error, action)
        return None


def swallow(error: BaseException, action: Callable[..., Any]) -> None:
    """Count that something of the recorder's went wrong."""
    try:
        lose(f"{type(error).__name__} in {getattr(action, '__name__', 'the recorder')}")
    except Exception:  # noqa: BLE001  # e.g. no stack left for one more call
        return


def lose(reason: str, book: "Book | None" = None) -> None:
    """Count something that was not recorded, to be told at exit; never raises."""
    try:
        kept = book or _context.own_book() or switch.current_book()
        if kept is not None:
            kept.sink.lose(reason)
    except HOSTS:
        raise
    except BaseException:  # noqa: BLE001  # a sink may be broken too
        return


def text(value: Any) -> str:
    """The text of what should be one; never raises."""
    if type(value) is str:
        return value
    try:
        return str(value)
    except HOSTS:
        raise
    except BaseException:  # noqa: BLE001  # hostile values may raise anything
        return f"<{type(value).__name__}>"
