"""What `rollback` and `redo` have in common: look, ask, do, say."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refinery.cli import fix_view, output
from refinery.errors import ConflictError, RefusedError
from refinery.model.verdict import WORK_TREE

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.change_actions import Action, Planned

_VERSIONS = ("before the change", "as the change wrote it", "now")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command line."""

    repo: Path | None
    dry_run: bool
    yes: bool
    json_output: bool


def perform(action: "Action", change_id: str, options: Options) -> None:
    """Show what would be written, ask, and do it.

    Raises:
        RefusedError: the answer is no, there is nobody to ask, or what was written was changed.
    """
    from refinery.workflows import change_actions

    try:
        planned = change_actions.plan(action, change_id, options.repo)
        for line in planned.notes:
            output.note(line)
        if not options.dry_run and not options.yes:
            _ask(planned, json_output=options.json_output)
        done = None if options.dry_run else change_actions.carry_out(planned)
    except ConflictError as error:
        _show_conflict(error)
        raise

    def render(screen: "Console") -> None:
        if done is None:
            fix_view.show_diff(planned.patch, screen)
            screen.print("Nothing was written.")
        else:
            made = done.reverted_by or done.commit
            what = "Rolled back" if done.reverted_by else "Made again"
            where = f"with commit {made[:12]}"
            if done.branch == WORK_TREE:
                where = "in the work tree, uncommitted"
            screen.print(f"{what} {done.change_id} {where}.")

    document = change_actions.to_document(planned, done)
    output.emit(document, options.json_output, render)


def _ask(planned: "Planned", *, json_output: bool) -> None:
    """Show the diff and ask.

    Raises:
        RefusedError: the answer is no, or there is nobody to ask.
    """
    if json_output or not sys.stdin.isatty():
        raise RefusedError("nobody to ask: this is no terminal", hint="add --yes")
    screen = output.console(to_stderr=True)
    fix_view.show_diff(planned.patch, screen)
    found = planned.change
    question = f"{planned.action.verb} {found.change_id} ({output.safe(found.title)})?"
    if not typer.confirm(question, err=True):
        raise RefusedError("left as it is", hint="nothing was written")


def _show_conflict(error: ConflictError) -> None:
    """Show the three versions of what cannot be taken back alone."""
    for title, text in zip(_VERSIONS, error.versions or (), strict=False):
        output.note(f"--- {title}")
        for line in text.splitlines()[:40]:
            output.note(f"    {line}")
