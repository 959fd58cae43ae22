"""Who may see the pages and the API: whoever knows a token, or has the cookie made for one.

The token of this start opens everything; each token of a user (`grants`) opens the traces of one.
A browser brings a token once, in the address `refinery serve` prints; it gets cookies for it and
is sent on to the same address without the token. Programs send it as a bearer. Cookies do not know
ports, so their name does, and each is sent to the paths it is meant for only.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from refinery.server.answers import RequestError
from refinery.server.grants import Grant, Watched

API = "/refinery/v1"
PAGES = "/ui"
DOCS = "/docs"
GUARDED = (API, PAGES, DOCS)
"""Nothing under these paths is answered without the token."""

STATIC = (PAGES, DOCS)
"""What a user's token opens besides the API: the same files for everybody, without any data."""

CALLER = "refinery.caller"
"""Key of the ASGI scope under which the gate notes who asks."""

CSRF_HEADER = "x-refinery-csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_QUERY = 8192


def new_token() -> str:
    """256 random bits as text that needs no escaping in an address."""
    return secrets.token_urlsafe(32)


def is_guarded(path: str) -> bool:
    """Whether the token is needed for a path."""
    return any(path == one or path.startswith(f"{one}/") for one in GUARDED)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    grant: Grant | None
    """Whose traces may be seen; None: the owner asks, everything."""
    csrf: str
    """What state-changing requests by cookie must repeat in `X-Refinery-CSRF`."""


class Tokens:
    """Checks tokens, and the cookies and the CSRF values made for them.

    Args:
        token: opens everything.
        users: tokens that open one user's traces each.
        opens_once: opens the pages one time.
    """

    def __init__(self, token: str, users: Watched, opens_once: str | None = None) -> None:
        self._token = token
        self._users = users
        self._unused = opens_once
        self._secret = secrets.token_bytes(32)

    @property
    def has_users(self) -> bool:
        """Whether some may see one user's traces only."""
        return self._users.is_in_use

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
        tokens = [value for name, value in given if name == "token"]
        is_owner = any([self._opens(value) for value in tokens])
        grants = [grant for value in tokens if (grant := self._users.find(value))]
        if not is_owner and not grants:
            return None
        cookie = self._cookie(None if is_owner else grants[0])
        rest = urlencode([pair for pair in given if pair[0] != "token"])
        # A path that begins with two slashes would be taken for another server's name.
        answer = RedirectResponse("/" + path.lstrip("/") + (f"?{rest}" if rest else ""), 303)
        for one in GUARDED:
            answer.set_cookie(
                _cookie_name(scope), cookie, path=one, httponly=True, samesite="strict"
            )
        return answer

    def check(self, scope: Scope, headers: Mapping[str, str]) -> Caller:
        """Who asks for a guarded path.

        Raises:
            RequestError: 401 without token and cookie, 403 for a change by cookie without the
                CSRF value.
        """
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if _equal(given.strip(), self._token):
                return self._caller(None)
            if grant := self._users.find(given.strip()):
                return self._caller(grant)
        caller = self._by_cookie(cookie_parser(headers.get("cookie", "")).get(_cookie_name(scope)))
        if caller is None:
            raise RequestError(
                401,
                "the token of this server is needed: open the address `refinery serve` printed",
                headers={"www-authenticate": "Bearer"},
            )
        if scope["method"] not in _SAFE and not _equal(headers.get(CSRF_HEADER, ""), caller.csrf):
            raise RequestError(403, f"{CSRF_HEADER} must repeat `csrf` of GET {API}/session")
        return caller

    def _by_cookie(self, given: str | None) -> Caller | None:
        """Who has a cookie; None when it is none of ours, or its token holds no more."""
        if not given:
            return None
        token_id, dot, _ = given.rpartition(".")
        grant = self._users.by_id(token_id) if dot else None
        if (dot and grant is None) or not _equal(given, self._cookie(grant)):
            return None
        return self._caller(grant)

    def _caller(self, grant: Grant | None) -> Caller:
        return Caller(grant, self._signed("csrf", grant))

    def _cookie(self, grant: Grant | None) -> str:
        """The cookie's value; a user's names the token, so that it ends with it."""
        signed = self._signed("cookie", grant)
        return signed if grant is None else f"{grant.token_id}.{signed}"

    def _signed(self, what: str, grant: Grant | None) -> str:
        told = what if grant is None else f"{what} {grant.token_id} {grant.sha256}"
        return hmac.new(self._secret, told.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _cookie_name(scope: Scope) -> str:
    server = scope.get("server")
    return f"refinery-{server[1] if server and server[1] else 0}"


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
