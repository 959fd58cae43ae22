"""Who may see the pages and the API: whoever knows the token of this start, or has its cookie.

A browser brings the token once, in the address `refinery serve` prints; it gets cookies for it
and is sent on to the same address without the token. Programs send it as a bearer. Cookies do
not know ports, so their name does, and each is sent to the paths it is meant for only.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from refinery.server.answers import RequestError

API = "/refinery/v1"
PAGES = "/ui"
DOCS = "/docs"
GUARDED = (API, PAGES, DOCS)
"""Nothing under these paths is answered without the token."""

CSRF_HEADER = "x-refinery-csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_QUERY = 8192


def new_token() -> str:
    """256 random bits as text that needs no escaping in an address."""
    return secrets.token_urlsafe(32)


def is_guarded(path: str) -> bool:
    """Whether the token is needed for a path."""
    return any(path == one or path.startswith(f"{one}/") for one in GUARDED)


class Tokens:
    """Checks the token, and the cookie and the CSRF value made for it."""

    def __init__(self, token: str, opens_once: str | None = None) -> None:
        self._token = token
        self._unused = opens_once
        secret = secrets.token_bytes(32)
        self._cookie = hmac.new(secret, b"cookie", hashlib.sha256).hexdigest()
        self.csrf = hmac.new(secret, b"csrf", hashlib.sha256).hexdigest()
        """What state-changing requests by cookie must repeat in `X-Refinery-CSRF`."""

    def _opens(self, value: str) -> bool:
        if self._unused is not None and _equal(value, self._unused):
            self._unused = None
            return True
        return _equal(value, self._token)

    def entry(self, scope: Scope) -> Response | None:
        """The answer to a page's address that holds the right token; None for any other."""
        query = scope.get("query_string", b"")
        if scope["method"] != "GET" or b"token=" not in query or len(query) > _MAX_QUERY:
            return None
        path = scope["path"]
        if path != PAGES and not path.startswith(f"{PAGES}/"):
            return None
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
        if not any([self._opens(value) for name, value in given if name == "token"]):
            return None
        rest = urlencode([pair for pair in given if pair[0] != "token"])
        # A path that begins with two slashes would be taken for another server's name.
        answer = RedirectResponse("/" + path.lstrip("/") + (f"?{rest}" if rest else ""), 303)
        for one in GUARDED:
            answer.set_cookie(
                _cookie_name(scope), self._cookie, path=one, httponly=True, samesite="strict"
            )
        return answer

    def check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Raise for a request to a guarded path without the token.

        Raises:
            RequestError: 401 without token and cookie, 403 for a change by cookie without the
                CSRF value.
        """
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), self._token):
            return
        cookies = cookie_parser(headers.get("cookie", ""))
        if not _equal(cookies.get(_cookie_name(scope), ""), self._cookie):
            raise RequestError(
                401,
                "the token of this server is needed: open the address `refinery serve` printed",
                headers={"www-authenticate": "Bearer"},
            )
        if scope["method"] not in _SAFE and not _equal(headers.get(CSRF_HEADER, ""), self.csrf):
            raise RequestError(403, f"{CSRF_HEADER} must repeat `csrf` of GET {API}/session")


def _cookie_name(scope: Scope) -> str:
    server = scope.get("server")
    return f"refinery-{server[1] if server and server[1] else 0}"


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
