"""The conversation inside a run: one shape for the messages every vendor writes differently.

Read are: OpenAI chat messages (also as a whole request or response body), OpenAI responses items,
Anthropic content blocks, LangChain dumps (`{"lc": 1, "type": "constructor", "kwargs": …}`, as
plain JSON; nothing is revived), LangChain message dicts (`{"type": "human", …}`), OpenTelemetry
GenAI messages (`parts`), Gemini contents and candidates, and messages of Vercel's AI SDK.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from refinery.model.blocks import call_of, result_of, text_of
from refinery.model.trace import Json, Run
from refinery.model.walk import MAX_DEPTH

_ROLES: dict[str, str] = {
    "human": "user",
    "HumanMessage": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "model": "assistant",
    "developer": "system",
    "SystemMessage": "system",
    "SystemMessageChunk": "system",
    "ToolMessage": "tool",
    "ToolMessageChunk": "tool",
    "function": "tool",
    "FunctionMessage": "tool",
}
_KNOWN_ROLES = {"system", "user", "assistant", "tool"}
_GIVEN = ("messages", "contents", "input")
_SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call a model asked for."""

    name: str
    arguments: Json
    """Parsed arguments; the raw string when it is not valid JSON."""
    call_id: str | None = None
    is_malformed: bool = False
    """Whether the arguments came as a string that is not valid JSON."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`; any other role as the source wrote it."""
    text: str
    """The text parts joined by newlines; empty when there are none."""
    tool_calls: tuple[ToolCall, ...] = field(default=())
    tool_call_id: str | None = None
    """For role `tool`: the call it answers."""
    name: str | None = None
    is_error: bool = False
    """For role `tool`: whether the source marked the result as an error."""


def messages_in(run: Run) -> tuple[Message, ...]:
    """Messages a model call was given, in order; empty when the inputs hold none."""
    inputs = run.inputs
    if isinstance(inputs, Mapping):
        given = next((inputs[name] for name in _GIVEN if name in inputs), None)
        found = tuple(parse(given))
        if not found and isinstance(inputs.get("prompts"), list):
            found = tuple(Message("user", str(prompt)) for prompt in inputs["prompts"])
        if not found and isinstance(inputs.get("prompt"), str):
            found = (Message("user", inputs["prompt"]),)
        system = next((_system(inputs[name]) for name in _SYSTEM if inputs.get(name)), "")
        if system and not any(message.role == "system" for message in found):
            return (Message("system", system), *found)
        return found
    return tuple(parse(inputs))


def messages_out(run: Run) -> tuple[Message, ...]:
    """Messages a run answered with, in order; empty when the outputs hold none."""
    outputs = run.outputs
    if not isinstance(outputs, Mapping):
        return tuple(parse(outputs))
    if isinstance(outputs.get("generations"), list):
        return tuple(_from_generations(outputs["generations"]))
    if isinstance(outputs.get("choices"), list):
        choices = (c.get("message") for c in outputs["choices"] if isinstance(c, Mapping))
        return tuple(message for choice in choices for message in parse(choice))
    if isinstance(outputs.get("candidates"), list):
        said = (c.get("content") for c in outputs["candidates"] if isinstance(c, Mapping))
        return tuple(message for content in said for message in parse(content))
    for key in ("messages", "message", "output"):
        if key in outputs and (found := tuple(parse(outputs[key]))):
            return found
    return tuple(parse(outputs))


def tool_calls(run: Run) -> tuple[ToolCall, ...]:
    """Calls the answer of a model run asks for, in order."""
    return tuple(call for message in messages_out(run) for call in message.tool_calls)


def answer_text(value: Json) -> str:
    """The text a person would read in a result.

    A string itself, a string field of a usual name, the last assistant message, else JSON.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for key in ("output", "answer", "result", "response", "text", "content"):
            if isinstance(value.get(key), str):
                return str(value[key])
        holder = Run("", "", outputs=value)
        spoken = [m.text for m in messages_out(holder) if m.role == "assistant" and m.text]
        if spoken:
            return spoken[-1]
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str)


def parse(value: Json, depth: int = 0) -> Iterator[Message]:
    """Every message inside a value: a message, a list of them, or a list of such lists."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list | tuple):
        pair = len(value) == 2 and all(isinstance(part, str) for part in value)
        if pair and (value[0] in _KNOWN_ROLES or value[0] in _ROLES):
            yield Message(str(_ROLES.get(value[0], value[0])), value[1])
            return
        for item in value:
            yield from parse(item, depth + 1)
    elif isinstance(value, Mapping):
        if isinstance(value.get("kwargs"), Mapping) and value.get("type") == "constructor":
            kind = value.get("id")
            yield from _one(
                {"type": kind[-1] if isinstance(kind, list) and kind else "", **value["kwargs"]},
                kind,
            )
        elif isinstance(value.get("data"), Mapping) and "type" in value and "content" not in value:
            yield from _one({**value["data"], "type": value["type"]}, None)
        elif _looks_like_message(value):
            yield from _one(value, None)


