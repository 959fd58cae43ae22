"""Exchanges that passed the recording gateway, as runs.

A model call becomes an `llm` or `embedding` run with its bodies as inputs and outputs; a stream's
events are joined. Anything else becomes a `step` run. Bodies are redacted here.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from refinery.model import bodies, streams
from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus
from refinery.replay import passage
from refinery.replay.passage import Body, Exchange, Headers, Outcome
from refinery.safety.redact import redact

_SECRET_BEARING = ("inputs", "outputs", "error", "params", "tools", "user_id")
_RETRY = "x-stainless-retry-count"
"""Header in which both vendors' SDKs say how often they have tried before."""
_REQUEST_IDS = ("x-request-id", "request-id")


def opening(exchange: Exchange, root: Run, *, is_redacted: bool = True) -> Run:
    """The run of an exchange whose answer is still to come, below the root of its command."""
    interface = bodies.interface_of(exchange.target)
    path = exchange.target.partition("?")[0]
    body = _json(exchange.body, exchange.headers)
    asked = bodies.asked(body) if interface else {}
    fields: dict[str, Any] = {
        "name": interface or f"{exchange.method} {path}",
        "kind": bodies.kind_of(interface) if interface else RunKind.STEP,
        "native_kind": interface or "http",
        "provider": exchange.vendor if interface else None,
        "inputs": body,
        **asked,
    }
    return Run(
        run_id=exchange.exchange_id,
        trace_id=root.run_id,
        parent_id=root.run_id,
        dotted_order=_order(root, exchange),
        start_ns=exchange.start_ns,
        status=RunStatus.RUNNING,
        **_clean(fields, is_redacted)[0],
    )


def ended(exchange: Exchange, root: Run, *, is_redacted: bool = True) -> tuple[Run, bool]:
    """The run of an ended exchange.

    Returns:
        The run, and whether its outputs held a secret.
    """
    begun = opening(exchange, root, is_redacted=is_redacted)
    interface = bodies.interface_of(exchange.target) or ""
    answer = _answer(exchange, interface)
    status, error, notes = _ending(exchange, answer)
    told = bodies.answered(interface, answer) if interface else {}
    fields, counts = _clean({"outputs": answer, "error": error}, is_redacted)
    run = Run(
        **{
            **{name: getattr(begun, name) for name in Run.__slots__},
            **told,
            **fields,
            "end_ns": exchange.end_ns,
            "status": status,
            "first_token_ns": _first_token(exchange) if interface else None,
            "metadata": {"refinery": notes | _about(exchange)},
        }
    )
    return run, bool(counts)


def _answer(exchange: Exchange, interface: str) -> Json:
    """The response's body: JSON, what its events say, or its text."""
    if exchange.status is None:
        return None
    kind = passage.header(exchange.response_headers, "content-type") or ""
    text = _text(exchange.response, exchange.response_headers)
    if text is None or not text.strip():
        return None if text is not None else _unread(exchange.response)
    if "event-stream" in kind:
        events = streams.read_events(text)
        return streams.joined(interface, events) if interface else events
    return _loaded(text)


def _ending(
    exchange: Exchange, answer: Json
) -> tuple[RunStatus, RunError | None, dict[str, Json]]:
    """Status, error and notes of an ended exchange."""
    if exchange.status is None or exchange.outcome is Outcome.UPSTREAM_FAILED:
        error = RunError("UpstreamError", exchange.error or "no response came")
        return RunStatus.ERROR, error, {}
    if exchange.status >= 400:
        return RunStatus.ERROR, _error(exchange, answer), {}
    told = answer.get("error") if isinstance(answer, Mapping) else None
    if exchange.outcome is Outcome.CLIENT_LEFT and not _is_said(exchange):
        return RunStatus.CANCELLED, None, {"cancelled": "abandoned stream"}
    if exchange.outcome is Outcome.GATEWAY_CLOSED:
        return RunStatus.UNKNOWN, None, {"cancelled": exchange.error}
    if isinstance(told, Mapping) and told:  # an event of a stream, or OpenAI's failed response
        return RunStatus.ERROR, _error(exchange, answer), {}
    return RunStatus.OK, None, {}


