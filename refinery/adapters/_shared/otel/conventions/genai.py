"""OpenTelemetry's GenAI semantic conventions, as OpenLLMetry, pydantic-ai and others write them.

Names: semantic conventions 1.27 (`gen_ai.system`, `gen_ai.prompt.N`) to 1.37
(`gen_ai.input.messages`), OpenLLMetry 0.62, pydantic-ai 2 and logfire 5.
"""

from collections.abc import Mapping

from refinery.adapters._shared.otel.envelopes import unwrapped
from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import indexed, parsed, whole_number
from refinery.model.trace import Json, RunKind

_NOT_PARAMS = ("model",)


def read(facts: Facts) -> None:
    """Fill in what `gen_ai.*` attributes say."""
    if facts.kind is RunKind.TOOL:
        _tool_call(facts)
    else:
        _messages(facts)
    _model(facts)
    facts.put_usage(
        input="gen_ai.usage.input_tokens",
        output="gen_ai.usage.output_tokens",
        total="gen_ai.usage.total_tokens",
        cache_read="gen_ai.usage.cache_read.input_tokens",
        cache_write="gen_ai.usage.cache_creation.input_tokens",
        reasoning="gen_ai.usage.reasoning_tokens",
    )
    facts.put_usage(
        input="gen_ai.usage.prompt_tokens",
        output="gen_ai.usage.completion_tokens",
        total="llm.usage.total_tokens",
        cache_read="gen_ai.usage.cache_read_input_tokens",
        cache_write="gen_ai.usage.cache_creation_input_tokens",
        reasoning="gen_ai.usage.details.reasoning_tokens",
    )
    facts.put_usage(
        cache_read="gen_ai.usage.details.cache_read_tokens",
        cache_write="gen_ai.usage.details.cache_write_tokens",
        reasoning="gen_ai.usage.reasoning.output_tokens",
    )
    facts.put_cost(facts.attributes.get("operation.cost"))
    facts.put_cost(facts.attributes.get("gen_ai.usage.cost"))
    facts.put_text("session_id", "gen_ai.conversation.id", "session.id")
    facts.put_text("user_id", "user.id", "enduser.id")


def _tool_call(facts: Facts) -> None:
    for field, names in (
        ("inputs", ("gen_ai.tool.call.arguments", "tool_arguments")),
        ("outputs", ("gen_ai.tool.call.result", "tool_response")),
    ):
        value = facts.first(*names)
        facts.put(field, unwrapped(facts, names[0], value))


def _messages(facts: Facts) -> None:
    system = facts.first("gen_ai.system_instructions")
    given = facts.first("gen_ai.input.messages")
    given = _asked_of_agent(facts) if given is None else given
    asked = given if given is not None else _numbered(facts, "gen_ai.prompt")
    if asked is None:
        asked = facts.first("gen_ai.prompt")
    if isinstance(asked, list):
        with_system = {"system": system} if system is not None else {}
        facts.put("inputs", {**with_system, "messages": asked})
    else:
        facts.put("inputs", asked)
    answered = facts.first("gen_ai.output.messages")
    if answered is None:
        answered = _numbered(facts, "gen_ai.completion")
    if answered is None:
        answered = facts.first("final_result", "gen_ai.completion")
    facts.put("outputs", {"messages": answered} if isinstance(answered, list) else answered)


def _asked_of_agent(facts: Facts) -> Json:
    """What pydantic-ai's agent was asked: its whole conversation up to the first new answer."""
    whole = facts.take("pydantic_ai.all_messages")
    if not isinstance(whole, list):
        return whole
    begun = whole_number(facts.attributes.get("pydantic_ai.new_message_index")) or 0
    for place, message in enumerate(whole):
        is_answer = isinstance(message, Mapping) and message.get("role") == "assistant"
        if place >= begun and is_answer:
            return whole[:place]
    return whole


def _numbered(facts: Facts, prefix: str) -> list[Json] | None:
    """Messages of the older form, `gen_ai.prompt.0.role`."""
    rows = indexed(facts.attributes, prefix)
    if not rows:
        return None
    facts.under(f"{prefix}.")
    messages = []
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        message = dict(row)
        if isinstance(message.get("content"), str):
            content = parsed(message["content"])
            message["content"] = content if isinstance(content, list) else message["content"]
        messages.append(message)
    return messages


def _model(facts: Facts) -> None:
    facts.put_text("provider", "gen_ai.provider.name", "gen_ai.system")
    facts.put_text("model_requested", "gen_ai.request.model")
    facts.put_text("model_responded", "gen_ai.response.model")
    params = {
        name: parsed(value)
        for name, value in facts.under("gen_ai.request.").items()
        if name not in _NOT_PARAMS and value is not None
    }
    facts.put("params", params)
    tools = facts.first("gen_ai.tool.definitions")
    tools = tools if tools is not None else _functions(facts)
    if isinstance(tools, list):
        facts.put("tools", [parsed(tool) for tool in tools])


def _functions(facts: Facts) -> list[Json] | None:
    """Tools of the older form, `llm.request.functions.0.name`."""
    rows = indexed(facts.attributes, "llm.request.functions")
    if not rows:
        return None
    facts.under("llm.request.functions.")
    return [
        {**row, "parameters": parsed(row.get("parameters"))} if isinstance(row, Mapping) else row
        for row in rows
    ]
