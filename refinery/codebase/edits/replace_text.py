"""Replace a text that occurs exactly once in a file of any kind."""

from refinery.codebase.splices import (
    Example,
    Splice,
    byte_offset,
    newline_of,
    schema,
    shorten,
    text,
    with_newlines,
)
from refinery.errors import EditError
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["old", "new"],
    old=text("text as it stands in the file; must occur exactly once"),
    new=text("text to put in its place"),
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """One splice where `old` stands; line endings of both texts follow the file.

    Raises:
        EditError: `old` is empty, absent or not unique.
    """
    newline = newline_of(source)
    old, new = arguments["old"], with_newlines(arguments["new"], newline)
    if not old:
        raise EditError(f"no text to replace in {path}", hint="'old' must not be empty")
    if old not in source:
        old = with_newlines(old, newline)
    count = source.count(old)
    if count != 1:
        said = f"{path} has no text" if count == 0 else f"{path} has {count} times the text"
        raise EditError(
            f"{said} {shorten(old)}", hint="copy a longer piece of the file, exactly as it stands"
        )
    start = byte_offset(source, source.index(old))
    return [Splice(start, start + len(old.encode("utf-8")), new.encode("utf-8"))]


EXAMPLES = [
    Example("a = 1  # é\nb = 2\n", {"old": "b = 2", "new": "b = 3"}, "a = 1  # é\nb = 3\n"),
    Example(
        "# Rules\r\nBe kind.\r\nBe brief.\r\n",
        {"old": "Be kind.\nBe brief.", "new": "Be kind.\nCite.\nBe brief."},
        "# Rules\r\nBe kind.\r\nCite.\r\nBe brief.\r\n",
        path="prompt.md",
    ),
    Example("x\nx\n", {"old": "x", "new": "y"}, message="2 times"),
    Example("x\n", {"old": "z", "new": "y"}, message="no text 'z'"),
    Example("x\n", {"old": "", "new": "y"}, message="no text to replace"),
]
