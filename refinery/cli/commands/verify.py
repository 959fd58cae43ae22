"""Execute the proof of a change again, without a key and without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import complete_change
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.verify import Verified

EPILOG = """Examples:

  refinery verify fix-8c1f0a2b

  refinery verify fix-8c1f0a2b --receipt fix-8c1f0a2b.receipt --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    change: Annotated[
        str,
        typer.Argument(
            help="Id of a change, as in its commit's trailer; default: latest.",
            autocompletion=complete_change,
        ),
    ] = "latest",
    receipt: Annotated[
        Path | None,
        typer.Option(help="The receipt; default: the one `refinery fix` kept here."),
    ] = None,
    repo: Annotated[Path | None, typer.Option(help="Repository; default: this folder's.")] = None,
    unsandboxed: Annotated[
        bool, typer.Option(help="Run the agent without a sandbox; for this call only.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Execute the proof of a change again, without a key and without a network.

    Works in any clone that holds the commit. The receipt must be the one the commit names, the
    commit exactly the patch, and the replayed arms must end as recorded; else the exit code is 1.
    """
    from refinery.codebase.repository import Repository
    from refinery.workflows import changes, verify
    from refinery.workflows.wiring import open_workspace

    repository = Repository.open(repo or Path.cwd())
    workspace = open_workspace(repository.root, ctx.obj)
    name = changes.find(workspace.home).change_id if change == "latest" else change
    found = verify.verify(workspace, repository, name, receipt, unsandboxed=unsandboxed)
    output.emit(verify.to_document(found), json_output, lambda screen: _show(found, screen))
    if not found.holds:
        raise typer.Exit(ExitCode.NEGATIVE)


def _show(found: "Verified", screen: "Console") -> None:
    screen.print(f"{output.safe(found.change_id)}  commit {found.commit[:12]}", style="bold")
    for step in found.steps:
        mark, colour = ("✓", "green") if step.holds else ("✗", "red")
        line = f"{mark} {step.name:<8} {output.safe(step.detail)}"
        screen.print(output.marked(line, colour))
    if found.holds and found.trial:
        screen.print(f"The proof holds (sandbox {found.trial.sandbox}).")
    else:
        screen.print("The proof does not hold.")
