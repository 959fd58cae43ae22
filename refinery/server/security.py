"""The gate every request passes: whose page sent it, to what name, with what key or token.

The collector is meant for programs of this machine. A web page open in a browser on it can send
requests too: directly (they carry `Origin` or `Sec-Fetch-Site`), or under a name of its own that
it lets point here (DNS rebinding; the `Host` header gives it away). Both are refused, and a body
must be of a type a page cannot send unasked, except where the protocol needs `multipart`.
"""

import base64
import binascii
import hmac
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refinery.errors import InputError, NotFoundError, RefineryError, StoreError
from refinery.server import links, pages, paths, tokens
from refinery.server.answers import HEADERS, PAGE_POLICY, RequestError, problem, refusal
from refinery.server.config import ServeSettings
from refinery.server.limits import STORE_RETRY_AFTER_S
from refinery.server.tokens import Caller, Tokens, is_guarded

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MULTIPART_PATHS = frozenset({"/runs/multipart"})

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_BODY_TYPES = frozenset({"application/json", "application/x-protobuf"})
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
OPEN_PATHS = frozenset({"/", "/health"})
"""Answered without key and token: they tell nothing."""
_CACHED = f"{tokens.PAGES}/static/"
"""Files of the pages may be kept by the browser, and are asked for again when they changed."""
_log = logging.getLogger("refinery.server")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """ASGI middleware: lets through what may come in, and answers the rest itself."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        taking: Sequence[Route],
        door: Tokens,
    ) -> None:
        self.app = app
        self.door = door
        self.taking = taking
        """Routes by which programs send traces."""
        self.direct: Mapping[tuple[str, str], Endpoint] = {
            ("POST", route.path): route.endpoint
            for route in taking
            if "POST" in (route.methods or ())
        }
        """Endpoints by method and path that need no routing: those many requests go to."""
        self.key = settings.api_key.encode() if settings.api_key else None
        self.is_public = not is_loopback(settings.host)
        self.names = LOOPBACK_NAMES | {name.lower() for name in settings.allowed_hosts}
        if self.is_public:
            self.names |= {settings.host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, bring its path to the plain form, and protect its answer."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        path = paths.plain(scope["path"])
        sender = _Protected(send, path)
        try:
            scope = {**scope, "path": path, "raw_path": path.encode("utf-8", "replace")}
            entered = self.check(scope, Headers(scope=scope))
            endpoint = self.direct.get((scope["method"], path))
            if entered is not None:
                await entered(scope, receive, sender)
            elif endpoint is None:
                await self.app(scope, receive, sender)
            else:
                request = Request(scope, receive)
                await (await endpoint(request))(scope, receive, sender)
        except RequestError as error:
            await sender.answer(error, scope, receive)
        except (InputError, NotFoundError) as error:
            await sender.answer(_reason(error), scope, receive)
        except Exception as error:  # noqa: BLE001  # the server's boundary: no stack trace gets out
            _log.error("a request failed: %s", type(error).__name__, exc_info=error)
            await sender.answer(RequestError(500, "the collector failed"), scope, receive)

    def check(self, scope: Scope, headers: Headers) -> Response | None:
        """Raise for a request that may not come in.

        Returns:
            The whole answer, when the request brings the token in its address; else None.

        Raises:
            RequestError: it comes from a web page, under a foreign name, without key or token, or
                with a body of a type that is not taken.
        """
        method, path = scope["method"], scope["path"]
        host = self._checked_host(headers)
        _check_page(headers, host)
        if is_guarded(path):
            if (entered := self.door.entry(scope)) is not None:
                return entered
            caller = self.door.check(scope, headers)
            _check_reach(caller, path)
            scope[tokens.CALLER] = caller
        elif not self._is_open(scope) and not self._has_key(headers):
            raise RequestError(401, self._closed(), headers={"www-authenticate": "Bearer"})
        if method in _BODY_METHODS:
            _check_type(headers.get("content-type", ""), path, method)
        return None

    def _is_open(self, scope: Scope) -> bool:
        """Whether no key is needed, because none is set, or because of the path or the link."""
        path = scope["path"]
        if path in OPEN_PATHS or links.is_open(
            scope["method"], path, scope.get("query_string", b"")
        ):
            return True
        if self.key is not None:
            return False
        # Where users see their own traces only, nobody may read those of all without a key.
        return self._is_sending(scope) or not self.door.has_users

    def _is_sending(self, scope: Scope) -> bool:
        """Whether a request only brings traces."""
        if (scope["method"], scope["path"]) in self.direct:
            return True
        return any(route.matches(scope)[0] is Match.FULL for route in self.taking)

    def _closed(self) -> str:
        if self.key is not None:
            return "a valid API key is needed"
        return (
            "users have tokens of their own here, so reading everybody's traces needs a key: "
            "start `refinery serve` with --api-key-file, or revoke the tokens"
        )

    def _checked_host(self, headers: Headers) -> str:
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise RequestError(400, "the request names no host, or none that can be read")
        name = found["name"].lower()
        if name not in self.names and not (self.is_public and _is_address(name)):
            raise RequestError(
                403, "this name is not one of the collector's; see `refinery serve --allow-host`"
            )
        return given[0].lower()

    def _has_key(self, headers: Headers) -> bool:
        """Whether any of the places clients put their key in holds ours."""
        if self.key is None:
            return False
        scheme, _, value = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", "")]
        if scheme.lower() == "bearer":
            given.append(value.strip())
        elif scheme.lower() == "basic":
            given += _basic(value)
        # All are compared, each in constant time, so that timing tells nothing of the key.
        return any([hmac.compare_digest(text.encode(), self.key) for text in given])


def _check_reach(caller: Caller, path: str) -> None:
    """Refuse a user's token where nothing confines it; the API confines its own paths.

    Raises:
        RequestError: 403, the path is none of those.
    """
    if caller.grant is None or any(_is_in(path, one) for one in (tokens.API, *tokens.STATIC)):
        return
    raise RequestError(403, "this token does not open this address")


def _reason(error: RefineryError) -> RequestError:
    """How an error of the floors below is answered."""
    reason = f"{error}; {error.hint}" if error.hint else str(error)
    if isinstance(error, StoreError):
        return RequestError(503, reason, headers={"retry-after": str(STORE_RETRY_AFTER_S)})
    return RequestError(404 if isinstance(error, NotFoundError) else 400, reason)


class _Protected:
    """Sends an answer with the protective headers; knows whether one has begun."""

    def __init__(self, send: Send, path: str) -> None:
        self.send = send
        self.path = path
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            message = {**message, "headers": [*message.get("headers", ()), *_headers(self.path)]}
        await self.send(message)

    async def answer(self, error: RequestError, scope: Scope, receive: Receive) -> None:
        if self.has_begun:
            return
        answer = refusal(error)
        if _is_in(self.path, tokens.API):
            answer = problem(error.status, error.reason, headers=error.headers)
        elif _is_in(self.path, tokens.PAGES) or self.path == tokens.DOCS:
            answer = pages.refused(error)
        await answer(scope, receive, self)


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    """The protective headers of an answer."""
    if _is_in(path, tokens.PAGES) or path == tokens.DOCS:
        return _PAGE_HEADERS if not path.startswith(_CACHED) else _FILE_HEADERS
    return _HEADERS


def _written(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


_HEADERS = _written(HEADERS)
_PAGE_HEADERS = _written({**HEADERS, "content-security-policy": PAGE_POLICY})
_FILE_HEADERS = _written(
    {**HEADERS, "content-security-policy": PAGE_POLICY, "cache-control": "no-cache"}
)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _check_page(headers: Mapping[str, str], host: str) -> None:
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise RequestError(403, "requests of web pages of other origins are not taken")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise RequestError(403, "requests of web pages of other sites are not taken")


def _check_type(content_type: str, path: str, method: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    wanted = {"multipart/form-data"} if path in MULTIPART_PATHS else _BODY_TYPES
    if method == "PUT":
        # LangSmith's JavaScript SDK names no type when it shares a run, and Node sends this one;
        # no page can send a PUT unasked, whatever its type (Fetch standard, "CORS-preflight").
        wanted = {*wanted, "text/plain"}
    if kind not in wanted:
        raise RequestError(415, f"the content type must be {' or '.join(sorted(wanted))}")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _basic(value: str) -> list[str]:
    """User and password of HTTP's basic scheme (RFC 7617); Langfuse's two keys."""
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return []
    user, _, password = text.partition(":")
    return [user, password]
