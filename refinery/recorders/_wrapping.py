"""Functions that record each call of another one and otherwise behave as it does."""

import functools
import hashlib
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from types import CodeType, coroutine
from typing import Any

from refinery.recorders import _context, _source, switch
from refinery.recorders._book import Book
from refinery.recorders._guards import HOSTS, guarded, safely, swallow
from refinery.recorders._hand import About, Call, begin, book_at_hand, open_run, parent_in
from refinery.recorders._metrics import Meter

MAX_ITEMS = 1_000
"""Most items kept of one generator."""


def wrapper(
    function: Any, about: About | None, *, above: Call | None = None, book: Book | None = None
) -> Any:
    """A function of the same sort as `function` that records each call of it.

    Args:
        function: what is called.
        about: name, kind and the like of the runs.
        above: see `_hand.begin`.
        book: see `_hand.begin`.
    """
    recorded = _Recorded(function, about, above, book)
    if inspect.iscoroutinefunction(function):
        wrapped = _asynchronous(function, recorded)
    elif inspect.isasyncgenfunction(function):
        wrapped = _asynchronous_items(function, recorded)
    elif inspect.isgeneratorfunction(function):
        wrapped = _items(function, recorded)
    else:
        wrapped = _plain(function, recorded)
    return functools.update_wrapper(wrapped, function)


@dataclass(slots=True)
class _Parameters:
    """A function's parameters, to give arguments their names."""

    names: tuple[str, ...]
    defaults: tuple[tuple[str, Any], ...]
    rest: str | None
    """The parameter that takes further positional arguments."""
    keywords: str | None
    """The parameter that takes further keyword arguments."""
    by_keyword: frozenset[str]
    is_simple: bool
    """Whether positional arguments that are all there have their names without a further look."""

    @classmethod
    def of(cls, function: Any) -> "_Parameters":
        """Read a function's signature; without one, arguments are numbered."""
        try:
            known = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            return cls((), (), "args", "kwargs", frozenset(), is_simple=False)
        positional = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return cls(
            names=tuple(p.name for p in positional),
            defaults=tuple((p.name, p.default) for p in known if p.default is not p.empty),
            rest=next((p.name for p in known if p.kind is p.VAR_POSITIONAL), None),
            keywords=next((p.name for p in known if p.kind is p.VAR_KEYWORD), None),
            by_keyword=frozenset(p.name for p in known if p.kind is not p.POSITIONAL_ONLY),
            is_simple=not (positional and positional[0].name in ("self", "cls"))
            and not any(p.kind is p.KEYWORD_ONLY for p in known),
        )

    def bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults included; `self` and `cls` are left out."""
        named: dict[str, Any] = dict(zip(self.names, args, strict=False))
        if len(args) > len(self.names):
            named[self.rest or "args"] = args[len(self.names) :]
        if self.keywords is None:
            named.update(kwargs)
        elif kwargs:
            named.update((k, v) for k, v in kwargs.items() if k in self.by_keyword)
            further = {k: v for k, v in kwargs.items() if k not in self.by_keyword}
            if further:
                named[self.keywords] = further
        for name, value in self.defaults:
            if name not in named:
                named[name] = value
        if self.names and self.names[0] in ("self", "cls"):
            named.pop(self.names[0], None)
        return named


class _Recorded:
    """A function that is recorded."""

    __slots__ = ("_about", "_above", "_book", "_function", "_parameters", "_subject")

    def __init__(
        self, function: Any, about: About | None, above: Call | None, book: Book | None
    ) -> None:
        self._function = function
        self._about = about
        self._above = above
        self._book = book
        self._parameters: _Parameters | None = None
        self._subject: _source.Subject | None = None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Begin a run of the function; None when recording is off."""
        # Few functions on the way: with cold caches each costs µs (benchmarks/overhead.py).
        inside = _context.current()
        kept = self._book or (inside.book if inside is not None else None)
        book = kept or switch.current_book() or book_at_hand()
        if book is None or self._about is None:
            return None
        noted = self._prepare() if self._parameters is None else None
        assert self._parameters is not None
        parameters = self._parameters
        if parameters.is_simple and not kwargs and len(args) == len(parameters.names):
            inputs, values = {}, iter(args)
            for name in parameters.names:  # `dict(zip(…))` costs 8 µs more with cold caches
                inputs[name] = next(values)
        else:
            inputs = parameters.bound(args, kwargs)
        if self._above is not None:
            call = begin(self._about, inputs, subject=self._subject, above=self._above, book=book)
        else:
            around = _context.langchain_run() if _context.LANGCHAIN in sys.modules else None
            parent = None
            if inside is not None or around is not None:
                parent = parent_in(book, inside, around)
            call = open_run(self._about, inputs, self._subject, book, (parent, around))
        if call is not None and noted is not None:
            call.note("source", noted)
        return call

    def _prepare(self) -> dict[str, str] | None:
        """Read the function's signature and source, at its first recorded call.

        Returns:
            The source text and its hash, unless the process has told it already.
        """
        noted = None
        function = _source._bare(self._function)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            self._subject = _source.Subject(function, code)
            noted = _source_note(function, code)
        self._parameters = _Parameters.of(self._function)
        return noted


