"""Check that everything a fix needs is in place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.doctor import Examination

SETTINGS = examples("refinery doctor", "refinery doctor --repo ~/agents/support --json")
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def command(
    ctx: typer.Context,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Check that everything a fix needs is in place.

    Ends with exit code 1 when a check fails; a warning does not count.
    """
    from refinery.workflows.doctor import State, examine

    found = examine(repo or Path.cwd(), ctx.obj)
    failed = any(item.state is State.FAIL for item in found)
    document = {
        "healthy": not failed,
        "checks": [
            {"name": i.name, "state": i.state.value, "detail": i.detail, "fix": i.fix}
            for i in found
        ],
    }
    output.emit(document, json_output, lambda screen: _show(found, screen))
    raise typer.Exit(ExitCode.NEGATIVE if failed else ExitCode.DONE)


def _show(found: "list[Examination]", screen: "Console") -> None:
    for item in found:
        line = f"{item.state.value:<5} {item.name:<13} {output.safe(item.detail)}"
        screen.print(line, style=STYLES[item.state.value])
        if item.fix:
            screen.print(f"      {'':<13} fix: {output.safe(item.fix)}")
