"""Anthropic messages (`POST /v1/messages`), plain and as an event stream."""

import json
from collections.abc import Iterator, Sequence

from refinery.model.messages import messages_in, parse
from refinery.model.trace import Json, Run, Usage
from refinery.replay.apis import _common as common
from refinery.replay.exchange import Api, ModelReply, ModelRequest

_APART = frozenset({"model", "messages", "system", "tools", "stream"})
_STOP = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_REASONS = {
    **{theirs: ours for ours, theirs in _STOP.items()},
    "stop_sequence": "stop",
    "model_context_window_exceeded": "length",
}


def request(body: dict[str, Json]) -> ModelRequest:
    """Read a request body.

    Raises:
        InputError: the body names no model.
    """
    inputs = {"messages": body.get("messages"), "system": body.get("system")}
    return ModelRequest(
        api=Api.ANTHROPIC,
        model=common.require_model(body),
        messages=messages_in(Run("", "", inputs=inputs)),
        tools=tuple(common.members(body, "tools")),
        params={key: value for key, value in body.items() if key not in _APART},
        stream=bool(body.get("stream")),
        body=body,
    )


def _usage(usage: Usage | None) -> dict[str, Json]:
    """Tokens in this interface's terms, where `input_tokens` excludes what the cache served."""
    usage = usage or Usage()
    read, written = usage.cache_read or 0, usage.cache_write or 0
    return {
        "input_tokens": max(0, (usage.input or 0) - read - written),
        "output_tokens": usage.output or 0,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
    }


def _blocks(asked: ModelRequest, reply: ModelReply) -> list[dict[str, Json]]:
    blocks: list[dict[str, Json]] = []
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for index, call in enumerate(reply.tool_calls):
        identifier = common.call_identifier("toolu_", asked, reply, index)
        arguments = {} if call.arguments is None else call.arguments
        blocks.append(
            {"type": "tool_use", "id": identifier, "name": call.name, "input": arguments}
        )
    return blocks


def body(asked: ModelRequest, reply: ModelReply) -> dict[str, Json]:
    """The answer as one JSON body."""
    return {
        "id": common.identifier("msg_", asked, reply),
        "type": "message",
        "role": "assistant",
        "model": reply.model or asked.model,
        "content": _blocks(asked, reply),
        "stop_reason": _STOP.get(reply.reason, reply.reason),
        "stop_sequence": None,
        "usage": _usage(reply.usage),
    }


def events(asked: ModelRequest, whole: Json) -> Iterator[common.Event]:
    """An answer's body as the events of a stream."""
    del asked
    usage = common.member(whole, "usage")
    started = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield "message_start", {"type": "message_start", "message": started}
    for index, block in enumerate(common.members(whole, "content")):
        hollow, deltas = _parts(block)
        yield _block_event("content_block_start", index, content_block=hollow)
        for delta in deltas:
            yield _block_event("content_block_delta", index, delta=delta)
        yield _block_event("content_block_stop", index)
    ending = {name: whole.get(name) for name in ("stop_reason", "stop_sequence")}
    # Input tokens stand here again: langchain-anthropic reads a stream's usage from this event.
    yield "message_delta", {"type": "message_delta", "delta": ending, "usage": usage}
    yield "message_stop", {"type": "message_stop"}


def _parts(block: dict[str, Json]) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """How a block begins, and the pieces that follow; blocks of other kinds come whole."""
    kind = block.get("type")
    if kind == "text":
        pieces = [{"type": "text_delta", "text": p} for p in common.pieces(str(block["text"]))]
        return {**block, "text": ""}, pieces
    if kind == "thinking":
        thought = str(block.get("thinking") or "")
        pieces = [{"type": "thinking_delta", "thinking": p} for p in common.pieces(thought)]
        pieces.append({"type": "signature_delta", "signature": block.get("signature") or ""})
        return {**block, "thinking": "", "signature": ""}, pieces
    if kind in ("tool_use", "server_tool_use"):
        arguments = block.get("input")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        told = [{"type": "input_json_delta", "partial_json": p} for p in common.pieces(written)]
        return {**block, "input": {}}, told
    return block, []


def _block_event(kind: str, index: int, **fields: Json) -> common.Event:
    return kind, {"type": kind, "index": index, **fields}


def reply(answer: Json) -> ModelReply:
    """Read an answer body; parts that are missing stay absent."""
    whole = answer if isinstance(answer, dict) else {}
    spoken = list(parse({"role": "assistant", "content": whole.get("content")}))
    first = spoken[-1] if spoken else None
    reason, model = whole.get("stop_reason"), whole.get("model")
    return ModelReply(
        text=first.text if first else "",
        tool_calls=first.tool_calls if first else (),
        usage=_read_usage(common.member(answer, "usage")),
        finish_reason=_REASONS.get(reason, reason) if isinstance(reason, str) else None,
        model=model if isinstance(model, str) else None,
    )


def _read_usage(usage: dict[str, Json]) -> Usage | None:
    if not usage:
        return None
    read = common.count(usage, "cache_read_input_tokens")
    written = common.count(usage, "cache_creation_input_tokens")
    fresh, output = common.count(usage, "input_tokens"), common.count(usage, "output_tokens")
    whole = fresh + (read or 0) + (written or 0) if fresh is not None else None
    both = whole + output if whole is not None and output is not None else None
    return Usage(whole, output, both, read, written)


def joined(stream: Sequence[common.Event]) -> dict[str, Json]:
    """The body that says what the events of a stream said."""
    whole: dict[str, Json] = {}
    blocks: dict[int, dict[str, Json]] = {}
    partial: dict[int, str] = {}
    for _, data in stream:
        if not isinstance(data, dict):
            continue
        kind, index = data.get("type"), common.count(data, "index") or 0
        if kind == "message_start":
            whole = dict(common.member(data, "message"))
        elif kind == "content_block_start":
            blocks[index] = dict(common.member(data, "content_block"))
        elif kind == "content_block_delta":
            _extend(blocks.setdefault(index, {}), partial, index, common.member(data, "delta"))
        elif kind == "message_delta":
            whole |= common.member(data, "delta")
            known = {k: v for k, v in common.member(data, "usage").items() if v is not None}
            whole["usage"] = {**common.member(whole, "usage"), **known}
    for index, text in partial.items():
        blocks[index]["input"] = _arguments(text)
    return {**whole, "content": [blocks[index] for index in sorted(blocks)]}


def _extend(
    block: dict[str, Json], partial: dict[int, str], index: int, delta: dict[str, Json]
) -> None:
    """Add one delta to the block it belongs to."""
    if isinstance(delta.get("text"), str):
        block["text"] = str(block.get("text") or "") + delta["text"]
    if isinstance(delta.get("partial_json"), str):
        partial[index] = partial.get(index, "") + delta["partial_json"]


def _arguments(text: str) -> Json:
    """Arguments from their JSON text; the text itself when it is not JSON."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
