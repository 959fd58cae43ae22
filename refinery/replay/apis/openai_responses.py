"""OpenAI responses (`POST /v1/responses`), plain and as an event stream."""

import itertools
from collections.abc import Iterator, Sequence

from refinery.model.messages import Message, ToolCall, messages_in, parse
from refinery.model.trace import Json, Run, Usage
from refinery.replay.apis import _common as common
from refinery.replay.exchange import Api, ModelReply, ModelRequest

_APART = frozenset({"model", "input", "instructions", "tools", "stream", "stream_options"})
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def request(body: dict[str, Json]) -> ModelRequest:
    """Read a request body.

    Raises:
        InputError: the body names no model.
    """
    asked = body.get("input")
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    inputs = {"input": asked, "instructions": body.get("instructions")}
    return ModelRequest(
        api=Api.OPENAI_RESPONSES,
        model=common.require_model(body),
        messages=messages_in(Run("", "", inputs=inputs)),
        tools=tuple(common.members(body, "tools")),
        params={key: value for key, value in body.items() if key not in _APART},
        stream=bool(body.get("stream")),
        body=body,
    )


def _usage(usage: Usage | None) -> Json:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input or 0,
        "input_tokens_details": {"cached_tokens": usage.cache_read or 0},
        "output_tokens": usage.output or 0,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": common.total(usage),
    }


def _items(asked: ModelRequest, reply: ModelReply) -> list[dict[str, Json]]:
    items: list[dict[str, Json]] = []
    if reply.text or not reply.tool_calls:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        items.append(
            {
                "type": "message",
                "id": common.identifier("msg_", asked, reply),
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    for index, call in enumerate(reply.tool_calls):
        items.append(
            {
                "type": "function_call",
                "id": common.identifier("fc_", asked, reply, str(index)),
                "call_id": common.call_identifier("call_", asked, reply, index),
                "name": call.name,
                "arguments": common.arguments_text(call),
                "status": "completed",
            }
        )
    return items


def body(asked: ModelRequest, reply: ModelReply) -> dict[str, Json]:
    """The answer as one JSON body."""
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reply.reason)
    return {
        "id": common.identifier("resp_", asked, reply),
        "object": "response",
        "created_at": common.now_s(),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "error": None,
        "instructions": asked.body.get("instructions"),
        "metadata": {},
        "model": reply.model or asked.model,
        "output": _items(asked, reply),
        "parallel_tool_calls": True,
        "temperature": asked.params.get("temperature"),
        "tool_choice": asked.params.get("tool_choice", "auto"),
        "tools": list(asked.tools),
        "top_p": asked.params.get("top_p"),
        "usage": _usage(reply.usage),
    }


def events(asked: ModelRequest, whole: Json) -> Iterator[common.Event]:
    """An answer's body as the events of a stream."""
    del asked
    numbers = itertools.count()

    def event(kind: str, **fields: Json) -> common.Event:
        return kind, {"type": kind, "sequence_number": next(numbers), **fields}

    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=started)
    yield event("response.in_progress", response=started)
    for index, item in enumerate(common.members(whole, "output")):
        hollow, parts = _parts(item, index)
        yield event("response.output_item.added", output_index=index, item=hollow)
        for kind, fields in parts:
            yield event(f"response.{kind}", **fields)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{whole.get('status') or 'completed'}", response=whole)


def _parts(
    item: dict[str, Json], index: int
) -> tuple[dict[str, Json], list[tuple[str, dict[str, Json]]]]:
    """How an item begins, and the events that follow; items of other kinds come whole."""
    place = {"item_id": item.get("id"), "output_index": index}
    found: list[tuple[str, dict[str, Json]]] = []
    if item.get("type") == "function_call":
        written = str(item.get("arguments") or "")
        for piece in common.pieces(written):
            found.append(("function_call_arguments.delta", {**place, "delta": piece}))
        done = {**place, "name": item.get("name"), "arguments": written}
        found.append(("function_call_arguments.done", done))
        return {**item, "status": "in_progress", "arguments": ""}, found
    if item.get("type") != "message":
        return item, found
    for number, part in enumerate(common.members(item, "content")):
        at = {**place, "content_index": number}
        key = "refusal" if part.get("type") == "refusal" else "text"
        kind = "refusal" if key == "refusal" else "output_text"
        more: dict[str, Json] = {} if key == "refusal" else {"logprobs": []}
        text = str(part.get(key) or "")
        found.append(("content_part.added", {**at, "part": {**part, key: ""}}))
        for piece in common.pieces(text):
            found.append((f"{kind}.delta", {**at, "delta": piece, **more}))
        found.append((f"{kind}.done", {**at, key: text, **more}))
        found.append(("content_part.done", {**at, "part": part}))
    return {**item, "status": "in_progress", "content": []}, found


def reply(answer: Json) -> ModelReply:
    """Read an answer body; parts that are missing stay absent."""
    spoken: list[Message] = list(parse(common.members(answer, "output")))
    calls: tuple[ToolCall, ...] = tuple(call for m in spoken for call in m.tool_calls)
    cut = common.member(answer, "incomplete_details").get("reason")
    model = answer.get("model") if isinstance(answer, dict) else None
    return ModelReply(
        text="\n".join(m.text for m in spoken if m.role == "assistant" and m.text),
        tool_calls=calls,
        usage=_read_usage(common.member(answer, "usage")),
        finish_reason=_REASONS.get(str(cut)) if cut else None,
        model=model if isinstance(model, str) else None,
    )


def _read_usage(usage: dict[str, Json]) -> Usage | None:
    if not usage:
        return None
    return Usage(
        input=common.count(usage, "input_tokens"),
        output=common.count(usage, "output_tokens"),
        total=common.count(usage, "total_tokens"),
        cache_read=common.count(common.member(usage, "input_tokens_details"), "cached_tokens"),
        reasoning=common.count(common.member(usage, "output_tokens_details"), "reasoning_tokens"),
    )


def joined(stream: Sequence[common.Event]) -> dict[str, Json]:
    """The body in the closing event of a stream; empty when the stream broke off."""
    for _, data in reversed(stream):
        kind = data.get("type") if isinstance(data, dict) else None
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return common.member(data, "response")
    return {}
