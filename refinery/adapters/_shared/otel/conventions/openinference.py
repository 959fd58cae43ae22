"""OpenInference: Phoenix, Arize and their instrumentations.

Names: OpenInference semantic conventions 0.1 (`openinference.semconv.trace`).
"""

from collections.abc import Mapping

from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import parsed
from refinery.model.messages import parse
from refinery.model.trace import Json

_SIDES = (("inputs", "input", "llm.input_messages"), ("outputs", "output", "llm.output_messages"))


def read(facts: Facts) -> None:
    """Fill in what OpenInference attributes say."""
    for field, side, messages in _SIDES:
        _content(facts, field, side, messages)
    _documents(facts)
    _model(facts)
    facts.put_usage(
        input="llm.token_count.prompt",
        output="llm.token_count.completion",
        total="llm.token_count.total",
        cache_read="llm.token_count.prompt_details.cache_read",
        cache_write="llm.token_count.prompt_details.cache_write",
        reasoning="llm.token_count.completion_details.reasoning",
    )
    facts.put_cost(facts.attributes.get("llm.cost.total"))
    facts.put_text("session_id", "session.id")
    facts.put_text("user_id", "user.id")
    facts.put_tags(facts.take("tag.tags"))
    facts.add_metadata(facts.take("metadata"))
    facts.add_metadata(facts.under("metadata."))


def _content(facts: Facts, field: str, side: str, prefix: str) -> None:
    """The value as it was, or the spelt-out messages where these say more."""
    name = f"{side}.value"
    is_json = facts.attributes.get(f"{side}.mime_type") == "application/json"
    is_text = facts.attributes.get(f"{side}.mime_type") == "text/plain"
    value = facts.attributes.get(name) if is_text else facts.take(name, scalars=is_json)
    rows = facts.listed(prefix)
    messages = [message for row in rows if (message := _message(row))]
    if messages and facts.is_model_call and _holds_fewer(value, len(messages)):
        facts.under(f"{prefix}.")
        facts.put(field, {"messages": messages})
        return
    if value not in (None, ""):
        facts.used.update((name, f"{side}.mime_type"))
        facts.under(f"{prefix}.")
        facts.put(field, value)
    elif messages:
        facts.under(f"{prefix}.")
        facts.put(field, {"messages": messages})


def _holds_fewer(value: Json, count: int) -> bool:
    """Whether a value has fewer readable messages than there are."""
    holder = value
    if isinstance(value, Mapping):
        holder = next(
            (value[k] for k in ("messages", "input", "generations", "choices") if value.get(k)),
            value,
        )
    found = 0
    for item in holder if isinstance(holder, list) else [holder]:
        inner = item[0] if isinstance(item, list) and item else item
        if isinstance(inner, Mapping) and isinstance(inner.get("message"), Mapping):
            inner = inner["message"]
            found += sum(1 for _ in parse(inner))
        else:
            found += sum(1 for _ in parse(item))
    return found < count


def _message(row: Json) -> dict[str, Json] | None:
    """One spelt-out message as OpenAI would write it."""
    given = row.get("message") if isinstance(row, Mapping) else None
    if not isinstance(given, Mapping):
        return None
    message: dict[str, Json] = {}
    for name, value in given.items():
        if name == "tool_calls" and isinstance(value, list):
            message["tool_calls"] = [_tool_call(call) for call in value]
        elif name == "contents" and isinstance(value, list):
            message["content"] = [_block(part) for part in value]
        elif name == "function_call_name":
            arguments = given.get("function_call_arguments_json")
            message["function_call"] = {"name": value, "arguments": arguments}
        elif name != "function_call_arguments_json":
            message.setdefault(name, value)
    return message


def _tool_call(row: Json) -> Json:
    call = row.get("tool_call") if isinstance(row, Mapping) else None
    if not isinstance(call, Mapping):
        return row
    return {"type": "function", **call}


def _block(row: Json) -> Json:
    """One part of a message's content."""
    part = row.get("message_content") if isinstance(row, Mapping) else None
    return dict(part) if isinstance(part, Mapping) else row


def _documents(facts: Facts) -> None:
    """Documents of a retriever or a reranker, where the output value does not tell of them."""
    for field, prefix in (
        ("outputs", "retrieval.documents"),
        ("inputs", "reranker.input_documents"),
        ("outputs", "reranker.output_documents"),
    ):
        rows = facts.listed(prefix)
        found = [row.get("document", row) for row in rows if isinstance(row, Mapping)]
        if found and field not in facts.fields:
            for document in found:
                if isinstance(document, dict) and "metadata" in document:
                    document["metadata"] = parsed(document["metadata"])
            facts.under(f"{prefix}.")
            facts.put(field, {"documents": found})


def _model(facts: Facts) -> None:
    facts.put_text("provider", "llm.provider", "llm.system")
    params = facts.first(
        "llm.invocation_parameters",
        "embedding.invocation_parameters",
    )
    if isinstance(params, Mapping):
        named = params.get("model") or params.get("model_name")
        if isinstance(named, str):
            facts.put("model_requested", named)
        facts.put("params", {k: v for k, v in params.items() if k != "tools" and v is not None})
    # `llm.model_name` holds the answering model once that is known.
    facts.put_text("model_responded", "llm.model_name", "embedding.model_name")
    facts.put("model_requested", facts.fields.get("model_responded"))
    rows = facts.listed("llm.tools")
    tools = [_tool(row) for row in rows if isinstance(row, Mapping)]
    if tools:
        facts.under("llm.tools.")
        facts.put("tools", tools)


def _tool(row: Mapping[str, Json]) -> Json:
    tool = row.get("tool")
    if not isinstance(tool, Mapping):
        return dict(row)
    return parsed(tool.get("json_schema")) if "json_schema" in tool else dict(tool)
