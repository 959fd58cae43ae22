"""LangSmith's filter language, read into a tree.

    expression := operator "(" argument { "," argument } ")"
    argument   := expression | field | text | number | true | false | null | list
    list       := "[" argument { "," argument } "]"

Source: LangSmith documentation, "Trace query syntax"; `in`, `like` and `not` are known from its
SDK and pages only. Text stands in double or single quotes, with JSON's escapes.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from refinery.errors import InputError

MAX_CHARS = 20_000
MAX_DEPTH = 32
MAX_NODES = 2_000
"""Chosen by us: far above what a person or an SDK writes, far below what hurts."""

_COMPARISONS = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "has", "in", "like"})
OPERATORS = frozenset({"and", "or", "not", "search"}) | _COMPARISONS

FIELDS = frozenset(
    (
        *("id", "trace_id", "parent_run_id", "session_id", "thread_id", "reference_example_id"),
        *("name", "run_type", "status", "error", "is_root", "dotted_order", "tags"),
        *("start_time", "end_time", "latency", "first_token_time", "first_token_latency"),
        *("total_tokens", "prompt_tokens", "completion_tokens", "total_cost"),
        *("metadata", "metadata_key", "metadata_value", "inputs", "input_key", "input_value"),
        *("outputs", "output_key", "output_value", "feedback_key", "feedback_score"),
        *("feedback_value", "feedback_comment", "feedback_source"),
    )
)
"""Names a comparison may begin with."""

_INT_CHARS = 18
"""Longer numbers are read as floating point, as other readers of JSON do."""

_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r'|(?P<text>"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')'
    r"|(?P<mark>[()\[\],]))",
    re.DOTALL,
)
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}

Value: TypeAlias = "str | int | float | bool | tuple[Value, ...] | None"


class FilterError(InputError):
    """A filter could not be read; `position` counts characters from 0."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(
            f"invalid filter at position {position}: {reason}",
            hint='write it like and(eq(run_type, "llm"), gt(latency, 5))',
        )
        self.position = position


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operator on one field, e.g. `gt(latency, 5)`."""

    operator: str
    field: str
    value: Value


@dataclass(frozen=True, slots=True)
class Search:
    """Words that must occur somewhere in the run, or in one field of it."""

    text: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """`and`, `or` or `not` of other expressions."""

    operator: str
    parts: "tuple[Expression, ...]"


Expression: TypeAlias = Comparison | Search | Group


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Expression:
    """Read a filter.

    Raises:
        FilterError: it is too long or too deep, breaks the grammar, or has an unknown operator
            or field.
    """
    if len(text) > MAX_CHARS:
        raise FilterError(f"longer than {MAX_CHARS} characters", MAX_CHARS)
    reader = _Reader(_tokens(text), len(text))
    found = reader.expression(0)
    if (rest := reader.peek()) is not None:
        raise FilterError(
            f"nothing is expected after the expression, not {rest.text!r}", rest.position
        )
    return found


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise FilterError(f"{text[start : start + 20]!r} is no part of a filter", start)
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
        if len(found) > MAX_NODES * 3:
            raise FilterError("too many parts", at)
    return found


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[_Token], length: int) -> None:
        self._tokens = tokens
        self._length = length
        self._at = 0
        self._nodes = 0

    def peek(self) -> _Token | None:
        """The next token; None at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def expression(self, depth: int) -> Expression:
        """One operator with its arguments."""
        self._nodes += 1
        word = self._next("word", "an operator such as and(…) or eq(…)")
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise FilterError("nested too deep or too long", word.position)
        operator = word.text.lower()
        if operator not in OPERATORS:
            known = ", ".join(sorted(OPERATORS))
            raise FilterError(f"unknown operator {word.text!r}; known are {known}", word.position)
        self._mark("(")
        if operator in ("and", "or", "not"):
            parts = self._list(")", lambda: self.expression(depth + 1))
            if not parts or (operator == "not" and len(parts) != 1):
                raise FilterError(f"{operator} has the wrong number of parts", word.position)
            return Group(operator, tuple(parts))
        return self._search(word) if operator == "search" else self._comparison(operator)

    def _comparison(self, operator: str) -> Comparison:
        name = self._next("word", "the name of a field")
        if name.text.lower() not in FIELDS:
            raise FilterError(f"unknown field {name.text!r}", name.position)
        self._mark(",")
        start = self.peek()
        value = self._value(0)
        if operator == "in" and not isinstance(value, tuple):
            raise FilterError("in(…) takes a list in brackets", start.position if start else 0)
        if operator != "in" and isinstance(value, tuple):
            raise FilterError(f"{operator}(…) takes no list", start.position if start else 0)
        self._mark(")")
        return Comparison(operator, name.text.lower(), value)

    def _search(self, word: _Token) -> Search:
        given = self._list(")", lambda: self._value(0, fields=True))
        texts = [one for one in given if isinstance(one, str)]
        if len(texts) != len(given) or not 1 <= len(given) <= 2:
            raise FilterError("search takes a text, or a field and a text", word.position)
        return Search(texts[-1], texts[0] if len(texts) == 2 else None)

    def _value(self, depth: int, *, fields: bool = False) -> Value:
        token = self._next(None, "a value")
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise FilterError("nested too deep or too long", token.position)
        if token.kind == "text":
            return _unquoted(token)
        if token.kind == "number":
            is_whole = token.text.lstrip("-").isdecimal() and len(token.text) <= _INT_CHARS
            return int(token.text) if is_whole else float(token.text)
        if token.text == "[":
            return tuple(self._list("]", lambda: self._value(depth + 1)))
        if token.kind == "word" and token.text.lower() in _CONSTANTS:
            return _CONSTANTS[token.text.lower()]
        if fields and token.text.lower() in FIELDS:
            return token.text.lower()
        raise FilterError(f"a value is expected, not {token.text!r}", token.position)

    def _list(self, end: str, read: Callable[[], "Expression | Value"]) -> list:  # type: ignore[type-arg]  # of what `read` gives
        found: list[Expression | Value] = []
        if (first := self.peek()) is not None and first.text == end and first.kind == "mark":
            self._at += 1
            return found
        while True:
            found.append(read())
            mark = self._next("mark", f"',' or {end!r}")
            if mark.text == end:
                return found
            if mark.text != ",":
                raise FilterError(f"',' or {end!r} is expected, not {mark.text!r}", mark.position)

    def _mark(self, text: str) -> None:
        token = self._next("mark", repr(text))
        if token.text != text:
            raise FilterError(f"{text!r} is expected, not {token.text!r}", token.position)

    def _next(self, kind: str | None, expected: str) -> _Token:
        token = self.peek()
        if token is None:
            raise FilterError(f"{expected} is expected, not the end", self._length)
        if kind is not None and token.kind != kind:
            raise FilterError(f"{expected} is expected, not {token.text!r}", token.position)
        self._at += 1
        return token


def _unquoted(token: _Token) -> str:
    inner = token.text[1:-1]
    if token.text[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    try:
        return str(json.loads(f'"{inner}"', strict=False))
    except ValueError as error:
        raise FilterError(
            f"text with a wrong escape: {token.text[:40]}", token.position
        ) from error
