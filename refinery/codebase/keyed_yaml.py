"""Sets a key of a YAML file: ruamel says where each node stands, only that text changes."""

import io
import json
import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from refinery.codebase.keyed import check_container, is_same, nested, reach
from refinery.codebase.splices import Splice, byte_offset, newline_of, with_newlines
from refinery.errors import EditError
from refinery.model.trace import Json

_NEWLINE = re.compile(r"\r\n|\r|\n")
_BLANKS = re.compile(r"[ \t]+(?=[^\s#])")
_ALIAS = re.compile(r"\s*\*[^\s,\]}]+")
_BODY = re.compile(r"[\r\n]( +)\S")
_PRINTABLE_LINES = re.compile(r"\S[^\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ufeff]*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value goes, and what surrounds it."""

    start: int
    end: int
    indent: int
    """Column of the key or the list item."""
    body_indent: int
    """Column of the lines of a literal block or a nested mapping."""
    is_flow: bool = False
    gap: str = " "
    """Blanks between the colon and the value; empty for a list item."""
    style: str | None = None
    """Quotes of the old value: `'`, `"`, `|`, `>`; None for plain or new ones."""
    has_comment: bool = False
    """Whether more stands on the line behind the value."""


def splices(source: str, path: str, keys: list[Json], value: Json) -> list[Splice]:
    """One splice at the value of the key, or a new line behind the last key.

    Raises:
        EditError: the file is not one valid YAML document, the path does not fit it, or the
            value cannot be set without touching others (anchors).
    """
    bare = source.removeprefix("\ufeff")
    shift = len(source) - len(bare)
    node, before = _compose(bare, path), _load(bare, path)
    holder, key, missing = (
        reach(before, path, keys) if before is not None else ({}, keys[0], keys[1:])
    )
    wanted = nested(missing, value)
    holder[key] = wanted
    start, end, written = _change(bare, path, node, keys, wanted)
    written = with_newlines(written, newline_of(source))
    after = bare[:start] + written + bare[end:]
    try:
        is_right = is_same(_load(after, path), before if before is not None else holder)
    except EditError:
        is_right = False
    if not is_right:
        raise EditError(
            f"{'.'.join(map(str, keys))} of {path} cannot be set without changing others",
            hint="use replace_text",
        )
    first, last = byte_offset(source, start + shift), byte_offset(source, end + shift)
    return [Splice(first, last, written.encode("utf-8"))]


def _compose(source: str, path: str) -> Node | None:
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(source)
    except (YAMLError, RecursionError, ValueError) as error:
        raise EditError(f"{path} is not valid YAML: {_reason(error)}") from error
    return node


def _load(source: str, path: str) -> Json:
    try:
        return YAML(typ="safe", pure=True).load(source)
    except (YAMLError, RecursionError, ValueError) as error:
        raise EditError(f"{path} is not valid YAML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return error.problem or "" if isinstance(error, MarkedYAMLError) else str(error)[:120]


def _change(
    source: str, path: str, top: Node | None, keys: list[Json], wanted: Json
) -> tuple[int, int, str]:
    """Character span to replace, and the text to put there."""
    if top is None:
        end = len(source)
        gap = "\n" if source and not source.endswith("\n") else ""
        written = _value(wanted, _Place(end, end, 0, 2))
        return end, end, f"{gap}{_key(keys[0])}:{written}\n"
    node, floor = top, 0
    for depth, key in enumerate(keys):
        is_last = depth == len(keys) - 1
        child = _child(node, key)
        if child is None:
            return _new_member(source, path, node, key, wanted)
        key_node, value_node = child
        floor = key_node.end_mark.index if key_node is not None else floor
        is_alias = value_node.start_mark.index < floor
        if is_last and isinstance(node, CollectionNode):
            place = _place(source, node, child, is_alias=is_alias)
            return place.start, place.end, _value(wanted, place)
        if is_alias:
            raise EditError(f"the path leads through an alias of {path}", hint="use replace_text")
        node, floor = value_node, value_node.start_mark.index
    raise EditError(f"no key given for {path}")


def _child(node: Node, key: Json) -> tuple[Node | None, Node] | None:
    if isinstance(node, MappingNode):
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and key_node.value == key:
                return key_node, value_node
    elif isinstance(node, SequenceNode) and isinstance(key, int) and 0 <= key < len(node.value):
        return None, node.value[key]
    return None


def _place(
    source: str, holder: CollectionNode, child: tuple[Node | None, Node], *, is_alias: bool
) -> _Place:
    key_node, value = child
    indent = holder.start_mark.column
    start, gap = value.start_mark.index, ""
    if key_node is not None:
        start = source.index(":", key_node.end_mark.index) + 1
        blanks = _BLANKS.match(source, start)
        gap = (blanks.group() if blanks else "") or " "
    if is_alias:
        found = _ALIAS.match(source, start)
        end = found.end() if found else start
        return _Place(start, end, indent, indent + 2, bool(holder.flow_style), gap)
    end = start if _is_empty(value) and key_node else max(_end(source, value), start)
    rest = source[end : _line_end(source, end)].strip()
    style = value.style if isinstance(value, ScalarNode) else None
    body = _BODY.search(source, start, end) if style in ("|", ">") else None
    body_indent = len(body.group(1)) if body else indent + _step(source)
    return _Place(start, end, indent, body_indent, bool(holder.flow_style), gap, style, bool(rest))


def _end(source: str, node: Node) -> int:
    """Where a node's own text ends, without the comments and blank lines behind it."""
    while isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key_node, value = last if isinstance(last, tuple) else (None, last)
        is_elsewhere = key_node is not None and value.start_mark.index < key_node.end_mark.index
        if key_node is not None and (is_elsewhere or _is_empty(value)):
            return _line_end(source, key_node.end_mark.index)  # an alias, or nothing
        node = value
    end: int = node.end_mark.index
    return len(source[:end].rstrip()) if end > node.start_mark.index else end


def _is_empty(node: Node) -> bool:
    """Whether nothing is written for a null; ruamel then marks a place further down."""
    return isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index


def _line_end(source: str, position: int) -> int:
    """Index of the line ending behind a position."""
    found = _NEWLINE.search(source, position)
    return found.start() if found else len(source)


def _step(source: str) -> int:
    """How far the file indents; two columns when it does not."""
    found = _BODY.search(source)
    return len(found.group(1)) if found else 2


def _new_member(
    source: str, path: str, holder: Node, key: Json, wanted: Json
) -> tuple[int, int, str]:
    if not isinstance(holder, MappingNode):
        check_container([] if isinstance(holder, SequenceNode) else None, path, [], key)
        raise EditError(f"{path} has no item {key!r}")
    end = _end(source, holder)
    indent = holder.start_mark.column
    if holder.flow_style:
        last = _end(source, holder.value[-1][1]) if holder.value else end - 1
        comma = ", " if holder.value else ""
        place = _Place(last, last, indent, indent, is_flow=True)
        return last, last, f"{comma}{_key(key)}:{_value(wanted, place)}"
    at = _line_end(source, end)
    place = _Place(at, at, indent, indent + _step(source))
    return at, at, f"\n{' ' * indent}{_key(key)}:{_value(wanted, place)}"


def _key(key: Json) -> str:
    return _scalar(str(key), _Place(0, 0, 0, 0, is_flow=True))


def _value(wanted: Json, place: _Place) -> str:
    """The text of a value with the blanks before it."""
    is_container = isinstance(wanted, dict | list) and bool(wanted)
    if is_container and place.gap and not place.is_flow and not place.has_comment:
        return "\n" + _block(
            wanted, place.body_indent if isinstance(wanted, dict) else place.indent
        )
    if isinstance(wanted, str):
        return place.gap + _scalar(wanted, place)
    return place.gap + json.dumps(wanted, ensure_ascii=False)


def _block(wanted: Json, indent: int) -> str:
    writer = YAML()
    writer.width = 4096
    stream = io.StringIO()
    writer.dump(wanted, stream)
    lines = stream.getvalue().rstrip("\n").split("\n")
    return "\n".join(" " * indent + line if line else line for line in lines)


def _scalar(wanted: str, place: _Place) -> str:
    is_long = "\n" in wanted or place.style in ("|", ">")
    if is_long and not place.is_flow and not place.has_comment and _fits_literal(wanted):
        return _literal(wanted, place.body_indent)
    if place.style == "'" and "\n" not in wanted and wanted.isprintable():
        return "'" + wanted.replace("'", "''") + "'"
    if place.style is None and _is_plain(wanted, place.is_flow):
        return wanted
    return json.dumps(wanted, ensure_ascii=False)


def _is_plain(wanted: str, is_flow: bool) -> bool:
    if not wanted.isprintable() or wanted != wanted.strip() or len(wanted) > 1_000:
        return False
    if any(mark in wanted for mark in (": ", " #")) or (is_flow and set(wanted) & set(",[]{}")):
        return False
    try:
        loaded: Any = YAML(typ="safe", pure=True).load(f"k: {wanted}\n")
    except (YAMLError, ValueError):
        return False
    return bool(loaded == {"k": wanted})


def _fits_literal(wanted: str) -> bool:
    return bool(_PRINTABLE_LINES.fullmatch(wanted))


def _literal(wanted: str, indent: int) -> str:
    body = wanted.rstrip("\n")
    trailing = len(wanted) - len(body)
    mark = {0: "|-", 1: "|"}.get(trailing, "|+")
    lines = body.split("\n") + [""] * max(trailing - 1, 0)
    return mark + "".join("\n" + (" " * indent + line if line else "") for line in lines)
