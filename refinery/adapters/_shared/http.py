"""JSON over HTTP from one address: keys stay there, answers are bounded, refusals explained."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from refinery import clock
from refinery.adapters._shared.reading import parse
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.trace import Json

MAX_BYTES = 256 * 2**20
"""Most an answer may unpack to."""
TIMEOUT_S = 30.0
"""Longest wait for a connection or for the next bytes."""
TRIES = 4
LONGEST_WAIT_S = 30.0
"""Longest pause a service can ask for; the pauses SDKs make when asked for none are shorter."""

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_NO_SUCH_ROUTE = (404, 405, 501)
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is and what opens it."""

    url: str
    """Base of all requests, `http` or `https`, without a slash at the end."""
    service: str
    """Its name, for people."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request, keys included."""
    login: tuple[str, str] | None = field(default=None, repr=False)
    """User and password of HTTP basic authentication."""
    keys: str = ""
    """Names of the variables that hold the keys, for hints."""
    elsewhere: str = ""
    """Words of a server's error that mean: what was asked for is kept elsewhere."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: the only place keys are sent to."""
        return origin(self.url)


class NoSuchRouteError(NotFoundError):
    """The service has nothing at that path: an older version, or no such thing."""


class _AgainError(InputError):
    """The service may answer if it is asked again."""

    wait_s: float | None = None


class Service:
    """One address, asked over one pool of connections."""

    def __init__(
        self, address: Address, *, sleep: Callable[[float], None] = tenacity.nap.sleep
    ) -> None:
        self.address = address
        self._sleep = sleep
        self._client = httpx.Client(
            headers={"accept": "application/json", **address.headers},
            auth=httpx.BasicAuth(*address.login) if address.login else None,
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        """The JSON answer to a GET; keys of the query whose value is None are left out.

        Raises:
            CredentialsError: the keys are missing or were refused.
            NoSuchRouteError: nothing is there.
            InputError: it cannot be reached, asks to wait too long, or answers nonsense.
        """
        given = {key: value for key, value in (query or {}).items() if value is not None}
        return self._ask("GET", path, params=given)

    def post(self, path: str, body: Json, content_type: str = "application/json") -> Json:
        """The JSON answer to a POST of JSON; only for requests that change nothing.

        Raises:
            CredentialsError, NoSuchRouteError, InputError: as `get`.
        """
        return self._ask("POST", path, json=body, headers={"content-type": content_type})

    def _ask(self, method: str, path: str, **request: Any) -> Json:
        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AgainError),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=_pause,
            sleep=self._sleep,
            reraise=True,
        )
        return trying(self._once, method, self.address.url + path, **request)

    def _once(self, method: str, url: str, **request: Any) -> Json:
        """One request, with redirects that stay at the same origin."""
        for _ in range(3):
            try:
                with self._client.stream(method, url, **request) as answer:
                    if answer.status_code not in _REDIRECTS:
                        return self._read(answer)
                    url = self._next(answer)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise self._unreachable(error) from error
            except httpx.DecodingError as error:
                raise self._nonsense(f"a damaged body ({error})") from error
            request.pop("params", None)  # the redirect's address has them
        raise self._nonsense("one redirect after another")

    def _read(self, answer: httpx.Response) -> Json:
        content = bytearray()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > MAX_BYTES:
                raise self._nonsense(f"more than {MAX_BYTES // 2**20} MB at once")
        text = content.decode("utf-8", "replace")
        self._refuse_status(answer, text)
        if _HTML.match(text):
            raise InputError(
                f"{self._name()} answered a web page, not JSON",
                hint="is this the address of the API? a login page in front of it answers so",
            )
        try:
            return parse(text, f"the answer of {self._name()}")
        except TraceFormatError as error:
            raise self._nonsense(str(error)) from error

    def _refuse_status(self, answer: httpx.Response, text: str) -> None:
        status = answer.status_code
        if status < 400:
            return
        if status in (401, 403):
            raise CredentialsError(
                f"{self._name()} refused the key (HTTP {status})",
                hint=f"set {self.address.keys}" if self.address.keys else "check the key",
            )
        if self.address.elsewhere and self.address.elsewhere in text[:10_000]:
            raise NoSuchRouteError(
                f"{self._name()} keeps it elsewhere (HTTP {status})", hint="ask for it there"
            )
        if status in _AGAIN:
            again = _AgainError(
                f"{self._name()} {_busy(status)} (HTTP {status})", hint="try again later"
            )
            again.wait_s = _retry_after(answer.headers.get("retry-after"))
            raise again
        said = "" if _HTML.match(text) else " ".join(text[:200].split())
        if status in _NO_SUCH_ROUTE:
            raise NoSuchRouteError(
                f"{self._name()} has nothing there (HTTP {status})",
                hint="check the address, the project and the id",
            )
        raise InputError(
            f"{self._name()} refused the request (HTTP {status}): {said}",
            hint="check the address and its version",
        )

    def _next(self, answer: httpx.Response) -> str:
        target = str(answer.url.join(answer.headers.get("location", "")))
        if origin(target) != self.address.origin:
            raise InputError(
                f"{self._name()} redirects to {origin(target)}; keys are not sent there",
                hint="if that is the service, give its address with --url",
            )
        return target

    def _unreachable(self, error: Exception) -> InputError:
        is_slow = isinstance(error, httpx.TimeoutException)
        reason = f"no answer within {TIMEOUT_S:.0f} s" if is_slow else str(error)
        return InputError(
            f"{self._name()} cannot be reached: {reason}", hint="check the address and the network"
        )

    def _nonsense(self, what: str) -> InputError:
        return InputError(
            f"{self._name()} answered something that cannot be read: {what}",
            hint="is this the address of the API?",
        )

    def _name(self) -> str:
        return f"{self.address.service} at {self.address.origin}"


def origin(url: str) -> str:
    """Scheme, host and port of an address, the port only when it is not the usual one.

    Raises:
        InputError: it is no address of a web service.
    """
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}[parts.scheme]
        host, port = parts.hostname, parts.port
    except (ValueError, KeyError):
        host = None
    if not host:
        raise InputError(
            f"not the address of a service: {url[:200]!r}", hint="expected http(s)://host"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, usual) else "")


def base(url: str, *endings: str) -> str:
    """An address without its query, fragment and last slash, and without the given endings.

    Raises:
        InputError: as `origin`.
    """
    found = origin(url) + urlsplit(url).path.rstrip("/")
    for ending in endings:
        found = found.removesuffix(ending).rstrip("/")
    return found


def _busy(status: int) -> str:
    return "asks to wait" if status == 429 else "is out of order"


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number or a date (RFC 9110 section 10.2.3)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, tz=UTC)
    return max(0.0, (moment.astimezone(UTC) - now).total_seconds())


def _pause(state: tenacity.RetryCallState) -> float:
    """What the service asked for, else one second, doubled each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_s if isinstance(error, _AgainError) else None
    return min(LONGEST_WAIT_S, 2.0 ** (state.attempt_number - 1) if asked is None else asked)
