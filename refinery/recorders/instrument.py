"""Records the user's own functions and blocks: `@instrument` and `with track(...)`.

    @instrument(layer="tool")
    def search(query, limit=10): ...

    with track("rank", layer="step", candidates=found) as run:
        run.set_output(ranked)

A recorded function behaves as before: it returns the same object, raises the same exception, is
as lazy, and keeps its signature, name and module. What goes in is copied when the call begins,
what comes out when it ends. Items of a generator are copied as they pass, the first
1,000 of them.

Each run carries its code reference; the source text of every version of a function is kept once
a process, in `metadata["refinery"]["source"]` of the first run of it, under the `variant` that
all its runs name in `code`.

Runs begun on other threads are children of the present one when the context is carried over:
`asyncio` and LangChain do, a plain thread or executor does with `carry`.
"""

import contextvars
import functools
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, cast, overload

from refinery.recorders._guards import guarded, lose, safely, text
from refinery.recorders._hand import About, Call, begin, caller, kind_of
from refinery.recorders._wrapping import wrapper

Layer: TypeAlias = Literal["tool", "workflow", "step", "node", "function"]
"""Which layer of an application a function belongs to."""

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@overload
def instrument(function: F, /) -> F: ...
@overload
def instrument(
    *,
    layer: Layer = "function",
    name: str | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Callable[[F], F]: ...
def instrument(
    function: Any = None,
    /,
    *,
    layer: Layer = "function",
    name: str | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Record every call of a function, with or without parentheses: `@instrument(layer="tool")`.

    Functions, methods, class and static methods, coroutine functions, generators and
    asynchronous generators; anything else comes back as it is. Recording is switched on by the
    first call, unless `REFINERY_RECORD=0`.

    Args:
        function: what to record.
        layer: which layer of the application it belongs to; it decides the kind of the runs.
        name: name of the runs; default: the function's, with its class.
        tags: tags of the runs.
        metadata: metadata of the runs.
    """
    if function is None:
        return functools.partial(instrument, layer=layer, name=name, tags=tags, metadata=metadata)
    if isinstance(function, classmethod | staticmethod):
        inner = instrument(layer=layer, name=name, tags=tags, metadata=metadata)
        return type(function)(inner(function.__func__))
    if isinstance(function, type) or not callable(function):
        return function
    called = getattr(function, "__qualname__", type(function).__name__)
    about = safely(
        About,
        name=text(called).rpartition("<locals>.")[2] if name is None else name,
        kind=kind_of(layer),
        source="instrument",
        layer=layer,
        tags=tags,
        metadata=metadata,
    )
    return wrapper(function, about)


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """A function that, on whatever thread, runs inside the run it was carried out of.

        pool.submit(carry(work), item)

    Each call has a copy of the present context, so it may be called on many threads at once.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return call


class track:  # noqa: N801  # used as a statement: `with track("rank"):`
    """Records a block of code as a run: `with track("rank", layer="step", items=found) as run:`.

    Also with `async with`, and as a decorator. The keywords beyond those named are the run's
    inputs.

    Args:
        name: name of the run.
        layer: which layer of the application the block belongs to.
        tags: tags of the run.
        metadata: metadata of the run.
        inputs: what goes in, by name.
    """

    def __init__(
        self,
        name: str,
        *,
        layer: Layer = "function",
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> None:
        self._about = safely(About, name, kind_of(layer), "instrument", layer, tags, metadata)
        self._inputs = inputs
        self._call: Call | None = None

    @property
    def run_id(self) -> str | None:
        """Id of the run; None before it begins and when recording is off."""
        return self._call.run_id if self._call else None

    def set_output(self, value: Any) -> None:
        """Say what came out of the block."""
        self._tell("outputs", "output", value)

    def set_input(self, value: Any) -> None:
        """Say what went in, in place of the keywords."""
        self._tell("inputs", "input", value)

    @guarded
    def _tell(self, field: str, name: str, value: Any) -> None:
        call = self._call
        if call is None or not call.is_open:
            if call is not None:
                lose(f"{field} told outside of their block", call.book)
            return
        call.further[field] = call.hold(value if type(value) is dict else {name: value})

    def __enter__(self) -> "track":
        self._call = safely(begin, self._about, self._inputs, subject=caller(1))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._call is not None:
            safely(self._call.end, error)

    async def __aenter__(self) -> "track":
        self._call = safely(begin, self._about, self._inputs, subject=caller(1))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Record every call of a function under this name."""
        return cast("F", wrapper(function, self._about))