def _source_note(function: Any, code: CodeType) -> dict[str, str] | None:
    """The source text of a function and its hash; None when known already, or not to be had."""
    key = (code.co_filename, code.co_firstlineno, code.co_qualname)
    if key in _told:
        return None
    _told.add(key)
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError, SyntaxError):
        return None
    variant = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return {"variant": variant, "text": text}


_told: set[tuple[str, int, str]] = set()
"""Functions whose source text this process has recorded."""


def _plain(function: Callable[..., Any], recorded: _Recorded) -> Callable[..., Any]:
    # `safely` is spelled out: with cold caches each call on the way costs µs.
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            run = recorded.begin(args, kwargs)
        except HOSTS:
            raise
        except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
            swallow(error, recorded.begin)
            run = None
        if run is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            safely(run.end, error)
            raise
        try:
            run.end_with(result)
        except HOSTS:
            raise
        except BaseException as error:  # noqa: BLE001  # hostile values may raise anything
            swallow(error, run.end_with)
        return result

    return call


def _asynchronous(
    function: Callable[..., Coroutine[Any, Any, Any]], recorded: _Recorded
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        run = safely(recorded.begin, args, kwargs)
        if run is None:
            return await function(*args, **kwargs)
        try:
            result = await _metered(function(*args, **kwargs), run)
        except BaseException as error:
            safely(run.end, error)
            raise
        safely(run.end_with, result)
        return result

    return call


@coroutine
def _metered(work: Coroutine[Any, Any, Any], meter: Meter) -> Generator[Any, Any, Any]:
    """Await a coroutine, measuring its own steps and not what runs between them."""
    sent: Any = None
    thrown: BaseException | None = None
    safely(meter.pause)
    while True:
        safely(meter.resume)
        try:
            waits_for = work.send(sent) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            return done.value
        finally:
            safely(meter.pause)
        sent = thrown = None
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001  # handed on to the coroutine
            thrown = error


class _Turns:
    """A generator's run, and what of its items is kept; does nothing when there is no run."""

    __slots__ = ("_items", "_omitted", "_run")

    def __init__(self, run: Call | None) -> None:
        self._run = run
        self._items: list[Any] = []
        self._omitted = 0
        if run is not None:
            safely(run.take_turns)

    def work(self) -> None:
        """The generator works."""
        if self._run is not None:
            safely(self._run.work)

    def rest(self) -> None:
        """Its consumer works."""
        if self._run is not None:
            safely(self._run.rest)

    @guarded
    def note(self, item: Any) -> None:
        """An item passes."""
        if self._run is None:
            return
        if len(self._items) < MAX_ITEMS:
            self._items.append(self._run.hold(item))
        else:
            self._omitted += 1

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        """The generator has ended."""
        if self._run is not None:
            self._tell(self._run, result)
            safely(self._run.end, error)

    @guarded
    def _tell(self, run: Call, result: Any) -> None:
        outputs: dict[str, Any] = {"items": self._items}
        if self._omitted:
            outputs["items_omitted"] = self._omitted
        if result is not None:
            outputs["output"] = result
        run.further["outputs"] = run.hold(outputs)


def _items(
    function: Callable[..., Generator[Any, Any, Any]], recorded: _Recorded
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        turns = _Turns(safely(recorded.begin, args, kwargs))
        sent: Any = None
        thrown: BaseException | None = None
        try:
            source = function(*args, **kwargs)
            while True:
                turns.work()
                try:
                    item = source.send(sent) if thrown is None else source.throw(thrown)
                finally:
                    turns.rest()
                turns.note(item)
                sent = thrown = None
                try:
                    sent = yield item
                except BaseException as error:  # noqa: BLE001  # handed on to the generator
                    thrown = error
        except StopIteration as done:
            turns.end(done.value)
            return done.value
        except BaseException as error:
            turns.end(error=error)
            raise

    return call


def _asynchronous_items(
    function: Callable[..., AsyncGenerator[Any, Any]], recorded: _Recorded
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        turns = _Turns(safely(recorded.begin, args, kwargs))
        sent: Any = None
        thrown: BaseException | None = None
        try:
            source = function(*args, **kwargs)
            while True:
                turns.work()
                try:
                    item = await (source.asend(sent) if thrown is None else source.athrow(thrown))
                finally:
                    turns.rest()
                turns.note(item)
                sent = thrown = None
                try:
                    sent = yield item
                except BaseException as error:  # noqa: BLE001  # handed on to the generator
                    thrown = error
        except StopAsyncIteration:
            turns.end()
        except BaseException as error:
            turns.end(error=error)
            raise

    return call
