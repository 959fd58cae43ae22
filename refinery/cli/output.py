"""What commands print: data on stdout, talk on stderr, JSON when asked, errors in one form."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

import typer

from refinery.errors import RefineryError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

SCHEMA_VERSION = 1
"""Version of every JSON document the command line prints."""

QUIET = "--quiet"
"""Taken before and after the name of a command."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of text.")
]


def own_words() -> list[str]:
    """What was typed after `refinery`, up to a `--`: what follows that belongs to a program."""
    words = sys.argv[1:]
    return words[: words.index("--")] if "--" in words else words


def _wants_json() -> bool:
    """Whether this call asked for JSON, known before options are parsed so errors obey it."""
    return "--json" in own_words()


def emit(document: dict[str, Any], json_output: bool, render: Callable[["Console"], None]) -> None:
    """Print the result of a command: the document as JSON, or what `render` draws.

    Args:
        document: JSON-serialisable; `schema_version` is added in front. Everything but ASCII is
            written as escapes, so that no control character of a trace reaches the terminal.
        json_output: the command's `--json`.
        render: draws the result for people on the console it is given (stdout).
    """
    if json_output:
        whole = {"schema_version": SCHEMA_VERSION, **document}
        sys.stdout.write(json.dumps(whole, default=str) + "\n")
        sys.stdout.flush()
    else:
        render(console())


def console(*, to_stderr: bool = False) -> "Console":
    """A console of the terminal's width that prints text as it is: no markup, no emoji codes.

    Without a terminal lines are never wrapped and nothing is coloured.
    """
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() else 10_000
    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        width=width,
        soft_wrap=not stream.isatty(),
        no_color=bool(os.environ.get("NO_COLOR")) or None,
    )


def note(text: str) -> None:
    """Say something to the person at the terminal; silent with `--json` and `--quiet`."""
    if not (_wants_json() or QUIET in own_words()):
        sys.stderr.write(safe(text) + "\n")
        sys.stderr.flush()


def print_error(error: RefineryError) -> None:
    """Print an error and its hint on stderr; as JSON on stdout when JSON was asked for."""
    if _wants_json():
        body = {"code": error.code, "message": str(error), "hint": error.hint}
        document = {"schema_version": SCHEMA_VERSION, "error": body}
        sys.stdout.write(json.dumps(document) + "\n")
        return
    sys.stderr.write(f"error: {safe(str(error))}\n")
    if error.hint:
        sys.stderr.write(f"hint:  {safe(error.hint)}\n")


def safe(text: str) -> str:
    """Text of a trace, made harmless for a terminal.

    Control characters except newline and tab, bidirectional controls and other invisible
    characters are shown as their escape sequences.
    """
    from refinery.safety.untrusted import visible

    return visible(text)


def marked(text: str, style: str) -> "Text":
    """A line whose first word alone has a colour.

    No colour of a terminal is readable on white and on black alike: words keep the terminal's.
    """
    from rich.text import Text

    line = Text(text)
    line.stylize(style, 0, len(text.split(" ", 1)[0]))
    return line


_LEAST = 16
"""Characters that a column of words keeps when the terminal is narrow."""
_MOST_STIFF = 40
"""Longest cell of a column that is never broken; ids have 36 characters."""


_FIGURE = re.compile(r"[-+<>~$ ]{0,3}\d[\d,.]*(?:e[-+]\d+)? ?(?:[kMG]?B|ms|s|min|h|d|%|USD|x)?|-|")
"""A cell that is a number, perhaps with its unit; or an empty one."""


def table(
    target: "Console",
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    spare: Sequence[str] = (),
) -> None:
    """Draw a plain table; cells are made safe for the terminal, figures stand on the right.

    Numbers, times and ids are never broken: words give way, then the spare columns; when that
    does not do, the terminal breaks the line.

    Args:
        target: where it is drawn.
        columns: their headings.
        rows: cells in the order of the columns; None is an empty cell.
        spare: headings of columns that a narrow terminal does without, the first one first.
    """
    from rich.cells import cell_len
    from rich.table import Table

    cells = [["" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    below = list(zip(*cells, strict=True)) if cells else [()] * len(columns)
    stiff = [all(map(_is_stiff, column)) for column in below]
    widest = [max(map(cell_len, (name, *b))) for name, b in zip(columns, below, strict=True)]
    least = [w if s else min(w, _LEAST) for w, s in zip(widest, stiff, strict=True)]
    kept = list(range(len(columns)))
    for name in spare:
        if sum(least[at] + 2 for at in kept) - 2 > target.width:
            kept.remove(columns.index(name))
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for at in kept:
        is_figures = bool(below[at]) and all(map(_FIGURE.fullmatch, below[at]))
        drawn.add_column(
            columns[at],
            overflow="fold",
            no_wrap=stiff[at],
            min_width=None if stiff[at] else least[at],
            justify="right" if is_figures else "left",
        )
    for row in cells:
        drawn.add_row(*(row[at] for at in kept))
    width = target.width
    target.width = max(width, sum(least[at] + 2 for at in kept) - 2)
    target.print(drawn)
    target.width = width


def _is_stiff(cell: str) -> bool:
    """Whether a cell is one word, or a figure such as `12.5 ms` or a time."""
    is_one = not any(map(str.isspace, cell)) or cell[:1].isdigit()
    return is_one and len(cell) <= _MOST_STIFF


def _is_moment(ns: int | None) -> TypeGuard[int]:
    """Whether the time lies between the years 1678 and 2262: imported traces may say anything."""
    return ns is not None and -(2**63) <= ns < 2**63


def local_time(ns: int | None) -> str:
    """A time for people, in the machine's zone to the second; `-` when unknown."""
    if not _is_moment(ns):
        return "-"
    return datetime.fromtimestamp(ns / 1e9, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso_time(ns: int | None) -> str | None:
    """A time for programs: ISO 8601 in UTC with microseconds; None when unknown."""
    if not _is_moment(ns):
        return None
    return datetime.fromtimestamp(ns / 1e9, tz=UTC).isoformat(timespec="microseconds")
