"""OpenAI chat completions (`POST /v1/chat/completions`), plain and as an event stream."""

from collections.abc import Iterator, Sequence

from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Json, Run, Usage
from refinery.replay.apis import _common as common
from refinery.replay.exchange import Api, ModelReply, ModelRequest

_APART = frozenset({"model", "messages", "tools", "stream", "stream_options"})


def request(body: dict[str, Json]) -> ModelRequest:
    """Read a request body.

    Raises:
        InputError: the body names no model.
    """
    return ModelRequest(
        api=Api.OPENAI_CHAT,
        model=common.require_model(body),
        messages=messages_in(Run("", "", inputs={"messages": body.get("messages")})),
        tools=tuple(common.members(body, "tools")),
        params={key: value for key, value in body.items() if key not in _APART},
        stream=bool(body.get("stream")),
        body=body,
    )


def _base(asked: ModelRequest, reply: ModelReply, kind: str) -> dict[str, Json]:
    return {
        "id": common.identifier("chatcmpl-", asked, reply),
        "object": kind,
        "created": common.now_s(),
        "model": reply.model or asked.model,
        "system_fingerprint": None,
    }


def _usage(usage: Usage | None) -> Json:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input or 0,
        "completion_tokens": usage.output or 0,
        "total_tokens": common.total(usage),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
    }


def _call(asked: ModelRequest, reply: ModelReply, index: int) -> dict[str, Json]:
    call = reply.tool_calls[index]
    return {
        "id": common.call_identifier("call_", asked, reply, index),
        "type": "function",
        "function": {"name": call.name, "arguments": common.arguments_text(call)},
    }


def body(asked: ModelRequest, reply: ModelReply) -> dict[str, Json]:
    """The answer as one JSON body."""
    calls = [_call(asked, reply, index) for index in range(len(reply.tool_calls))]
    message: dict[str, Json] = {
        "role": "assistant",
        "content": reply.text or (None if calls else ""),
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "finish_reason": reply.reason,
        "logprobs": None,
        "message": message,
    }
    return {
        **_base(asked, reply, "chat.completion"),
        "choices": [choice],
        "usage": _usage(reply.usage),
    }


def events(asked: ModelRequest, whole: Json) -> Iterator[common.Event]:
    """An answer's body as the events of a stream; usage only when the request asked for it."""
    kept = ("id", "created", "model", "system_fingerprint", "service_tier")
    base = {key: whole[key] for key in kept if key in whole} | {"object": "chat.completion.chunk"}
    for choice in common.members(whole, "choices"):
        place = {"index": common.count(choice, "index") or 0, "logprobs": None}
        for delta in _deltas(common.member(choice, "message")):
            yield None, {**base, "choices": [{**place, "delta": delta, "finish_reason": None}]}
        ending = {**place, "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield None, {**base, "choices": [ending]}
    if common.member(asked.body, "stream_options").get("include_usage"):
        yield None, {**base, "choices": [], "usage": whole.get("usage")}
    yield None, "[DONE]"


def _deltas(message: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The pieces a message comes in."""
    calls = common.members(message, "tool_calls")
    yield {"role": "assistant", "content": None if calls else ""}
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        if isinstance(message.get(name), str):
            for piece in common.pieces(message[name]):
                yield {name: piece}
    for index, call in enumerate(calls):
        function = common.member(call, "function")
        opening = {**call, "index": index, "function": {**function, "arguments": ""}}
        yield {"tool_calls": [opening]}
        for piece in common.pieces(str(function.get("arguments") or "")):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def reply(answer: Json) -> ModelReply:
    """Read an answer body; parts that are missing stay absent."""
    spoken = messages_out(Run("", "", outputs=answer))
    first = spoken[0] if spoken else None
    choices = common.members(answer, "choices")
    reason = choices[0].get("finish_reason") if choices and isinstance(choices[0], dict) else None
    model = answer.get("model") if isinstance(answer, dict) else None
    return ModelReply(
        text=first.text if first else "",
        tool_calls=first.tool_calls if first else (),
        usage=read_usage(common.member(answer, "usage")),
        finish_reason=reason if isinstance(reason, str) else None,
        model=model if isinstance(model, str) else None,
    )


def read_usage(usage: dict[str, Json]) -> Usage | None:
    """Tokens as this interface reports them; None when it reported none."""
    if not usage:
        return None
    return Usage(
        input=common.count(usage, "prompt_tokens"),
        output=common.count(usage, "completion_tokens"),
        total=common.count(usage, "total_tokens"),
        cache_read=common.count(common.member(usage, "prompt_tokens_details"), "cached_tokens"),
        reasoning=common.count(
            common.member(usage, "completion_tokens_details"), "reasoning_tokens"
        ),
    )


def joined(stream: Sequence[common.Event]) -> dict[str, Json]:
    """The body that says what the events of a stream said, first choice only."""
    text: list[str] = []
    calls: dict[int, dict[str, Json]] = {}
    whole: dict[str, Json] = {}
    reason = None
    for _, chunk in stream:
        if not isinstance(chunk, dict):
            continue
        whole = {
            **whole,
            **{key: chunk[key] for key in ("id", "model", "created") if key in chunk},
        }
        whole["usage"] = chunk.get("usage") or whole.get("usage")
        for choice in common.members(chunk, "choices"):
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                continue
            delta = common.member(choice, "delta")
            text.append(str(delta.get("content") or ""))
            _collect(calls, common.members(delta, "tool_calls"))
            reason = choice.get("finish_reason") or reason
    message: dict[str, Json] = {"role": "assistant", "content": "".join(text) or None}
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    choice = {"index": 0, "finish_reason": reason, "message": message}
    return {**whole, "object": "chat.completion", "choices": [choice]}


def _collect(calls: dict[int, dict[str, Json]], parts: list[Json]) -> None:
    """Add the pieces of tool calls to what is known of each call."""
    for part in parts:
        if not isinstance(part, dict):
            continue
        index = common.count(part, "index") or 0
        empty = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        call = calls.setdefault(index, empty)
        call["id"] = part.get("id") or call["id"]
        function = common.member(part, "function")
        call["function"]["name"] += str(function.get("name") or "")
        call["function"]["arguments"] += str(function.get("arguments") or "")
