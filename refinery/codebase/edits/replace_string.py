"""Replace the text of a Python string literal, or a segment of it."""

from collections.abc import Sequence

from refinery.codebase.literals import Literal, change, literals
from refinery.codebase.python_source import PythonSource
from refinery.codebase.splices import LINE, Example, Splice, newline_of, schema, shorten, text
from refinery.errors import EditError
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["old", "new"],
    line=LINE,
    old=text(
        "text of the literal, or a segment of it, as the program sees it; filled values of an "
        "f-string are written as in the source, e.g. {name}"
    ),
    new=text("text to put in its place"),
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """Splices inside one literal; quotes, prefix and every other byte stay.

    Raises:
        EditError: no literal has the text, several have it and `line` does not tell which, or
            the literal cannot hold the new text.
    """
    if not path.endswith((".py", ".pyi")):
        raise EditError(f"{path} is no Python file", hint="use replace_text or set_key")
    old, new = arguments["old"], arguments["new"]
    if not old:
        raise EditError(f"no text to replace in {path}", hint="'old' must not be empty")
    parsed = PythonSource(source, path)
    found = literals(parsed, newline_of(source))
    places = [(one, at) for one in found for at in _occurrences(one.text, old)]
    literal, at = _choose(places, arguments.get("line"), parsed, (old, path))
    start, end = _unit_range(literal, at, at + len(old))
    return change(literal, start, end, new, parsed.bytes)


def _occurrences(value: str, old: str) -> list[int]:
    if value == old:
        return [0]
    found, at = [], value.find(old)
    while at >= 0:
        found.append(at)
        at = value.find(old, at + len(old))
    return found


def _choose(
    places: Sequence[tuple[Literal, int]],
    line: int | None,
    parsed: PythonSource,
    wanted: tuple[str, str],
) -> tuple[Literal, int]:
    """The one place that is meant: whole literals before segments, then the line decides."""
    old, path = wanted
    if not places:
        raise EditError(
            f"no string literal of {path} contains {shorten(old)}",
            hint="give the text as the program sees it: \\n is a line break, quotes are not part",
        )
    if len(places) > 1 and line is not None:
        on_line = [place for place in places if _line_of(place, parsed) == line]
        inside = [place for place in places if place[0].lines[0] <= line <= place[0].lines[1]]
        places = on_line or inside or places
    whole = [place for place in places if place[0].text == old]
    places = whole or places
    if len(places) > 1:
        lines = ", ".join(str(_line_of(place, parsed)) for place in places[:8])
        raise EditError(
            f"{len(places)} places of {path} contain {shorten(old)}, on lines {lines}",
            hint="give the line, or a longer piece of the text",
        )
    return places[0]


def _line_of(place: tuple[Literal, int], parsed: PythonSource) -> int:
    literal, at = place
    if not literal.units:
        return literal.lines[0]
    start, _ = _unit_range(literal, at, at + 1)
    return parsed.line_at(literal.units[start].start)


def _unit_range(literal: Literal, start: int, end: int) -> tuple[int, int]:
    """Units that hold characters `start` to `end` of the value."""
    position, first = 0, None
    for index, unit in enumerate(literal.units):
        if first is None and position + len(unit.text) > start:
            first = index
        if position >= end:
            return first or 0, index
        position += len(unit.text)
    return first or 0, len(literal.units)


EXAMPLES = [
    Example(
        'P = "Be brief."  # é\n',
        {"old": "Be brief.", "new": 'Say "no" when unsure.'},
        'P = "Say \\"no\\" when unsure."  # é\n',
    ),
    Example(
        'P = """Answer.\n\nUse {docs}.\n"""\n',
        {"line": 3, "old": "Use {docs}.", "new": "Use the newest of {docs}.\nCite."},
        'P = """Answer.\n\nUse the newest of {docs}.\nCite.\n"""\n',
    ),
    Example(
        'a = f"Hello {name!r}, be {tone}."\n',
        {"old": ", be {tone}.", "new": ", stay {tone}: no {lists}."},
        'a = f"Hello {name!r}, stay {tone}: no {{lists}}."\n',
    ),
    Example(
        'S = (\n    "You are a travel agent. "  # one\n    "Be brief."\n)\n',
        {"old": "agent. Be brief.", "new": "agent. Be kind, brief."},
        'S = (\n    "You are a travel agent. "  # one\n    "Be kind, brief."\n)\n',
    ),
    Example("r = r'\\d+ items'\n", {"old": " items", "new": "\tthings"}, "r = r'\\d+\tthings'\n"),
    Example("r = r'a\\b'\n", {"old": "a\\b", "new": "it's"}, "r = 'it\\'s'\n"),
    Example(
        'x = "a"\r\ny = """b\r\nc"""\r\n',
        {"old": "b\nc", "new": "b\nd\nc"},
        'x = "a"\r\ny = """b\r\nd\r\nc"""\r\n',
    ),
    Example('x = "\\0"\n', {"old": "\0", "new": "\x001"}, 'x = "\\x001"\n'),
    Example('x = "same"\ny = "same"\n', {"old": "same", "new": "z"}, message="lines 1, 2"),
    Example(
        'x = "same"\ny = "same"\n', {"line": 2, "old": "same", "new": "z"}, 'x = "same"\ny = "z"\n'
    ),
    Example("x = 1  # same\n", {"old": "same", "new": "z"}, message="no string literal"),
    Example('x = b"same"\n', {"old": "same", "new": "z"}, message="no string literal"),
    Example('f"a {b} c"\n', {"old": "a {b}", "new": "a"}, message="lacks the filled value {b}"),
    Example("a: b\n", {"old": "b", "new": "c"}, message="no Python file", path="x.yaml"),
]
