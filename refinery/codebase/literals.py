r"""String literals: their text as the program sees it, tied to the bytes it is written with.

A *literal* is one string expression: a plain string, an f-string, or several of them side by side
(implicit concatenation). Each is read into *units*: one character of the value and the bytes that
write it (`\n`, `{{` and `\x41` are one unit each). A filled value of an f-string is one unit too,
whose text is its source, e.g. `{name!r}`.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import libcst as cst

from refinery import syntax
from refinery.codebase.python_source import PythonSource, walk
from refinery.codebase.splices import Splice, apply_splices
from refinery.errors import EditError

_ESCAPE = re.compile(
    r"\\(?:\r\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|[\s\S])"
)
_NEWLINE = re.compile(r"\r\n|\r|\n")
_KNOWN = {"\\\n": "", "\\\r\n": "", "\\\r": "", "\\n": "\n", "\\t": "\t", "\\\\": "\\"}


@dataclass(frozen=True, slots=True)
class Style:
    """How one part of a literal is written."""

    prefix: str
    quote: str
    newline: str
    """Line ending of the file."""

    @property
    def is_raw(self) -> bool:
        """Whether backslashes stand for themselves."""
        return "r" in self.prefix.lower()

    @property
    def is_formatted(self) -> bool:
        """Whether braces hold filled values."""
        return "f" in self.prefix.lower()


@dataclass(frozen=True, slots=True)
class Unit:
    """One character of a literal's value, or one filled value of an f-string."""

    text: str
    start: int
    end: int
    part: int
    """Index of the part it stands in."""
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One pair of quotes of a literal."""

    style: Style
    start: int
    end: int
    """Byte span with prefix and quotes."""
    body: int
    """First byte after the opening quote."""


@dataclass(frozen=True, slots=True)
class Literal:
    """One string expression."""

    parts: tuple[Part, ...]
    units: tuple[Unit, ...]
    lines: tuple[int, int]
    """First and last line, from 1."""

    @property
    def text(self) -> str:
        """The value; filled values as their source."""
        return "".join(unit.text for unit in self.units)


def literals(source: PythonSource, newline: str) -> list[Literal]:
    """Every text literal of a file, in source order; bytes literals are left out."""
    inside: set[int] = set()
    found: list[Literal] = []
    for node in walk(source.module):
        if id(node) in inside or not isinstance(
            node, cst.SimpleString | cst.FormattedString | cst.ConcatenatedString
        ):
            continue
        nodes = _flatten(node)
        inside.update(id(one) for one in walk(node) if isinstance(one, cst.ConcatenatedString))
        inside.update(id(one) for one in nodes)
        if not any("b" in one.prefix.lower() for one in nodes):
            found.append(_read(source, nodes, newline))
    return found


def _flatten(node: cst.BaseExpression) -> list[cst.SimpleString | cst.FormattedString]:
    found = []
    while isinstance(node, cst.ConcatenatedString):
        found.append(node.left)
        node = node.right
    if isinstance(node, cst.SimpleString | cst.FormattedString):
        found.append(node)
    return [one for one in found if isinstance(one, cst.SimpleString | cst.FormattedString)]


def _read(
    source: PythonSource, nodes: Sequence[cst.SimpleString | cst.FormattedString], newline: str
) -> Literal:
    parts: list[Part] = []
    units: list[Unit] = []
    for index, node in enumerate(nodes):
        quote = node.quote if isinstance(node, cst.SimpleString) else node.end
        style = Style(node.prefix, quote, newline)
        start, end = source.span(node)
        body = start + len(node.prefix) + len(quote)
        parts.append(Part(style, start, end, body))
        if isinstance(node, cst.SimpleString):
            raw = source.bytes[body : end - len(quote)].decode("utf-8")
            units.extend(_units(raw, body, index, style))
            continue
        for piece in node.parts:
            first, last = source.span(piece)
            raw = source.bytes[first:last].decode("utf-8")
            if isinstance(piece, cst.FormattedStringText):
                units.extend(_units(raw, first, index, style))
            else:
                units.append(Unit(raw, first, last, index, is_filled=True))
    lines = (source.line_at(parts[0].start), source.line_at(parts[-1].end - 1))
    return Literal(tuple(parts), tuple(units), lines)


def _units(raw: str, offset: int, part: int, style: Style) -> Iterator[Unit]:
    position = 0
    while position < len(raw):
        written, value = _next(raw, position, style)
        size = len(written.encode("utf-8"))
        if len(value) == 2 and len(written) == 2 and value == written:
            yield Unit(value[0], offset, offset + 1, part)  # an escape Python does not know
            yield Unit(value[1], offset + 1, offset + size, part)
        else:
            yield Unit(value, offset, offset + size, part)
        position += len(written)
        offset += size


def _next(raw: str, position: int, style: Style) -> tuple[str, str]:
    """What is written at a position of a literal's body, and the value it stands for."""
    character = raw[position]
    if newline := _NEWLINE.match(raw, position):
        return newline.group(), "\n"
    if style.is_formatted and raw[position : position + 2] in ("{{", "}}"):
        return raw[position : position + 2], character
    if character == "\\" and not style.is_raw and (escape := _ESCAPE.match(raw, position)):
        written = escape.group()
        return written, _KNOWN[written] if written in _KNOWN else _evaluate(written)
    return character, character


