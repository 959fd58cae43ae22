"""Calls of a vendor's client: one run each, from the request to the whole answer.

Both vendors' SDKs send everything through one method of their base client, `request`, which gets
the body as it will be sent. It is replaced once, on the class; every resource method, sync, async,
raw or streaming, passes through it, and so do resources added later.
"""

import contextlib
import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from refinery import clock
from refinery.model import bodies
from refinery.model.trace import Json
from refinery.recorders import _context, _source, gateway_mark
from refinery.recorders._book import Book, ending
from refinery.recorders._snapshot import Snapshot, fragment

FRAMES = 80
"""Frames looked at above a call, for LangChain's model around it and the user's function."""
MAX_FLOATS = 20_000
"""Most numbers kept of the vectors of one embedding call; above, their lengths are kept."""
_MODEL_METHODS = frozenset({"_generate", "_agenerate", "_stream", "_astream", "_call", "_acall"})
_OURS = "refinery.recorders."
_MARK = "__refinery__"


@dataclass(slots=True)
class Vendor:
    """Whose client it is."""

    name: str
    """As in `Run.provider`; also how its interfaces begin (`model.bodies`)."""
    is_armed: bool = False
    """Whether every client of the process is recorded, LangChain's models by its own recorder."""
    current_book: "Callable[[], Book | None]" = lambda: None
    """Where calls outside of all runs of ours are kept; None while recording is off."""
    clients: "weakref.WeakSet[Any]" = field(default_factory=weakref.WeakSet)
    """HTTP clients of the vendor clients that were wrapped by hand; their copies share them."""


class Call:
    """One open run of a vendor call."""

    def __init__(self, book: Book, run_id: str, interface: str) -> None:
        self.book = book
        self.run_id = run_id
        self.interface = interface

    def note(self, **notes: Json) -> None:
        """Add to `metadata["refinery"]` of the run."""
        if run := self.book.get(self.run_id):
            run.note(notes)

    def first_token(self) -> None:
        """The answer has begun."""
        if run := self.book.get(self.run_id):
            run.fields.setdefault("first_token_ns", self.book.now(run))

    def finish(self, body: Json, more: Mapping[str, Any] | None = None) -> None:
        """End the run with the body of the answer, as plain containers."""
        held, size, gave = fragment(self._bounded(body))
        fields = {"outputs": held, **bodies.answered(self.interface, body), **(more or {})}
        self.book.finish(self.run_id, fields, size_bytes=size, gave=gave)

    def fail(self, error: BaseException, body: Json = None) -> None:
        """End the run with an exception, after what of the answer had come."""
        fields, notes = ending(error)
        status = getattr(error, "status_code", None)
        if isinstance(status, int):
            notes["http_status"] = status
        identifier = getattr(error, "request_id", None)
        if isinstance(identifier, str):
            notes["request_id"] = identifier
        self.note(**notes)
        self.finish(body, fields)

    def _bounded(self, body: Json) -> Json:
        """The body; of many long vectors only their lengths."""
        rows = body.get("data") if isinstance(body, dict) else None
        if self.interface != bodies.EMBEDDINGS or not isinstance(rows, list):
            return body
        lengths = [_length(row) for row in rows]
        if sum(lengths) <= MAX_FLOATS:
            return body
        self.note(vectors_omitted=True)
        kept = [
            {**row, "embedding": {"dimensions": length}} if isinstance(row, dict) else row
            for row, length in zip(rows, lengths, strict=True)
        ]
        return {**body, "data": kept}


def _length(row: Json) -> int:
    vector = row.get("embedding") if isinstance(row, dict) else None
    return len(vector) if isinstance(vector, list | str) else 0


_at_work: ContextVar[Call | None] = ContextVar("refinery_call", default=None)
"""The call whose request is being sent, for the SDK's retries."""


