"""Take a change back as a new commit, keeping later work."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import fix_view, output
from refinery.errors import RefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.model.verdict import Change

EPILOG = """Examples:

  refinery rollback

  refinery rollback fix-8c1f0a2b --dry-run

  refinery rollback fix-8c1f --yes --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    change: Annotated[
        str, typer.Argument(help="Id or unique prefix of a change; default: the newest.")
    ] = "latest",
    repo: Annotated[Path | None, typer.Option(help="Repository; default: this folder's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Take a change back as a new commit, keeping later work."""
    del ctx
    from refinery.codebase.patches import build
    from refinery.codebase.repository import Repository
    from refinery.workflows import changes
    from refinery.workflows.wiring import state_folder

    repository = Repository.open(repo or Path.cwd())
    folder = state_folder(repository.root)
    for line in changes.recover(repository, folder):
        output.note(line)
    found = changes.find(folder, change)
    tip = repository.head_commit()
    patch = build((), changes.preview(repository, found), tip)
    if not dry_run and not yes:
        _ask(found, patch, json_output=json_output)
    done = found if dry_run else changes.rollback(repository, folder, found.change_id)
    document = _document(done, patch.diff, dry_run=dry_run)

    def render(screen: "Console") -> None:
        if dry_run:
            fix_view.show_diff(patch, screen)
            screen.print("Nothing was written.")
        else:
            screen.print(f"Rolled back {done.change_id} with commit {str(done.reverted_by)[:12]}.")

    output.emit(document, json_output, render)


def _ask(found: "Change", patch: Any, *, json_output: bool) -> None:
    """Show the reverse diff and ask.

    Raises:
        RefusedError: the answer is no, or there is nobody to ask.
    """
    if json_output or not sys.stdin.isatty():
        raise RefusedError("nobody to ask: this is no terminal", hint="add --yes")
    screen = output.console(to_stderr=True)
    fix_view.show_diff(patch, screen)
    title = output.safe(found.title)
    if not typer.confirm(f"Take back {found.change_id} ({title})?", err=True):
        raise RefusedError("not rolled back", hint="nothing was written")


def _document(done: "Change", diff: str, *, dry_run: bool) -> dict[str, Any]:
    from refinery.model.codec import encode

    return {"change": {**encode(done), "id": done.change_id}, "diff": diff, "dry_run": dry_run}
