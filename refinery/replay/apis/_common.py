"""What the vendor files share: bounded pieces, identifiers that repeat, numbers that may lack."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from refinery import clock
from refinery.errors import InputError
from refinery.model.messages import ToolCall
from refinery.model.trace import Json, Usage
from refinery.replay.exchange import ModelReply, ModelRequest

PIECE_CHARACTERS = 16
"""Longest streamed piece of a word; chosen by us, a recording does not keep the pieces."""
_PIECE = re.compile(rf"\s*\S{{1,{PIECE_CHARACTERS}}}|\s+")

Event = tuple[str | None, Json]
"""One server-sent event: its name (None: unnamed) and its data."""


def members(value: Json, key: str) -> list[Json]:
    """The list under a key; empty when it is missing or something else."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, list) else []


def member(value: Json, key: str) -> dict[str, Json]:
    """The object under a key; empty when it is missing or something else."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}


def count(value: Json, key: str) -> int | None:
    """The whole number under a key; None when it is missing or something else."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def require_model(body: Json) -> str:
    """The model a body asks for.

    Raises:
        InputError: the body is not an object with a model name.
    """
    model = body.get("model") if isinstance(body, Mapping) else None
    if not isinstance(model, str) or not model:
        raise InputError(
            "the body is not a model request: it names no model",
            hint='send an object with "model" and the messages',
        )
    return model


def pieces(text: str) -> Iterator[str]:
    """The text cut into the pieces a stream sends: words, as models' tokens mostly are."""
    for match in _PIECE.finditer(text):
        yield match.group()


def identifier(prefix: str, request: ModelRequest, reply: ModelReply, salt: str = "") -> str:
    """An identifier that is the same whenever the same reply is given to the same request."""
    spoken = [[call.name, call.arguments] for call in reply.tool_calls]
    whole = [len(request.messages), request.model, reply.text, spoken, salt]
    digest = hashlib.sha256(json.dumps(whole, default=str).encode("utf-8", "replace"))
    return f"{prefix}{digest.hexdigest()[:24]}"


def call_identifier(prefix: str, request: ModelRequest, reply: ModelReply, index: int) -> str:
    """The recorded identifier of a tool call, else one made for it."""
    return reply.tool_calls[index].call_id or identifier(prefix, request, reply, str(index))


def arguments_text(call: ToolCall) -> str:
    """Arguments as JSON text; malformed ones as the model wrote them."""
    if isinstance(call.arguments, str) and call.is_malformed:
        return call.arguments
    return json.dumps(call.arguments if call.arguments is not None else {}, ensure_ascii=False)


def now_s() -> int:
    """Current Unix time in whole seconds."""
    return clock.now_ns() // 1_000_000_000


def total(usage: Usage) -> int:
    """All tokens of a call, as reported or summed."""
    return usage.total if usage.total is not None else (usage.input or 0) + (usage.output or 0)
