"""Byte ranges to replace, and what every kind of edit shares.

A kind of edit is one file of `refinery.codebase.edits` with:

- `ARGUMENTS`: JSON schema of its arguments, made by `schema`;
- `splices(source, path, arguments) -> list[Splice]`: what to replace. `source` is the file's text
  with its newlines and byte order mark as they are; offsets count bytes of its UTF-8 form;
- `EXAMPLES`: before and after, and what it refuses; the tests run them.

`splices` raises `EditError` when the edit does not fit and touches nothing but what it names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from refinery.errors import EditError
from refinery.model.trace import Json

_NEWLINE = re.compile(r"\r\n|\r|\n")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "array": (list, tuple),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Splice:
    """Bytes `start_byte` to `end_byte` (exclusive) become `replacement`."""

    start_byte: int
    end_byte: int
    replacement: bytes


@dataclass(frozen=True, slots=True)
class Example:
    """One edit of one file: what it makes of it, or what it says when it refuses."""

    before: str
    arguments: dict[str, Json]
    after: str | None = None
    """None: the edit is refused."""
    message: str = ""
    """Part of the refusal."""
    path: str = "agent.py"


def apply_splices(source: bytes, splices: Sequence[Splice]) -> bytes:
    """The source with all splices applied.

    Raises:
        EditError: two of them overlap or one is outside the source.
    """
    ordered = sorted(splices, key=lambda one: (one.start_byte, one.end_byte))
    pieces, position = [], 0
    for one in ordered:
        if not position <= one.start_byte <= one.end_byte <= len(source):
            raise EditError(
                "two edits change the same place", hint="join them into one edit, or drop one"
            )
        pieces += [source[position : one.start_byte], one.replacement]
        position = one.end_byte
    return b"".join([*pieces, source[position:]])


def schema(required: Sequence[str], **properties: Json) -> dict[str, Json]:
    """JSON schema of an edit's arguments: an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def text(description: str) -> dict[str, Json]:
    """Schema of a string."""
    return {"type": "string", "description": description}


LINE: dict[str, Json] = {
    "type": ["integer", "null"],
    "description": "line of the place, from 1; needed when several places fit",
}


def check_arguments(kind: str, wanted: dict[str, Json], given: dict[str, Json]) -> None:
    """Refuse arguments that do not fit the kind's schema.

    Raises:
        EditError: one is missing, unknown or of a wrong type.
    """
    properties: dict[str, Json] = wanted["properties"]
    for name in wanted["required"]:
        if name not in given:
            raise EditError(f"{kind} needs {name!r}", hint=f"it takes {', '.join(properties)}")
    for name, value in given.items():
        if name not in properties:
            raise EditError(f"{kind} takes no {name!r}", hint=f"it takes {', '.join(properties)}")
        kinds = properties[name].get("type")
        allowed = [kinds] if isinstance(kinds, str) else kinds or []
        fits = any(isinstance(value, _TYPES[kind]) for kind in allowed)
        if allowed and (not fits or isinstance(value, bool)):
            raise EditError(f"{kind}: {name!r} must be {' or '.join(allowed)}, not {value!r:.80}")


def newline_of(source: str) -> str:
    r"""The line ending of a text: `\r\n` when most lines have it, else `\n`."""
    return "\r\n" if source.count("\r\n") * 2 > source.count("\n") else "\n"


def with_newlines(addition: str, newline: str) -> str:
    """The addition with its line endings made those of the file."""
    return _NEWLINE.sub(newline, addition)


def byte_offset(source: str, index: int) -> int:
    """Offset in UTF-8 bytes of a character index."""
    return len(source[:index].encode("utf-8"))


def line_starts(source: bytes) -> list[int]:
    """Byte offset of each line as Python counts lines, first at index 0."""
    ends = [m.end() for m in re.finditer(rb"\r\n|\r|\n", source)]
    return [0, *ends]


def shorten(value: str, limit: int = 60) -> str:
    """A text for a message: quoted, on one line, cut."""
    return repr(value if len(value) <= limit else value[: limit - 1] + "…")