def _error(exchange: Exchange, answer: Json) -> RunError:
    """The error a body tells, in either vendor's shape."""
    told = answer.get("error") if isinstance(answer, Mapping) else None
    about = told if isinstance(told, Mapping) else {}
    kind = about.get("type") or about.get("code") or f"HTTP {exchange.status}"
    message = about.get("message") or exchange.reason or f"HTTP {exchange.status}"
    return RunError(str(kind), f"HTTP {exchange.status}: {message}")


def _about(exchange: Exchange) -> dict[str, Json]:
    notes: dict[str, Json] = {
        "endpoint": exchange.upstream + passage.safe_target(exchange.target),
        "http_status": exchange.status,
    }
    retries = passage.header(exchange.headers, _RETRY) or "0"
    if retries.isdecimal() and int(retries):
        notes["retry_count"] = int(retries)
    found = (passage.header(exchange.response_headers, name) for name in _REQUEST_IDS)
    if identifier := next((value for value in found if value), None):
        notes["request_id"] = identifier
    return notes


def _is_said(exchange: Exchange) -> bool:
    """Whether the model had said all it would say."""
    interface = bodies.interface_of(exchange.target) or ""
    text = _text(exchange.response, exchange.response_headers) or ""
    return any(streams.has_ended(interface, event) for event in streams.read_events(text))


def _first_token(exchange: Exchange) -> int | None:
    """When the first part of a streamed answer came, nanoseconds UTC; None for a whole answer."""
    kind = passage.header(exchange.response_headers, "content-type") or ""
    if "event-stream" not in kind:
        return None
    coding = passage.header(exchange.response_headers, "content-encoding")
    seen = b""
    for at_ns, piece in exchange.response.pieces[:100]:
        seen += piece
        text = (passage.decoded(seen, coding) or b"").decode("utf-8", "replace")
        if any(streams.says_something(event) for event in streams.read_events(text)):
            return exchange.start_ns + at_ns
    return None


def _json(body: Body, headers: Headers) -> Json:
    """A body as JSON, else as text."""
    if not body.size_bytes:
        return None
    text = _text(body, headers)
    return _unread(body) if text is None else _loaded(text)


def _text(body: Body, headers: Headers) -> str | None:
    """A body as text; None when it cannot be read as one."""
    plain = passage.decoded(body.content, passage.header(headers, "content-encoding"))
    try:
        return plain.decode("utf-8") if plain is not None else None
    except UnicodeDecodeError:
        kind = passage.header(headers, "content-type") or ""
        is_text = kind.startswith("text/") or "json" in kind
        return plain.decode("utf-8", "replace") if is_text and plain is not None else None


def _loaded(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _unread(body: Body) -> Json:
    return {"size_bytes": body.size_bytes, "sha256": body.sha256}


def _clean(fields: dict[str, Any], is_redacted: bool) -> tuple[dict[str, Any], dict[str, int]]:
    """Fields without secrets, and how many there were of each kind."""
    if not is_redacted:
        return fields, {}
    counts: dict[str, int] = {}
    cleaned = dict(fields)
    for name in _SECRET_BEARING:
        value = fields.get(name)
        if isinstance(value, RunError):
            message, found = redact(value.message)
            cleaned[name] = RunError(value.type, message)
        elif value is not None:
            cleaned[name], found = redact(value)
        else:
            continue
        for kind, count in found.items():
            counts[kind] = counts.get(kind, 0) + count
    return cleaned, counts


def _order(root: Run, exchange: Exchange) -> str:
    return f"{root.dotted_order}.{segment(exchange.start_ns, exchange.exchange_id)}"


def segment(time_ns: int, run_id: str) -> str:
    """One run's part of a dotted order: `YYYYMMDDTHHMMSSffffffZ` and its id."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    start = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y%m%dT%H%M%S")
    return f"{start}{rest // 1000:06d}Z{run_id}"