def _evaluate(written: str) -> str:
    delimiter = "'" if '"' in written else '"'
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(ast.literal_eval(f"{delimiter}{written}{delimiter}"))


def write(value: str, style: Style) -> str | None:
    """A text as the body of a literal of that style; None when a raw string cannot hold it."""
    if style.is_formatted:
        value = value.replace("{", "{{").replace("}", "}}")
    if style.is_raw:
        unfit = style.quote[0] in value or value.endswith("\\") or not _is_plain(value)
        too_long = "\n" in value and len(style.quote) == 1
        return None if unfit or too_long else value.replace("\n", style.newline)
    return "".join(_escaped(value, index, style) for index in range(len(value)))


def _is_plain(value: str) -> bool:
    return all(one in "\n\t" or (ord(one) >= 0x20 and not _is_surrogate(one)) for one in value)


def _is_surrogate(character: str) -> bool:
    return 0xD800 <= ord(character) <= 0xDFFF


def _escaped(value: str, index: int, style: Style) -> str:
    character = value[index]
    is_triple = len(style.quote) == 3
    if character == "\\":
        return "\\\\"
    if character == style.quote[0]:
        around = value[max(0, index - 1) : index] + value[index + 1 : index + 2]
        at_edge = index in (0, len(value) - 1)
        must = not is_triple or at_edge or style.quote[0] in around
        return "\\" + character if must else character
    if character == "\n":
        return style.newline if is_triple else "\\n"
    if character == "\t":
        return character if is_triple else "\\t"
    if character == "\r":
        return "\\r"
    if _is_surrogate(character):
        return f"\\u{ord(character):04x}"
    return (
        f"\\x{ord(character):02x}" if ord(character) < 0x20 or character == "\x7f" else character
    )


def change(literal: Literal, start: int, end: int, new: str, source: bytes) -> list[Splice]:
    """Splices that make units `start` to `end` of a literal the text `new`.

    What is equal at both ends stays untouched, and so do filled values, which `new` must hold as
    they are written. Quotes and prefix are kept when they can hold the text, otherwise that part
    is written anew without its raw prefix.

    Raises:
        EditError: a filled value would change, or no spelling gives the wanted text.
    """
    changes = [_trim(literal, one) for one in _around_filled(literal, _Change(start, end, new))]
    wanted = _joined([text for _, text in _pieces(literal, changes)])
    is_checked = _value_after(literal, [], source) == _joined(
        [text for _, text in _pieces(literal, [])]
    )  # not so for {name=}, where Python adds the name to the text
    for attempt in (_in_place, _written_anew):
        found = attempt(literal, changes)
        value = _value_after(literal, found, source) if found is not None else None
        if found is not None and value is not None and (value == wanted or not is_checked):
            return found
    raise EditError("the literal cannot hold the new text", hint="use replace_text")


@dataclass(frozen=True, slots=True)
class _Change:
    """Units `start` to `end` (exclusive) become `new`; none of them is a filled value."""

    start: int
    end: int
    new: str


