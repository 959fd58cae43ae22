"""Sets a key of a JSON file, keeping its layout."""

import json
import re

from refinery.codebase.json_spans import JsonValue, values
from refinery.codebase.keyed import check_container, nested
from refinery.codebase.splices import Splice, byte_offset, newline_of, with_newlines
from refinery.errors import EditError
from refinery.model.trace import Json

_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]",
    re.DOTALL,
)
"""One character of a JSON text, as it is written."""
MAX_DEPTH = 200
"""Deepest file that is edited (THREATS 4, limits)."""


def splices(source: str, path: str, keys: list[Json], value: Json) -> list[Splice]:
    """One splice: the value of the key, or a new member behind the last one.

    Raises:
        EditError: the file is no JSON, or the path does not fit it.
    """
    bare = source.removeprefix("\ufeff")
    shift = len(source) - len(bare)
    try:
        top = json.loads(bare)
    except (ValueError, RecursionError) as error:
        raise EditError(f"{path} is not valid JSON: {error}") from error
    spans = {one.path: one for one in values(bare) if len(one.path) <= MAX_DEPTH}
    depth = 0
    node = top
    while depth < len(keys) and tuple(keys[: depth + 1]) in spans:
        check_container(node, path, keys[:depth], keys[depth])
        node = node[keys[depth]]
        depth += 1
    if depth == len(keys):
        found = spans[tuple(keys)]
        if isinstance(node, str) and isinstance(value, str):
            return [_text_splice(source, shift, found, value)]
        written = _written(value, source, _indent_at(bare, found.start))
        return [_splice(source, shift, found.start, found.end, written)]
    check_container(node, path, keys[:depth], keys[depth])
    return [
        _member(
            source, shift, spans, keys[:depth], (keys[depth], nested(keys[depth + 1 :], value))
        )
    ]


def _text_splice(source: str, shift: int, found: JsonValue, value: str) -> Splice:
    """The part of a text that changes; what stays keeps the escapes it is written with."""
    start = found.start + shift + 1
    units = _UNIT.findall(source[start : found.end + shift - 1])
    texts = [json.loads(f'"{unit}"', strict=False) for unit in units]
    head = at = 0
    while head < len(texts) and value.startswith(texts[head], at):
        at += len(texts[head])
        head += 1
    tail, end = len(texts), len(value)
    while (
        tail > head
        and end - len(texts[tail - 1]) >= at
        and value.endswith(texts[tail - 1], 0, end)
    ):
        tail -= 1
        end -= len(texts[tail])
    first = start + sum(map(len, units[:head]))
    last = first + sum(map(len, units[head:tail]))
    written = _written(value[at:end], source, "")[1:-1]
    return _splice(source, 0, first, last, written)


def _member(
    source: str,
    shift: int,
    spans: dict[tuple[Json, ...], JsonValue],
    above: list[Json],
    member: tuple[str, Json],
) -> Splice:
    """A new member behind the last one of an object."""
    bare = source[shift:]
    holder = spans[tuple(above)]
    inside = [one for one in spans.values() if one.path[:-1] == tuple(above) and one.path]
    last = max(inside, key=lambda one: one.end, default=None)
    key = json.dumps(member[0], ensure_ascii=_is_escaped(source))
    if last is None:
        written = _written(member[1], source, _indent_at(bare, holder.start))
        return _splice(source, shift, holder.start, holder.end, f"{{{key}: {written}}}")
    is_spread = "\n" in bare[last.end : holder.end]
    indent = _indent_at(bare, last.start)
    between = newline_of(source) + indent if is_spread else " "
    written = _written(member[1], source, indent, is_spread=is_spread)
    return _splice(source, shift, last.end, last.end, f",{between}{key}: {written}")


def _splice(source: str, shift: int, start: int, end: int, written: str) -> Splice:
    return Splice(
        byte_offset(source, start + shift),
        byte_offset(source, end + shift),
        written.encode("utf-8", "surrogatepass") if _is_escaped(source) else written.encode(),
    )


def _written(value: Json, source: str, indent: str, *, is_spread: bool = True) -> str:
    step = _step(source)
    try:
        text = json.dumps(
            value,
            ensure_ascii=_is_escaped(source),
            indent=step if is_spread and "\n" in source.strip() else None,
            allow_nan=False,
        )
        text.encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise EditError(f"the value cannot be written as JSON: {error}") from error
    return with_newlines(text.replace("\n", "\n" + indent), newline_of(source))


def _step(source: str) -> str:
    """The first indentation of the file; two spaces when it has none."""
    found = re.search(r"\n([ \t]+)\S", source)
    return found.group(1) if found else "  "


def _indent_at(source: str, position: int) -> str:
    start = source.rfind("\n", 0, position) + 1
    line = source[start:position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _is_escaped(source: str) -> bool:
    """Whether the file writes characters beyond ASCII as escapes."""
    return source.isascii() and "\\u" in source
