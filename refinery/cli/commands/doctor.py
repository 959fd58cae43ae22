"""Check that everything a fix needs is in place."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.doctor import Examination

SETTINGS = examples(
    "refinery doctor", "refinery doctor --mend", "refinery doctor --repo ~/agents/support --json"
)
STYLES = {"ok": "green", "warn": "magenta", "fail": "bold red"}


def command(
    ctx: typer.Context,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Offer to put right what can be, one by one.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --mend: do not ask.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Check that everything a fix needs is in place.

    Ends with exit code 1 when a check fails; a warning does not count. `--mend` can name
    the author of commits for this repository, write `refinery.toml`, and make recorded traces
    private; without a terminal only with `--yes`.
    """
    from refinery.workflows.doctor import State, examine

    folder = repo or Path.cwd()
    found = examine(folder, ctx.obj)
    if mend and _mend(found, folder.resolve(), yes=yes):
        found = examine(folder, ctx.obj)
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


def _mend(found: "list[Examination]", folder: Path, *, yes: bool) -> bool:
    """Put right what may be; whether anything was."""
    from refinery.workflows.mend import mends

    is_done = False
    for one in mends(found, folder):
        can_ask = sys.stdin.isatty()
        if one.needs_answers and not can_ask:
            output.note(f"{one.of}: a person has to answer; not mended")
        elif yes or (can_ask and typer.confirm(one.question, err=True)):
            output.note(one.carry_out(lambda word: str(typer.prompt(word, err=True))))
            is_done = True
        elif not can_ask:
            output.note(f"{one.of}: nobody said yes; add --yes")
    return is_done


def _show(found: "list[Examination]", screen: "Console") -> None:
    for item in found:
        line = f"{item.state.value:<5} {item.name:<13} {output.safe(item.detail)}"
        screen.print(output.marked(line, STYLES[item.state.value]))
        if item.fix:
            screen.print(f"      {'':<13} fix: {output.safe(item.fix)}")
