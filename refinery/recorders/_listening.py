"""Answers of a vendor's client as the host reads them: whole, raw, or piece by piece.

Nothing is read ahead or copied into the host's objects. A stream keeps its identity: the iterator
inside it is replaced by one that hands every piece on and notes it, and the `close` of its HTTP
response says when the host gives up. Nothing of ours refers to the stream itself, so a dropped
stream is freed, and noticed, as soon as it would be without us.
"""

import atexit
import contextlib
import functools
import inspect
import json
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from refinery.model import streams
from refinery.model.trace import Json, RunStatus
from refinery.recorders._calls import Call, guarded
from refinery.recorders._snapshot import Snapshot

MAX_PIECES = 100_000
"""Most pieces of one stream that are kept; chosen by us, ten times the longest answer seen."""

MAX_BYTES = 16 << 20
"""Most bytes kept of a body the host reads by itself; chosen by us."""


class Listening:
    """What has come of one streamed answer."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.pieces: list[Json] = []
        self.is_advancing = False
        """Whether the host is waiting for a piece just now."""
        self.is_said = False
        """Whether the model has said all it will say."""
        self.bytes = Bytes()
        self.hooks: list[tuple[Any, str]] = []
        """Attributes of ours on objects of the host, taken away when the answer is over."""
        self._has_begun = False
        self._is_over = False
        self._lock = threading.Lock()
        _enroll(self)

    @contextlib.contextmanager
    def advancing(self) -> Iterator[None]:
        """The SDK is reading, so what it closes meanwhile is no sign of the host giving up."""
        before, self.is_advancing = self.is_advancing, True
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self.is_advancing = before

    def take(self, piece: Any) -> None:
        """Note a piece the host gets."""
        try:
            self._take(piece)
        except Exception as error:  # `guarded` costs as much as the noting
            with guarded(self.call.book):
                raise error

    def _take(self, piece: Any) -> None:
        if len(self.pieces) >= MAX_PIECES:
            self.call.note(pieces_omitted=True)
            return
        plain = body_of(piece)
        self.pieces.append(plain)
        if not self._has_begun and streams.says_something(plain):
            self._has_begun = True
            self.call.first_token()
        if streams.has_ended(self.call.interface, plain):
            self.is_said = True

    def whole(self, answer: Any) -> None:
        """The host has read the answer in one piece."""
        self._end(lambda: self.call.finish(body_of(answer)))

    def read_out(self) -> None:
        """All bytes of the body have been read; whoever makes pieces of them has the last word."""
        if self.bytes.is_wanted:
            self.finish()

    def finish(self) -> None:
        """The host has read all there was."""
        self._end(lambda: self.call.finish(self._body()))

    def fail(self, error: BaseException) -> None:
        """Reading raised."""
        self._end(lambda: self.call.fail(error, self._body()))

    def leave(self, reason: str = "abandoned stream") -> None:
        """The host gave up; an answer that was complete by then is no less so."""
        if self.is_said:
            self.finish()
            return

        def end() -> None:
            self.call.note(cancelled=reason)
            self.call.finish(self._body(), {"status": RunStatus.CANCELLED})

        self._end(end)

    def _end(self, action: Callable[[], None]) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        with guarded(self.call.book):
            action()
        for holder, name in self.hooks:
            vars(holder).pop(name, None)
        self.hooks.clear()

    def hook(self, holder: Any, name: str, made: Callable[..., Any]) -> None:
        """Put a function of ours in the place of a method of one object of the host."""
        setattr(holder, name, made)
        self.hooks.append((holder, name))

    def _body(self) -> Json:
        if self.pieces:
            return streams.joined(self.call.interface, self.pieces)
        return _parsed(self.call.interface, self.bytes.content())


class Bytes:
    """The bytes of a body the host reads without the SDK's help; kept up to `MAX_BYTES`."""

    def __init__(self) -> None:
        self.is_wanted = True
        """Whether nobody makes pieces of them."""
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, part: bytes) -> None:
        """Note bytes the host gets."""
        self._size += len(part)
        if self.is_wanted and self._size <= MAX_BYTES:
            self._parts.append(part)

    def content(self) -> bytes:
        """All that was noted."""
        return b"".join(self._parts)


class _Pieces:
    """The pieces of a stream, noted as they pass."""

    def __init__(self, real: Any, listening: Listening) -> None:
        self._real = real
        self._listening = listening

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> Any:
        listening = self._listening
        listening.is_advancing = True
        try:
            piece = next(self._real)
        except StopIteration:
            listening.finish()
            raise
        except BaseException as error:
            listening.fail(error)
            raise
        finally:
            listening.is_advancing = False
        listening.take(piece)
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __del__(self) -> None:
        self._listening.leave()


class _AsyncPieces:
    """The same for a stream that is awaited."""

    def __init__(self, real: Any, listening: Listening) -> None:
        self._real = real
        self._listening = listening

    def __aiter__(self) -> "_AsyncPieces":
        return self

    async def __anext__(self) -> Any:
        listening = self._listening
        listening.is_advancing = True
        try:
            piece = await self._real.__anext__()
        except StopAsyncIteration:
            listening.finish()
            raise
        except BaseException as error:
            listening.fail(error)
            raise
        finally:
            listening.is_advancing = False
        listening.take(piece)
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __del__(self) -> None:
        self._listening.leave()


