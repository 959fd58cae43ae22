"""Reads requests and writes answers: bounded bodies, checked values, JSON of anything stored."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response

from refinery.errors import InputError, NotFoundError, StoreError
from refinery.model.trace import Json
from refinery.server.answers import RequestError
from refinery.server.answers import to_bytes as to_bytes
from refinery.server.limits import STORE_RETRY_AFTER_S
from refinery.server.routes._langsmith.around import Library, Memory
from refinery.server.routes._langsmith.grammar import Expression, FilterError, parse
from refinery.server.routes._langsmith.matching import nanoseconds

MAX_BODY_BYTES = 4 * 2**20
"""A question with 10,000 run ids takes a tenth of it."""

MAX_LISTED = 10_000

T = TypeVar("T")
_log = logging.getLogger("refinery.server")


class Question:
    """The body or the query parameters of a request; every value is checked when it is asked for.

    What is unknown is passed over, as the service does; null means "not given".
    """

    def __init__(self, given: Mapping[str, Json]) -> None:
        self._given = {name: value for name, value in given.items() if value is not None}

    def __contains__(self, name: object) -> bool:
        return name in self._given

    def value(self, name: str) -> Json:
        """Whatever was given."""
        return self._given.get(name)

    def text(self, name: str) -> str | None:
        """A text.

        Raises:
            RequestError: 422, it is none.
        """
        value = self._given.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            return value[0]
        raise _wrong(name, "a text")

    def texts(self, name: str) -> list[str] | None:
        """A list of texts; one text counts as a list of one.

        Raises:
            RequestError: 422, it is none, or too long.
        """
        value = self._given.get(name)
        if value is None:
            return None
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in listed) or len(listed) > MAX_LISTED:
            raise _wrong(name, f"a list of at most {MAX_LISTED} texts")
        return listed

    def flag(self, name: str) -> bool | None:
        """True or false, also as a text or as 1 or 0.

        Raises:
            RequestError: 422, it is neither.
        """
        value = self._given.get(name)
        value = value[-1] if isinstance(value, list) and value else value
        known = {"true": True, "1": True, "false": False, "0": False}
        if value is None or isinstance(value, bool):
            return value
        if str(value).lower() in known:
            return known[str(value).lower()]
        raise _wrong(name, "true or false")

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number.

        Raises:
            RequestError: 422, it is none, or out of range.
        """
        value = self._given.get(name, default)
        value = value[-1] if isinstance(value, list) and value else value
        if isinstance(value, str) and len(value) < 19 and value.lstrip("-").isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(name, f"a whole number from {least} to {most}")
        return value

    def time_ns(self, name: str) -> int | None:
        """A time as nanoseconds UTC.

        Raises:
            RequestError: 422, it is none.
        """
        value = self._given.get(name)
        value = value[-1] if isinstance(value, list) and value else value
        if value is None:
            return None
        found = nanoseconds(value) if isinstance(value, str | int | float) else None
        if found is None and isinstance(value, str):
            # A space stands for the plus sign of an offset that was not escaped in an address.
            found = nanoseconds(value.strip().replace(" ", "+"))
        if found is None:
            raise _wrong(name, "a time as in 2026-01-31T12:00:00Z")
        return found

    def expression(self, name: str) -> Expression | None:
        """A filter.

        Raises:
            RequestError: 400, it cannot be read.
        """
        text = self.text(name)
        if text is None or not text.strip():
            return None
        try:
            return parse(text)
        except FilterError as error:
            raise RequestError(400, f"{name}: {error}; {error.hint}") from error


async def body_of(request: Request) -> Question:
    """The JSON object in a request's body; nothing counts as an empty one.

    Raises:
        RequestError: it is too large (413), no JSON (400) or no object (422).
    """
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise RequestError(413, f"the body is larger than {MAX_BODY_BYTES // 2**20} MiB")
        pieces.append(piece)
    raw = b"".join(pieces)
    if not raw.strip():
        return Question({})
    try:
        given = orjson.loads(raw)
    except ValueError as error:
        raise RequestError(400, f"the body is no JSON: {str(error)[:200]}") from error
    if given is not None and not isinstance(given, dict):
        raise RequestError(422, "the body must be an object")
    return Question(given or {})


def parameters_of(request: Request) -> Question:
    """The query parameters; each as a list, with `name[]` and commas in `selects` understood."""
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items()[:MAX_LISTED]:
        given.setdefault(name.removesuffix("[]"), []).append(value)
    return Question(given)


async def answer(request: Request, ask: Callable[[Library], T]) -> T:
    """Ask the store in a thread of its own; what it raises becomes an answer with a reason.

    Raises:
        RequestError: 400, 404 or 503.
    """
    state = request.app.state
    if not hasattr(state, "langsmith_memory"):
        state.langsmith_memory = Memory()
    library = Library(
        state.store, state.langsmith_memory, is_later_page=getattr(request.state, "later", False)
    )

    def asked() -> T:
        try:
            return ask(library)
        except StoreError as error:
            _log.warning("the store did not answer: %s", error)
            retry = {"retry-after": str(STORE_RETRY_AFTER_S)}
            raise RequestError(503, f"the store did not answer: {error}", headers=retry) from error
        except NotFoundError as error:
            raise RequestError(404, str(error)) from error
        except InputError as error:
            raise RequestError(400, f"{error}; {error.hint}") from error

    return await anyio.to_thread.run_sync(asked)


def reply(document: Json, status: int = 200) -> Response:
    """An answer in JSON."""
    return raw_reply(to_bytes(document), status)


def raw_reply(content: bytes, status: int = 200) -> Response:
    """An answer in JSON that is written already."""
    return Response(content, status, media_type="application/json")


def missing(what: str) -> RequestError:
    """404 with a reason."""
    return RequestError(404, f"{what} not found")


def server_url(request: Request) -> str:
    """The address the client reached this server at, without a slash at the end."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def _wrong(name: str, expected: str) -> RequestError:
    return RequestError(422, f"{name} must be {expected}")


def names_of(question: Question, name: str) -> frozenset[str] | None:
    """A list of field names in lower case, also written with commas; None when not given."""
    given: Any = question.texts(name)
    if given is None:
        return None
    return frozenset(part.strip().lower() for one in given for part in one.split(","))
