"""Where every value of a JSON text stands; without recursion, so depth is harmless."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from refinery.model.trace import Json

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


@dataclass(slots=True)
class JsonValue:
    """One value of a JSON text."""

    path: tuple[Json, ...]
    """Keys and indices from the top."""
    start: int
    end: int
    """Character span."""


@dataclass(slots=True)
class _Open:
    path: tuple[Json, ...]
    start: int
    is_object: bool
    count: int = 0
    key: str | None = field(default=None)


def values(source: str) -> Iterator[JsonValue]:
    """Every value of a valid JSON text; a container comes after what it holds."""
    stack: list[_Open] = []
    for token in _TOKEN.finditer(source):
        text = token.group()
        top = stack[-1] if stack else None
        if text in "{[":
            stack.append(_Open(_here(top), token.start(), text == "{"))
        elif text in "}]" and top is not None:
            stack.pop()
            yield JsonValue(top.path, top.start, token.end())
        elif text == "," and top is not None:
            top.count, top.key = top.count + 1, None
        elif text == ":":
            continue
        elif top is not None and top.is_object and top.key is None:
            top.key = _text(text)
        else:
            yield JsonValue(_here(top), token.start(), token.end())


def _here(top: _Open | None) -> tuple[Json, ...]:
    if top is None:
        return ()
    return (*top.path, (top.key or "") if top.is_object else top.count)


def _text(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