def answered(call: Call, result: Any) -> None:
    """Take what a call returned: a model, a stream, or a raw response of either."""
    if _is_stream(result):
        _listen(Listening(call), result)
    elif hasattr(result, "http_response") and callable(getattr(result, "parse", None)):
        _raw(call, result)
    else:
        _whole(call, result)


def body_of(answer: Any) -> Json:
    """A model of a vendor's SDK as the body it was made from."""
    dump = getattr(answer, "model_dump", None)
    if dump is None:
        return Snapshot().take(answer)
    try:
        return dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    except Exception:  # noqa: BLE001  # a field of the host's own class that JSON has no form for
        return Snapshot().take(answer)


def _is_stream(result: Any) -> bool:
    return hasattr(result, "response") and (hasattr(type(result), "__stream__"))


def _whole(call: Call, result: Any) -> None:
    identifier = getattr(result, "_request_id", None)
    if isinstance(identifier, str):
        call.note(request_id=identifier)
    call.finish(body_of(result))


def _listen(listening: Listening, stream: Any) -> None:
    """Note the pieces of a stream from now on."""
    real = stream._iterator
    if isinstance(real, _Pieces | _AsyncPieces):  # a raw response parsed a second time
        return
    is_async = hasattr(real, "__anext__")
    stream._iterator = (_AsyncPieces if is_async else _Pieces)(real, listening)
    _watch_close(stream.response, listening)


def _watch_close(response: Any, listening: Listening) -> None:
    """Have an HTTP response tell when it is closed before its stream came to the end."""
    for name in ("close", "aclose"):
        real = getattr(response, name, None)
        if inspect.ismethod(real):
            listening.hook(response, name, _telling(real, listening))


def _telling(real: Callable[[], Any], listening: Listening) -> Callable[[], Any]:
    """A `close`, perhaps one to await, that says so."""

    def close() -> Any:
        # While a piece is awaited the SDK closes what it has read; the next pieces follow.
        if not listening.is_advancing:
            listening.leave()
        return real()

    return close


def _raw(call: Call, result: Any) -> None:
    """A response the host reads itself: its body if it is there, else what is read of it."""
    response = result.http_response
    content = getattr(response, "_content", None)
    if isinstance(content, bytes):
        call.finish(_parsed(call.interface, content))
        return
    listening = Listening(call)
    _watch_close(response, listening)
    _watch_bytes(response, listening)
    listening.hook(result, "parse", _parsing(result.parse, listening))


def _watch_bytes(response: Any, listening: Listening) -> None:
    """Note the bytes of an HTTP response as they are read."""
    for name, make in (("iter_bytes", _passing), ("aiter_bytes", _passing_async)):
        real = getattr(response, name, None)
        if inspect.ismethod(real):
            listening.hook(response, name, make(real, listening))


def _passing(real: Callable[..., Any], listening: Listening) -> Callable[..., Any]:
    def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        parts = iter(real(*args, **kwargs))
        while True:
            with listening.advancing():
                part = next(parts, None)
            if part is None:
                break
            listening.bytes.take(part)
            yield part
        listening.read_out()

    return iter_bytes


def _passing_async(real: Callable[..., Any], listening: Listening) -> Callable[..., Any]:
    async def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        parts = aiter(real(*args, **kwargs))
        while True:
            with listening.advancing():
                part = await anext(parts, None)
            if part is None:
                break
            listening.bytes.take(part)
            yield part
        listening.read_out()

    return aiter_bytes


def _parsing(real: Callable[..., Any], listening: Listening) -> Callable[..., Any]:
    """`parse` of a raw response, sync or async, that has its result noted."""

    def take(result: Any) -> Any:
        with guarded(listening.call.book):
            if _is_stream(result):
                _listen(listening, result)
            else:
                listening.whole(result)
        return result

    @functools.wraps(real)
    def parse(*args: Any, **kwargs: Any) -> Any:
        listening.bytes.is_wanted = False
        with listening.advancing():
            result = real(*args, **kwargs)
        return take(result)

    @functools.wraps(real)
    async def parse_async(*args: Any, **kwargs: Any) -> Any:
        listening.bytes.is_wanted = False
        with listening.advancing():
            result = await real(*args, **kwargs)
        return take(result)

    return parse_async if inspect.iscoroutinefunction(real) else parse


def _parsed(interface: str, content: bytes) -> Json:
    """A body as read from its bytes: one JSON document, or events."""
    if not content:
        return None
    text = content.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        events = streams.read_events(text)
        return streams.joined(interface, events) if events else text


_open: "weakref.WeakSet[Listening]" = weakref.WeakSet()
_hooked = threading.Event()


def _enroll(listening: Listening) -> None:
    """Have a stream that is open at exit end as left, before the sink is closed."""
    _open.add(listening)
    if not _hooked.is_set():
        _hooked.set()
        atexit.register(_leave_all)


def _leave_all() -> None:
    for listening in list(_open):
        listening.leave("the program ended")
