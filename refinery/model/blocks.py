"""Blocks inside a message's content: text, tool calls and tool results, as each vendor names them.

Read are: Anthropic (`tool_use`, `tool_result`), OpenTelemetry GenAI parts (`tool_call`,
`tool_call_response`), Gemini (`functionCall`, `functionResponse`), Vercel's AI SDK (`tool-call`,
`tool-result`), LangChain (`tool_call`), OpenAI (`text`, `input_text`), and texts under `content`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from refinery.model.trace import Json
from refinery.model.walk import MAX_DEPTH

_CALLS = ("tool_use", "tool_call", "tool-call", "server_tool_use")
_RESULTS = ("tool_result", "tool_call_response", "tool-result")
_GEMINI_CALLS = ("functionCall", "function_call")
_GEMINI_RESULTS = ("functionResponse", "function_response")
_ANSWERS = ("content", "response", "result", "output")


@dataclass(frozen=True, slots=True)
class Call:
    """A block that asks for a tool."""

    name: Json
    arguments: Json
    """As the source has them: parsed, or a JSON text."""
    call_id: Json


@dataclass(frozen=True, slots=True)
class Result:
    """A block that holds what a tool answered."""

    text: str
    call_id: Json
    name: Json = None
    is_error: bool = False


def text_of(content: Json, depth: int = 0) -> str:
    """The text a content holds, blocks joined by newlines; calls and results have none."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return _block_text(content)
    if isinstance(content, list | tuple):
        if depth > MAX_DEPTH:
            return ""
        parts = [text_of(block, depth + 1) for block in content]
        return "\n".join(part for part in parts if part)
    return "" if content is None else str(content)


def call_of(block: Json) -> Call | None:
    """The tool call a block is; None when it is none."""
    if not isinstance(block, Mapping):
        return None
    if _kind(block) in _CALLS:
        name = _first(block, "name", "toolName")
        arguments = _first(block, "arguments", "input", "args")
        return Call(name, arguments, _first(block, "id", "toolCallId", "call_id"))
    for key in _GEMINI_CALLS:
        call = block.get(key)
        if isinstance(call, Mapping):
            return Call(call.get("name"), _first(call, "args", "arguments"), call.get("id"))
    return None


def result_of(block: Json) -> Result | None:
    """The tool result a block is; None when it is none."""
    if not isinstance(block, Mapping):
        return None
    if _kind(block) in _RESULTS:
        call_id = _first(block, "tool_use_id", "toolCallId", "id")
        output = block.get("output")
        typed = output if isinstance(output, Mapping) and "value" in output else {}
        answer = typed.get("value") if typed else _first(block, *_ANSWERS)
        failed = bool(block.get("is_error") or block.get("isError"))
        failed = failed or str(typed.get("type", "")).startswith("error")
        return Result(_answer_text(answer), call_id, _first(block, "name", "toolName"), failed)
    for key in _GEMINI_RESULTS:
        answer = block.get(key)
        if isinstance(answer, Mapping):
            told = _answer_text(answer.get("response"))
            return Result(told, answer.get("id"), answer.get("name"))
    return None


def _block_text(block: Mapping[str, Json]) -> str:
    if isinstance(block.get("text"), str):
        return str(block["text"])
    return str(block["content"]) if _is_text(block) else ""


def _is_text(block: Mapping[str, Json]) -> bool:
    """Whether a block says its text under `content`, as GenAI parts do."""
    return _kind(block) == "text" and isinstance(block.get("content"), str)


def _answer_text(answer: Json) -> str:
    """A tool's answer as text; data without texts of its own as JSON."""
    if isinstance(answer, str) or answer is None:
        return answer or ""
    return text_of(answer) or json.dumps(answer, ensure_ascii=False, default=str)


def _kind(block: Mapping[str, Json]) -> str:
    return str(block.get("type") or "")


def _first(block: Mapping[str, Json], *names: str) -> Json:
    return next((block[name] for name in names if block.get(name) is not None), None)