def _around_filled(literal: Literal, whole: _Change) -> list[_Change]:
    """The change cut at the filled values it spans."""
    found, start, position = [], whole.start, 0
    for index in range(whole.start, whole.end):
        unit = literal.units[index]
        if unit.is_filled:
            at = whole.new.find(unit.text, position)
            if at < 0:
                raise EditError(
                    f"the new text lacks the filled value {unit.text} of the f-string",
                    hint="keep it as it is written, or use replace_text",
                )
            found.append(_Change(start, index, whole.new[position:at]))
            start, position = index + 1, at + len(unit.text)
    return [*found, _Change(start, whole.end, whole.new[position:])]


def _trim(literal: Literal, one: _Change) -> _Change:
    start, end, new = one.start, one.end, one.new
    while start < end and new and new.startswith(literal.units[start].text):
        new = new[len(literal.units[start].text) :]
        start += 1
    while start < end and new and new.endswith(literal.units[end - 1].text):
        new = new[: len(new) - len(literal.units[end - 1].text)]
        end -= 1
    return _Change(start, end, new)


def _home(literal: Literal, one: _Change) -> tuple[int, int]:
    """Part and byte where the new text goes."""
    if one.start < one.end:
        unit = literal.units[one.start]
        return unit.part, unit.start
    if one.start > 0:
        unit = literal.units[one.start - 1]
        return unit.part, unit.end
    return 0, literal.parts[0].body


def _in_place(literal: Literal, changes: Sequence[_Change]) -> list[Splice] | None:
    found = []
    for one in changes:
        home, offset = _home(literal, one)
        body = write(one.new, literal.parts[home].style)
        if body is None:
            return None
        spans: dict[int, tuple[int, int]] = {home: (offset, offset)}
        for unit in literal.units[one.start : one.end]:
            first = spans.get(unit.part, (unit.start, unit.start))[0]
            spans[unit.part] = (first, unit.end)
        for part, (first, last) in spans.items():
            replacement = body.encode("utf-8") if part == home else b""
            if first < last or replacement:
                found.append(Splice(first, last, replacement))
    return found


def _written_anew(literal: Literal, changes: Sequence[_Change]) -> list[Splice] | None:
    changed = {_home(literal, one)[0] for one in changes}
    changed |= {unit.part for one in changes for unit in literal.units[one.start : one.end]}
    texts: dict[int, str] = dict.fromkeys(changed, "")
    for part, text in _pieces(literal, changes):
        if part in changed and text is None:
            return None
        if part in changed:
            texts[part] += text or ""
    found = []
    for part, text in sorted(texts.items()):
        old = literal.parts[part]
        style = replace(old.style, prefix=old.style.prefix.replace("r", "").replace("R", ""))
        written = f"{style.prefix}{style.quote}{write(text, style)}{style.quote}"
        found.append(Splice(old.start, old.end, written.encode("utf-8")))
    return found


def _pieces(literal: Literal, changes: Sequence[_Change]) -> Iterator[tuple[int, str | None]]:
    """Every piece of the changed literal as (part, text); text None is a filled value."""
    position = 0
    for one in changes:
        yield from _as_they_are(literal.units[position : one.start])
        yield _home(literal, one)[0], one.new
        position = one.end
    yield from _as_they_are(literal.units[position:])


def _as_they_are(units: Sequence[Unit]) -> Iterator[tuple[int, str | None]]:
    return ((unit.part, None if unit.is_filled else unit.text) for unit in units)


def _joined(pieces: Sequence[str | None]) -> list[str | None]:
    """Pieces with neighbouring texts joined and empty ones dropped; None is a filled value."""
    found: list[str | None] = []
    for piece in pieces:
        if piece is None or not found or found[-1] is None:
            found.append(piece)
        else:
            found[-1] += piece
    return [piece for piece in found if piece != ""]


def _value_after(
    literal: Literal, splices: Sequence[Splice], source: bytes
) -> list[str | None] | None:
    """What Python itself makes of the changed literal; None when it does not parse."""
    first, last = literal.parts[0].start, literal.parts[-1].end
    moved = [Splice(s.start_byte - first, s.end_byte - first, s.replacement) for s in splices]
    text = apply_splices(source[first:last], moved)
    try:
        node = syntax.parse_expression(b"(" + text + b"\n)")
    except SyntaxError:
        return None
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    return _joined(
        [str(value.value) if isinstance(value, ast.Constant) else None for value in values]
    )