def _looks_like_message(value: Mapping[str, Json]) -> bool:
    role = value.get("role", value.get("type"))
    known = isinstance(role, str) and (role in _KNOWN_ROLES or role in _ROLES)
    return known or role in ("function_call", "function_call_output")


def _one(value: Mapping[str, Json], class_path: Json) -> Iterator[Message]:
    kind = class_path[-1] if isinstance(class_path, list) and class_path else None
    role = str(kind or value.get("role") or value.get("type") or "")
    role = _ROLES.get(role, role)
    if role == "function_call":
        call = _call(value.get("name"), value.get("arguments"), value.get("call_id"))
        yield Message("assistant", "", (call,))
        return
    if role == "function_call_output":
        yield Message("tool", text_of(value.get("output")), tool_call_id=value.get("call_id"))
        return
    content = value["content"] if value.get("content") is not None else value.get("parts")
    results = tuple(_tool_results(content))
    yield from results
    calls = (
        (*_calls(value), *_block_calls(content))
        if not value.get("tool_calls")
        else tuple(_calls(value))
    )
    text = text_of(content)
    if results and not text and not calls:
        return  # a message of nothing but tool results, told already
    name = value.get("name")
    yield Message(
        role,
        text,
        tuple(calls),
        value.get("tool_call_id") if role == "tool" else None,
        name if isinstance(name, str) else None,
        role == "tool" and value.get("status") == "error",
    )


def _from_generations(generations: list[Json]) -> Iterator[Message]:
    for group in generations:
        for generation in group if isinstance(group, list) else [group]:
            if not isinstance(generation, Mapping):
                continue
            found = list(parse(generation.get("message")))
            if not found and isinstance(generation.get("text"), str):
                found = [Message("assistant", generation["text"])]
            yield from found


def _system(value: Json) -> str:
    """Text of a system prompt: a text, blocks, or Gemini's content with parts."""
    return text_of(value["parts"] if isinstance(value, Mapping) and "parts" in value else value)


def _tool_results(content: Json) -> Iterator[Message]:
    for block in _listed(content):
        if result := result_of(block):
            yield Message(
                "tool",
                result.text,
                tool_call_id=None if result.call_id is None else str(result.call_id),
                name=result.name if isinstance(result.name, str) else None,
                is_error=result.is_error,
            )


def _block_calls(content: Json) -> Iterator[ToolCall]:
    for block in _listed(content):
        if call := call_of(block):
            yield _call(call.name, call.arguments, call.call_id)


def _calls(value: Mapping[str, Json]) -> Iterator[ToolCall]:
    for call in _listed(value.get("tool_calls")):
        if not isinstance(call, Mapping):
            continue
        function = call.get("function")
        if isinstance(function, Mapping):
            yield _call(function.get("name"), function.get("arguments"), call.get("id"))
        else:
            name = function if isinstance(function, str) else call.get("name")
            yield _call(name, call.get("args", call.get("input")), call.get("id"))
    for call in _listed(value.get("invalid_tool_calls")):
        if isinstance(call, Mapping):
            yield ToolCall(str(call.get("name") or ""), call.get("args"), call.get("id"), True)
    legacy = value.get("function_call")
    if isinstance(legacy, Mapping):
        yield _call(legacy.get("name"), legacy.get("arguments"), None)


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _call(name: Json, arguments: Json, call_id: Json) -> ToolCall:
    identifier = str(call_id) if call_id is not None else None
    if not isinstance(arguments, str):
        return ToolCall(str(name or ""), arguments, identifier)
    try:
        return ToolCall(str(name or ""), json.loads(arguments or "{}"), identifier)
    except (ValueError, RecursionError):
        return ToolCall(str(name or ""), arguments, identifier, is_malformed=True)
