"""List the changes Refinery has committed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

EPILOG = """Examples:

  refinery history

  refinery history --repo ../agent --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    repo: Annotated[Path | None, typer.Option(help="Repository; default: this folder's.")] = None,
    json_output: output.JsonOption = False,
) -> None:
    """List the changes Refinery has committed, newest first."""
    del ctx
    from refinery.codebase.repository import Repository
    from refinery.workflows import changes
    from refinery.workflows.change_actions import change_document
    from refinery.workflows.wiring import state_folder

    repository = Repository.open(repo or Path.cwd())
    folder = state_folder(repository.root)
    for line in changes.recover(repository, folder):
        output.note(line)
    found = changes.history(folder)
    document = {"changes": [change_document(change) for change in found]}

    def render(screen: "Console") -> None:
        if not found:
            screen.print("No changes yet; `refinery fix` makes one.")
            return
        rows = [
            (
                change.change_id,
                change.commit[:12],
                change.state,
                output.local_time(change.created_ns),
                change.title,
            )
            for change in found
        ]
        output.table(screen, ("change", "commit", "state", "when", "what"), rows)

    output.emit(document, json_output, render)
