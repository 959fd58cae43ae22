"""Reads what LangChain gives back: sizes, usage and the JSON of an answer."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more calls."""

    input: int = 0
    output: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.input + other.input, self.output + other.output)


def size(messages: Sequence[Any]) -> int:
    """UTF-8 bytes of all messages, an upper bound of their tokens."""
    total = 0
    for message in messages:
        content = message.content
        text = content if isinstance(content, str) else json.dumps(content, default=str)
        wishes = json.dumps(getattr(message, "tool_calls", []), default=str)
        total += len(text.encode("utf-8", "replace")) + len(wishes.encode()) + 16
    return total


def usage(reply: Any) -> Usage | None:
    """Tokens a reply reports; None when it reports none."""
    reported = reply.usage_metadata
    if not reported or not (reported.get("input_tokens") or reported.get("output_tokens")):
        return None
    return Usage(int(reported["input_tokens"]), int(reported["output_tokens"]))


def answer_text(reply: Any) -> str:
    """The JSON of a structured answer: a tool call's arguments, or the text without its fence."""
    if reply.tool_calls:
        return json.dumps(reply.tool_calls[0]["args"])
    if reply.invalid_tool_calls:
        return str(reply.invalid_tool_calls[0]["args"] or "")
    text = str(reply.text).strip()
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*)\n```", text, re.DOTALL)
    return fenced[1] if fenced else text


def described(error: ValidationError) -> str:
    """What does not fit, a line for each of the first twelve errors."""
    lines = [
        f"{'.'.join(str(part) for part in item['loc']) or 'answer'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)[:12]
    ]
    return "\n".join(lines)[:2_000]
