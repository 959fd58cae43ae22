"""Vercel's AI SDK; names of `ai` 6 (`experimental_telemetry`)."""

from collections.abc import Mapping

from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import parsed, whole_number
from refinery.model.trace import Json, RunKind

_SETTINGS = "ai.settings."
_METADATA = "ai.telemetry.metadata."


def read(facts: Facts) -> None:
    """Fill in what `ai.*` attributes say."""
    if "ai.operationId" not in facts.attributes:
        return
    if facts.kind is RunKind.TOOL:
        facts.put("inputs", facts.first("ai.toolCall.args", "ai.toolCall.input"))
        facts.put("outputs", facts.first("ai.toolCall.result", "ai.toolCall.output"))
    else:
        _content(facts)
    _model(facts)
    _usage(facts)
    properties = {name: parsed(value) for name, value in facts.under(_METADATA).items()}
    for name in ("sessionId", "session_id", "threadId", "thread_id", "conversationId"):
        facts.put_text("session_id", _METADATA + name)
    for name in ("userId", "user_id"):
        facts.put_text("user_id", _METADATA + name)
    facts.put_tags(properties.get("tags"))
    facts.add_metadata(properties)


def _content(facts: Facts) -> None:
    messages = facts.take("ai.prompt.messages")
    if isinstance(messages, list):
        facts.put("inputs", {"messages": messages})
    facts.put("inputs", facts.first("ai.prompt", "ai.values", "ai.value"))
    facts.put("outputs", _answer(facts))


def _answer(facts: Facts) -> Json:
    """The answer as one assistant message, or the object or the vectors that were asked for."""
    vectors = facts.first("ai.embeddings", "ai.embedding")
    if vectors is not None:
        read = [parsed(item) for item in vectors] if isinstance(vectors, list) else vectors
        return {"embeddings": read}
    made = facts.take("ai.response.object")
    said = facts.attributes.get("ai.response.text")
    facts.used.add("ai.response.text")
    calls = facts.take("ai.response.toolCalls")
    reasoning = facts.take("ai.response.reasoning")
    answer: dict[str, Json] = {}
    if said or calls:
        answer = {"role": "assistant", "content": said if isinstance(said, str) else ""}
    if isinstance(calls, list):
        answer["tool_calls"] = [_tool_call(call) for call in calls]
    if reasoning:
        answer["reasoning"] = reasoning
    if made is not None:
        return {**answer, "object": made} if answer else {"object": made}
    return answer or None


def _tool_call(call: Json) -> Json:
    """A call in the words the other vendors use, the SDK's own kept beside."""
    if not isinstance(call, Mapping):
        return call
    given = call.get("input", call.get("args"))
    words = {"id": call.get("toolCallId"), "name": call.get("toolName"), "args": given}
    rest = {k: v for k, v in call.items() if k not in ("toolCallId", "toolName", "args", "input")}
    return {**rest, **{name: value for name, value in words.items() if value is not None}}


def _model(facts: Facts) -> None:
    facts.put_text("provider", "ai.model.provider")
    facts.put_text("model_requested", "ai.model.id")
    facts.put_text("model_responded", "ai.response.model")
    settings = {name: parsed(value) for name, value in facts.under(_SETTINGS).items()}
    facts.put("params", {name: value for name, value in settings.items() if value is not None})
    tools = facts.take("ai.prompt.tools")
    if isinstance(tools, list):
        facts.put("tools", [parsed(tool) for tool in tools])


def _usage(facts: Facts) -> None:
    """Tokens of the call itself; the operation around it repeats the sum of its calls."""
    if ".do" not in str(facts.attributes.get("ai.operationId")):
        return
    facts.put_usage(
        input="ai.usage.inputTokens",
        output="ai.usage.outputTokens",
        total="ai.usage.totalTokens",
        cache_read="ai.usage.cachedInputTokens",
        reasoning="ai.usage.reasoningTokens",
    )
    facts.put_usage(
        input="ai.usage.promptTokens",
        output="ai.usage.completionTokens",
        cache_read="ai.usage.inputTokenDetails.cacheReadTokens",
        cache_write="ai.usage.inputTokenDetails.cacheWriteTokens",
        reasoning="ai.usage.outputTokenDetails.reasoningTokens",
    )
    if facts.kind is RunKind.EMBEDDING:
        facts.count("input", whole_number(facts.attributes.get("ai.usage.tokens")))
        facts.used.add("ai.usage.tokens")
