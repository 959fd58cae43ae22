"""What `rollback` and `redo` have in common: look, ask, do, say."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refinery.cli import fix_view, output
from refinery.errors import ConflictError, RefusedError
from refinery.model.verdict import WORK_TREE

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.codebase.repository import Repository
    from refinery.model.verdict import Change

_VERSIONS = ("before the change", "as the change wrote it", "now")


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done with a change."""

    verb: str
    """As it is asked, e.g. `Take back`."""
    state: str
    """State of the changes it can be done with."""
    do: "Callable[[Repository, Path, str], Change]"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command line."""

    repo: Path | None
    dry_run: bool
    yes: bool
    json_output: bool


def perform(task: Task, change_id: str, options: Options) -> None:
    """Show what would be written, ask, and do it.

    Raises:
        RefusedError: the answer is no, there is nobody to ask, or what was written was changed.
    """
    from refinery.codebase.patches import build
    from refinery.codebase.repository import Repository
    from refinery.workflows import changes
    from refinery.workflows.wiring import state_folder

    repository = Repository.open(options.repo or Path.cwd())
    folder = state_folder(repository.root)
    for line in changes.recover(repository, folder):
        output.note(line)
    found = changes.find(folder, change_id, task.state)
    try:
        patch = build((), changes.preview(repository, folder, found), repository.head_commit())
        if not options.dry_run and not options.yes:
            _ask(task, found, patch, json_output=options.json_output)
        done = found if options.dry_run else task.do(repository, folder, found.change_id)
    except ConflictError as error:
        _show_conflict(error)
        raise

    def render(screen: "Console") -> None:
        if options.dry_run:
            fix_view.show_diff(patch, screen)
            screen.print("Nothing was written.")
        else:
            made = done.reverted_by or done.commit
            what = "Rolled back" if done.reverted_by else "Made again"
            where = f"with commit {made[:12]}"
            if done.branch == WORK_TREE:
                where = "in the work tree, uncommitted"
            screen.print(f"{what} {done.change_id} {where}.")

    document = _document(done, patch.diff, dry_run=options.dry_run)
    output.emit(document, options.json_output, render)


def _ask(task: Task, found: "Change", patch: Any, *, json_output: bool) -> None:
    """Show the diff and ask.

    Raises:
        RefusedError: the answer is no, or there is nobody to ask.
    """
    if json_output or not sys.stdin.isatty():
        raise RefusedError("nobody to ask: this is no terminal", hint="add --yes")
    screen = output.console(to_stderr=True)
    fix_view.show_diff(patch, screen)
    title = output.safe(found.title)
    if not typer.confirm(f"{task.verb} {found.change_id} ({title})?", err=True):
        raise RefusedError("left as it is", hint="nothing was written")


def _show_conflict(error: ConflictError) -> None:
    """Show the three versions of what cannot be taken back alone."""
    for title, text in zip(_VERSIONS, error.versions or (), strict=False):
        output.note(f"--- {title}")
        for line in text.splitlines()[:40]:
            output.note(f"    {line}")


def _document(done: "Change", diff: str, *, dry_run: bool) -> dict[str, Any]:
    from refinery.model.codec import encode

    return {"change": {**encode(done), "id": done.change_id}, "diff": diff, "dry_run": dry_run}
