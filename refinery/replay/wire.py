"""Reads and writes the HTTP bodies of model APIs: OpenAI chat and responses, Anthropic messages.

>>> asked = parse_request("/v1/chat/completions", {"model": "m", "messages": []})
>>> content_type, chunks = render(asked, ModelReply("Hello"))
>>> parse_reply(asked.api, b"".join(chunks)).text
'Hello'
"""

import json
from collections.abc import Iterator
from types import ModuleType

from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.replay.apis import anthropic_messages, openai_chat, openai_responses
from refinery.replay.apis._common import Event, require_model
from refinery.replay.exchange import Api, ModelReply, ModelRequest

JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream"

_FILES: dict[Api, ModuleType] = {
    Api.OPENAI_CHAT: openai_chat,
    Api.OPENAI_RESPONSES: openai_responses,
    Api.ANTHROPIC: anthropic_messages,
}
_CONTENT = {
    Api.OPENAI_CHAT: "choices",
    Api.OPENAI_RESPONSES: "output",
    Api.ANTHROPIC: "content",
    Api.OPENAI_EMBEDDINGS: "data",
}
"""Where a body of each interface keeps what was answered."""
_ENDINGS = {
    "/chat/completions": Api.OPENAI_CHAT,
    "/responses": Api.OPENAI_RESPONSES,
    "/messages": Api.ANTHROPIC,
}

__all__ = [
    "Api",
    "ModelReply",
    "ModelRequest",
    "api_of",
    "parse_reply",
    "parse_request",
    "render",
    "render_error",
]


def api_of(path: str) -> Api | None:
    """The interface a URL path belongs to; None when it is no model call."""
    plain = path.partition("?")[0].rstrip("/")
    return next((api for ending, api in _ENDINGS.items() if plain.endswith(ending)), None)


def parse_request(path: str, body: Json) -> ModelRequest:
    """Read the body of a model call.

    Args:
        path: URL path it was sent to, with any prefix and query.
        body: the parsed JSON body.

    Raises:
        InputError: the path is no model call, or the body is not a request.
    """
    api = api_of(path)
    if api is None:
        known = ", ".join(_ENDINGS)
        raise InputError(f"{path!r} is no model call", hint=f"paths end with one of: {known}")
    if not isinstance(body, dict):
        raise InputError(f"the body must be an object, not {type(body).__name__}")
    request: ModelRequest = _FILES[api].request(body)
    return request


def parse_embeddings(body: Json) -> ModelRequest:
    """Read the body of a request for embeddings (`POST /v1/embeddings`).

    Raises:
        InputError: the body names no model.
    """
    model = require_model(body)
    params = {key: value for key, value in body.items() if key not in ("model", "input")}
    return ModelRequest(Api.OPENAI_EMBEDDINGS, model, (), (), params, stream=False, body=body)


def render(request: ModelRequest, reply: ModelReply) -> tuple[str, Iterator[bytes]]:
    """Write a reply in the shape the request expects.

    Returns:
        The content type and the body in chunks: one JSON document, or server-sent events
        when the request asked for a stream.
    """
    return render_body(request, _FILES[request.api].body(request, reply))


def render_body(request: ModelRequest, whole: Json) -> tuple[str, Iterator[bytes]]:
    """Write a recorded body in the way the request expects it, whole or as events.

    Returns:
        As `render`.
    """
    if not request.stream or request.api not in _FILES:
        return JSON_TYPE, iter((json.dumps(whole, ensure_ascii=False).encode("utf-8", "replace"),))
    return STREAM_TYPE, (_line(event) for event in _FILES[request.api].events(request, whole))


def is_body(api: Api, answer: Json) -> bool:
    """Whether a recorded value is an answer's body of an interface."""
    key = _CONTENT[api]
    return isinstance(answer, dict) and isinstance(answer.get(key), list) and bool(answer[key])


def render_error(api: Api | None, status: int, kind: str, message: str) -> bytes:
    """The body of a failed call, as the vendor's SDKs read it."""
    error: dict[str, Json] = {"type": kind, "message": message}
    if api is Api.ANTHROPIC:
        return json.dumps({"type": "error", "error": error}).encode()
    return json.dumps({"error": {**error, "code": str(status), "param": None}}).encode()


def parse_reply(api: Api, body: Json) -> ModelReply:
    """Read an answer, live or recorded.

    Args:
        api: the interface it came from.
        body: the parsed JSON body, or the text or bytes of a JSON body or an event stream.

    Raises:
        InputError: the text is neither JSON nor an event stream.
    """
    reader = _FILES[Api(api)]
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        body = _document(body) if body.lstrip()[:1] in "{[" else reader.joined(read_events(body))
    reply: ModelReply = reader.reply(body)
    return reply


def _document(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the model's answer is not JSON") from error


def _line(event: Event) -> bytes:
    name, content = event
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode("utf-8", "replace")


def read_events(text: str) -> list[Event]:
    """The events of a stream, in order; lines that are not JSON are kept as text."""
    found: list[Event] = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        name, lines = None, []
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            if field == "event":
                name = value.strip()
            elif field == "data":
                lines.append(value.removeprefix(" "))
        if lines:
            joined = "\n".join(lines)
            try:
                found.append((name, json.loads(joined)))
            except (ValueError, RecursionError):
                found.append((name, joined))
    return found
