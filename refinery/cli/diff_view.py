"""How a comparison of two traces looks in the terminal."""

import difflib
import json
from typing import TYPE_CHECKING

from refinery.cli import output
from refinery.model.trace import Json

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.replay.compare import Difference
    from refinery.workflows.diff import Compared, First, TraceDiff

_MARKS = {"same": " ", "changed": "~", "removed": "-", "added": "+"}
_COLOURS = {"same": "dim", "changed": "magenta", "removed": "red", "added": "green"}
_MAX_ROWS = 200
_SHOWN = 3
"""Differences of one run shown; `--json` has all."""
_MAX_VALUE = 240
_MAX_LINES = 12


def show(found: "TraceDiff", screen: "Console", *, everything: bool = False) -> None:
    """Draw what changed first, then the aligned runs."""
    screen.print(f"A  {output.safe(_title(found.left.root))}  {found.left.trace_id}", style="bold")
    screen.print(
        f"B  {output.safe(_title(found.right.root))}  {found.right.trace_id}", style="bold"
    )
    if found.first is None:
        screen.print(f"\nThe same in all {len(found.rows)} runs.")
        return
    show_first(found.first, screen)
    screen.print("")
    rows = [row for row in found.rows if everything or row.state != "same"]
    for row in rows[:_MAX_ROWS]:
        indent = "  " * min(row.pair.depth, 20)
        text = f"{_MARKS[row.state]} {indent}{name_of(row)}{_fields(row)}"
        line = output.marked(text, _COLOURS[row.state])
        screen.print(line, style="dim" if row.state == "same" else None)
    if len(rows) > _MAX_ROWS:
        screen.print(f"  … and {len(rows) - _MAX_ROWS} more; --json lists all")
    same = len(found.rows) - len(rows)
    if same:
        screen.print(f"  {same} {'run is' if same == 1 else 'runs are'} the same", style="dim")


def show_first(first: "First", screen: "Console") -> None:
    """Draw what changed first."""
    screen.print(f"\nChanged first:  {name_of(first.compared)}")
    if first.difference is None:
        side = "B" if first.compared.state == "added" else "A"
        screen.print(f"    only in {side}")
    else:
        _show_difference(first.difference, screen)


def _title(root: object) -> str:
    return str(getattr(root, "name", None) or "trace")


def name_of(row: "Compared") -> str:
    """Kind and name of the run a row is about, safe for the terminal."""
    run = row.pair.run
    return output.safe(f"{run.kind or 'run'} {run.name or ''}".rstrip())


def _fields(row: "Compared") -> str:
    if not row.differences:
        return ""
    paths = [item.path or "value" for item in row.differences]
    more = f", … {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return output.safe("  " + ", ".join(paths[:_SHOWN]) + more)


def _show_difference(item: "Difference", screen: "Console") -> None:
    screen.print(f"    {output.safe(item.path or 'the whole value')}")
    if item.is_missing:
        side, value = ("B", item.right) if item.is_missing == "left" else ("A", item.left)
        screen.print(f"    only in {side}: {_shown(value)}")
        return
    if isinstance(item.left, str) and isinstance(item.right, str) and "\n" in item.left:
        lines = difflib.unified_diff(
            item.left.splitlines(), item.right.splitlines(), lineterm="", n=1
        )
        for number, line in enumerate(lines):
            if number in (0, 1):  # the names of files there are none of
                continue
            if number > _MAX_LINES:
                screen.print("    …")
                break
            screen.print(f"    {output.safe(line)}")
        return
    screen.print(f"    A  {_shown(item.left)}", style="red")
    screen.print(f"    B  {_shown(item.right)}", style="green")


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return output.safe(text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…")
