"""Serves functions recorded as tools by `@instrument(layer="tool")` from the tape.

The function itself is replaced where the recorder wraps it, when the agent is imported: the call
is recorded again as before, but the work is the recorded result. Blocks of `track` and functions
of other layers are the program; they run.
"""

import functools
import importlib
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Generator
from types import SimpleNamespace
from typing import Any

from refinery.model.codec import encode
from refinery.model.trace import RunKind
from refinery.recorders._snapshot import Snapshot
from refinery.recorders._wrapping import _Parameters
from refinery.replay.inside.revive import as_annotated
from refinery.replay.inside.stand_in import StandIns, plain_value


class Functions:
    """What instrumented tools of a process are answered from."""

    def __init__(self, stand_ins: StandIns) -> None:
        self.stand_ins = stand_ins

    def install(self) -> None:
        """Change what `@instrument` wraps from now on."""
        module: Any = importlib.import_module("refinery.recorders.instrument")
        real = module.wrapper

        def wrapper(function: Any, about: Any, **more: Any) -> Any:
            is_tool = about is not None and about.kind is RunKind.TOOL
            return real(self._served(function, about.name) if is_tool else function, about, **more)

        module.wrapper = wrapper

    def _served(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A function of the same sort that gives the recorded result instead."""
        if inspect.iscoroutinefunction(function):
            served = self._asynchronous(function, name)
        elif inspect.isasyncgenfunction(function):
            served = self._asynchronous_items(function, name)
        elif inspect.isgeneratorfunction(function):
            served = self._items(function, name)
        else:
            served = self._plain(function, name)
        return functools.wraps(function)(served)

    def _answer(
        self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Any] | None:
        """The recorded result, to be called for; None when the function has to run."""
        if not self.stand_ins.is_begun:
            return None
        if self.stand_ins.runs(name, "tool", SimpleNamespace(func=function)):
            return None
        inputs = encode(Snapshot().take(_Parameters.of(function).bound(args, kwargs)))
        return self.stand_ins.served_tool(name, inputs, lambda kept: _result(function, kept))

    def _plain(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = self._answer(function, name, args, kwargs)
            return function(*args, **kwargs) if answer is None else answer()

        return call

    def _asynchronous(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = self._answer(function, name, args, kwargs)
            return await function(*args, **kwargs) if answer is None else answer()

        return call

    def _items(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            answer = self._answer(function, name, args, kwargs)
            if answer is None:
                return (yield from function(*args, **kwargs))
            items, result = answer()
            yield from items
            return result

        return call

    def _asynchronous_items(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            answer = self._answer(function, name, args, kwargs)
            if answer is None:
                async for item in function(*args, **kwargs):
                    yield item
                return
            for item in answer()[0]:
                yield item

        return call


def _result(function: Callable[..., Any], outputs: Any) -> Any:
    """What a function returned, or the items and the result of a generator."""
    kept = outputs if isinstance(outputs, dict) else {"output": outputs}
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return plain_value(kept.get("items") or []), plain_value(kept.get("output"))
    return as_annotated(_annotation(function), plain_value(kept.get("output")))


def _annotation(function: Callable[..., Any]) -> Any:
    try:
        return typing.get_type_hints(function).get("return")
    except Exception:  # noqa: BLE001  # annotations are code of the agent's
        return None
