"""Values of attributes: JSON in strings, lists in dotted names, Python literals, numbers."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

import orjson

from refinery.adapters._shared.otel.limits import MAX_VALUE_DEPTH, number
from refinery.model.trace import Json

MAX_LITERAL_BYTES = 65_536
"""Longest Python literal that is read; longer ones stay text. Chosen by us."""

MAX_LITERAL_DEPTH = 40
"""Most brackets that may be open at once in a Python literal; `ast` recurses in C."""

_SURE = 10**18
"""Numbers below are read alike by all readers of JSON."""

MAX_INDEX = 100_000
"""Highest number in a dotted name that counts as a place in a list."""

_STRUCTURE = re.compile(r"\s*[\[{\"]")
_NO_ESCAPE = re.compile(r"\\[^\\'\"abfnrtvxuUN0-7]")
"""A backslash that Python's `repr` never writes, and that makes its reader warn."""


def parsed(value: Json, *, scalars: bool = False) -> Json:
    """The value a JSON text stands for; the text itself when it is none.

    Texts whose JSON could not be kept whole (a name twice in an object, nesting deeper than
    `MAX_VALUE_DEPTH`) stay texts. Numbers beyond JSON (`NaN`, `Infinity`) become strings.

    Args:
        value: returned as it is when it is no string.
        scalars: also read numbers, `true`, `false` and `null`.
    """
    if not isinstance(value, str) or not (scalars or _STRUCTURE.match(value)):
        return value
    if value.count("[") + value.count("{") > MAX_VALUE_DEPTH and _depth(value) > MAX_VALUE_DEPTH:
        return value
    found = _quickly(value)
    if found is not None:
        return found
    try:
        return _DECODER.decode(value)
    except (ValueError, RecursionError):
        return value


def _quickly(value: str) -> Json:
    """What `_DECODER` would read in an object or a list, in a fifth of the time; None: ask it.

    Without escapes each string has two quotes: had a name occurred twice, there would be more of
    them than the names and strings that were read account for. Large whole numbers may have come
    out as floats.
    """
    if "\\" in value:
        return None
    try:
        found = orjson.loads(value)
    except ValueError:
        return None
    strings = 0
    waiting = [found]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str:
            strings += 1
        elif kind is dict:
            strings += len(item)
            waiting.extend(item.values())
        elif kind is list:
            waiting.extend(item)
        elif (kind is int or kind is float) and not -_SURE < item < _SURE:
            return None
    return found if value.count('"') == 2 * strings else None


def is_structure(value: str) -> bool:
    """Whether a text begins as `parsed` expects it of JSON: otherwise it stays a text."""
    return _STRUCTURE.match(value) is not None


def literal(text: Json) -> Json:
    """The value of a Python literal such as `{'city': 'Paris'}`; the text when it is none."""
    if not isinstance(text, str) or len(text) > MAX_LITERAL_BYTES or text[:1] not in ("{", "["):
        return text
    if _depth(text) > MAX_LITERAL_DEPTH or _NO_ESCAPE.search(text):
        return text
    try:
        return json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def indexed(attributes: Mapping[str, Json], prefix: str) -> list[Json]:
    """The list that names like `prefix.0.message.role` spell out, in order of the numbers.

    Inner numbers make lists as well, `tool_calls.0.tool_call.id` for one.
    """
    dotted = f"{prefix}."
    tree: dict[str, Json] = {}
    for name, value in attributes.items():
        if not name.startswith(dotted):
            continue
        steps = name[len(dotted) :].split(".")
        if not steps[0].isdecimal() or len(steps) > MAX_VALUE_DEPTH:
            continue
        _plant(tree, steps, value)
    if not tree:
        return []
    found = _with_lists(tree)
    return found if isinstance(found, list) else []


def leaves(value: Json) -> list[str]:
    """Every string and number inside a value, as text."""
    found: list[str] = []
    _gather([value], found, 0)
    return found


def _gather(values: Iterable[Json], found: list[str], depth: int) -> None:
    for value in values:
        kind = type(value)
        if kind is str:
            found.append(value)
        elif isinstance(value, dict | list | tuple):
            if depth <= MAX_VALUE_DEPTH:
                inner = value.values() if isinstance(value, dict) else value
                _gather(inner, found, depth + 1)
        elif isinstance(value, str):
            found.append(value)
        elif value is not None and kind is not bool:
            found.append(repr(value))


def whole_number(value: Json) -> int | None:
    """A count, also from text or a float without a fraction; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) and 0 <= value < 2**53 else None


def amount(value: Json) -> Decimal | None:
    """An amount of money; None for anything that is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value)[:40])
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def text(value: Json) -> str | None:
    """A string that is not empty, or a number as a string; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _integer(digits: str) -> Json:
    return number(int(digits)) if len(digits) < 20 else digits


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name occurs twice")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=str, parse_int=_integer)


def _depth(source: str) -> int:
    """Most brackets open at once, those inside strings not counted."""
    deepest = depth = 0
    quote = ""
    skip = False
    for char in source:
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]})":
            depth -= 1
    return deepest


def _plant(tree: dict[str, Json], steps: list[str], value: Json) -> None:
    for step in steps[:-1]:
        below = tree.setdefault(step, {})
        if not isinstance(below, dict):
            return
        tree = below
    tree.setdefault(steps[-1], value)


def _with_lists(tree: Json) -> Json:
    """Objects whose names are all numbers, as lists."""
    if not isinstance(tree, dict):
        return tree
    if tree and all(name.isdecimal() and len(name) < 7 for name in tree):
        places = sorted(tree, key=int)
        if int(places[-1]) <= MAX_INDEX:
            return [_with_lists(tree[place]) for place in places]
    return {name: _with_lists(item) for name, item in tree.items()}