@contextlib.contextmanager
def guarded(book: Book | None) -> Iterator[None]:
    """Swallow and count whatever goes wrong inside."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # the recorder never breaks the host
        with contextlib.suppress(Exception):  # a sink of the user's may be broken too
            if book is not None:
                book.sink.lose(f"{type(error).__name__} in a client's recorder")


def patch(client: type, vendor: Vendor, answered: Callable[[Call, Any], None]) -> None:
    """Record the calls of a client class from now on; a second time it does nothing.

    Args:
        client: a public client class of the vendor's SDK.
        vendor: whose it is.
        answered: takes what a call returned; it returns at once and keeps nothing of the host's.
    """
    for name, make in (("request", _recording), ("_sleep_for_retry", _noting)):
        owner = next((cls for cls in client.__mro__ if name in vars(cls)), None)
        if owner is None or hasattr(vars(owner)[name], _MARK):
            continue
        made = make(vars(owner)[name], vendor, answered)
        setattr(made, _MARK, True)
        setattr(owner, name, made)


def _recording(
    real: Callable[..., Any], vendor: Vendor, answered: Callable[[Call, Any], None]
) -> Callable[..., Any]:
    """`request` with recording around it, sync or async as it was."""

    @functools.wraps(real)
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(vendor, self, args, kwargs)
        if call is None:
            return real(self, *args, **kwargs)
        token = _at_work.set(call)
        try:
            result = real(self, *args, **kwargs)
        except BaseException as error:
            with guarded(call.book):
                call.fail(error)
            raise
        finally:
            _at_work.reset(token)
        with guarded(call.book):
            answered(call, result)
        return result

    @functools.wraps(real)
    async def send_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(vendor, self, args, kwargs)
        if call is None:
            return await real(self, *args, **kwargs)
        token = _at_work.set(call)
        try:
            result = await real(self, *args, **kwargs)
        except BaseException as error:
            with guarded(call.book):
                call.fail(error)
            raise
        finally:
            _at_work.reset(token)
        with guarded(call.book):
            answered(call, result)
        return result

    return send_async if inspect.iscoroutinefunction(real) else send


def _noting(
    real: Callable[..., Any], vendor: Vendor, answered: Callable[[Call, Any], None]
) -> Callable[..., Any]:
    """`_sleep_for_retry` that notes the retry; its result, perhaps a coroutine, is handed on."""

    @functools.wraps(real)
    def sleep(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _at_work.get()
        # LangChain's own calls are told by its recorder, which cannot see the SDK's retries.
        place = (call.book, call.run_id) if call else _context.model_call()
        if place:
            book, run_id = place
            with guarded(book):
                taken = kwargs.get("retries_taken")
                about = {
                    "attempt": taken + 1 if isinstance(taken, int) else None,
                    "http_status": getattr(kwargs.get("response"), "status_code", None),
                }
                book.add_event(run_id, "retry", about)
        return real(self, *args, **kwargs)

    return sleep


@guarded(None)
def _begin(
    vendor: Vendor, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Call | None:
    """Open a run for a request; None when it is none of ours to record."""
    book: Book | None = None
    with guarded(None):
        if vendor.is_armed or getattr(client, "_client", None) in vendor.clients:
            book = _context.own_book() or vendor.current_book()
    if book is None:
        return None
    with guarded(book):
        return _open(book, vendor, client, kwargs.get("options", args[1] if args[1:] else None))
    return None


def _open(book: Book, vendor: Vendor, client: Any, options: Any) -> Call | None:
    interface = bodies.interface_of(str(getattr(options, "url", "")))
    is_post = str(getattr(options, "method", "")).lower() == "post"
    if interface is None or not is_post or not interface.startswith(vendor.name + "."):
        return None
    subject, is_langchains = _around()
    endpoint = _endpoint(client)
    if is_langchains and vendor.is_armed and interface != bodies.EMBEDDINGS:
        gateway_mark.mark(options, endpoint, gateway_mark.ELSEWHERE)
        return None
    body = _body(options)
    taker = Snapshot()
    known = {name: taker.take(value) for name, value in bodies.asked(body).items()}
    held, size, given = fragment(body)
    run_id = clock.new_uuid()
    fields = {
        "kind": bodies.kind_of(interface),
        "native_kind": interface,
        "name": interface,
        "provider": "azure" if "Azure" in type(client).__name__ else vendor.name,
        "inputs": held,
        **known,
    }
    run = book.start(
        run_id,
        _context.current_run(),
        fields,
        size_bytes=size + taker.size_bytes,
        subject=subject,
        source=vendor.name,
        given=given,
    )
    if endpoint:
        run.note({"endpoint": endpoint})
        gateway_mark.mark(options, endpoint, f"{run.place.trace_id}/{run_id}")
    return Call(book, run_id, interface)


def _body(options: Any) -> Json:
    """The body as it will be sent: the method's own, with the caller's `extra_body` over it."""
    body, extra = getattr(options, "json_data", None), getattr(options, "extra_json", None)
    if isinstance(body, Mapping) and isinstance(extra, Mapping):
        return {**body, **extra}
    return body


def _endpoint(client: Any) -> str | None:
    """Scheme, host and path of the client's base URL, without user name and query."""
    url: Any = getattr(client, "base_url", None)
    if not isinstance(getattr(url, "host", None), str):
        return None
    port = f":{url.port}" if getattr(url, "port", None) else ""
    return f"{url.scheme}://{url.host}{port}{url.path}".rstrip("/")


def _around() -> tuple[_source.Subject | None, bool]:
    """The user's function that made the call, and whether LangChain's model stands between.

    LangChain reports its own model calls, so those are not recorded a second time.
    """
    subject: _source.Subject | None = None
    has_langchain = "langchain_core" in sys.modules
    frame: FrameType | None = sys._getframe(1)
    for _ in range(FRAMES):
        if frame is None or (subject is not None and not has_langchain):
            break
        code = frame.f_code
        if has_langchain and _is_model(frame):
            return subject, True
        module = str(frame.f_globals.get("__name__", ""))
        is_candidate = subject is None and not module.startswith(_OURS)
        if is_candidate and _source.is_users(code.co_filename):
            subject = _source.Subject(code, code)
        frame = frame.f_back
    return subject, False


def _is_model(frame: FrameType) -> bool:
    """Whether a frame is a method of a LangChain model."""
    if str(frame.f_globals.get("__name__", "")).startswith("langchain_core.language_models."):
        return True
    if frame.f_code.co_name not in _MODEL_METHODS:
        return False
    return hasattr(type(frame.f_locals.get("self")), "_llm_type")
