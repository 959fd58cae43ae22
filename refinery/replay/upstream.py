"""The agent's own model endpoint, asked only for requests the recording cannot answer.

Keys stay in this process: the sandboxed agent holds a token of the gateway instead. Redirects
are not followed and proxy variables are not read, so a request goes to the configured host only.
"""

import http.client
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from refinery.errors import InputError
from refinery.replay.live_answers import Answer, ExchangeLog, Lost

OPENAI_DEFAULT = "https://api.openai.com/v1"
ANTHROPIC_DEFAULT = "https://api.anthropic.com"
MAX_ANSWER_BYTES = 64 << 20
"""Longest live answer that is read; chosen by us, far above any model's output limit."""
TIMEOUT_S = 120.0
_UNSENT = (ConnectionRefusedError, socket.gaierror)
"""Errors before a request reached anybody."""
_BUSY = frozenset({429, 500, 502, 503, 529})
_ATTEMPTS = 3
_LONGEST_WAIT_S = 5.0
_ANTHROPIC_HEADERS = ("anthropic-version", "anthropic-beta")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One vendor's base URL and the key it is called with."""

    base_url: str
    """OpenAI: ends with its version, e.g. `…/v1`; Anthropic: without it."""
    key: str | None = field(repr=False)
    """None: no key is sent."""


class Budget:
    """How many live requests may still be made; safe for threads."""

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Use one request; False when none is left."""
        with self._lock:
            self._left -= 1
            return self._left >= 0


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where changed requests may go; an endpoint that is None is not asked."""

    openai: Endpoint | None
    anthropic: Endpoint | None
    budget: Budget
    log: ExchangeLog = field(default_factory=ExchangeLog)
    """What was answered, by lane."""

    def endpoint(self, path: str) -> Endpoint | None:
        """The endpoint a path belongs to; None when it is not configured."""
        return self.anthropic if "/messages" in path else self.openai

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        """Send a request on, waiting shortly when the endpoint is busy; the answer is kept.

        Args:
            path: path and query the agent used, e.g. `/v1/chat/completions`.
            body: as the agent sent it.
            headers: the agent's, lower-case; only version headers are passed on.
            lane: which case of which arm asks.

        Returns:
            The answer whatever its status, or why there is none, in words.
        """
        endpoint = self.endpoint(path)
        if endpoint is None:
            return "no model endpoint is configured for the agent"
        if not self.budget.take():
            return "the budget of live model requests is used up"
        for attempt in range(_ATTEMPTS):
            try:
                answer, wait_s = _send(endpoint, path, body, headers)
            except (OSError, http.client.HTTPException, InputError) as error:
                told = f"the model endpoint did not answer: {error or type(error).__name__}"
                return told if isinstance(error, _UNSENT) else Lost(told)
            if answer.status not in _BUSY or attempt == _ATTEMPTS - 1:
                break
            time.sleep(min(_LONGEST_WAIT_S, 0.2 * 2**attempt if wait_s is None else wait_s))
        self.log.add(lane, path, body, answer)
        return answer


def _send(
    endpoint: Endpoint, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[Answer, float | None]:
    """One attempt; also how long the endpoint asks to wait, in seconds."""
    parts = urlsplit(endpoint.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{endpoint.base_url!r} is not an http(s) URL")
    is_tls = parts.scheme == "https"
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
    is_anthropic = "/messages" in path
    rest = path.removeprefix("/v1")
    target = parts.path.rstrip("/") + (f"/v1{rest}" if is_anthropic else rest)
    sent = {"content-type": "application/json", "accept": "*/*"}
    if is_anthropic:
        sent["anthropic-version"] = "2023-06-01"
        sent |= {name: headers[name] for name in _ANTHROPIC_HEADERS if name in headers}
    if endpoint.key:
        name, value = ("x-api-key", "") if is_anthropic else ("authorization", "Bearer ")
        sent[name] = value + endpoint.key
    try:
        connection.request("POST", target, body, sent)
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise InputError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        kind_of = response.getheader("content-type") or "application/json"
        return Answer(response.status, kind_of, content), _seconds(response)
    finally:
        connection.close()


def _seconds(response: http.client.HTTPResponse) -> float | None:
    try:
        return max(0.0, float(response.getheader("retry-after") or ""))
    except ValueError:
        return None
