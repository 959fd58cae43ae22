"""Delete old traces."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.errors import ExitCode, RefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.clean import Cleaning

EPILOG = """Examples:

  refinery clean --older-than 30d --dry-run

  refinery clean --older-than 7d
"""
SETTINGS = {"epilog": EPILOG}
SHOWN = 20


def command(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Last active before: 7d, 24h, or a date.")
    ],
    dry_run: Annotated[bool, typer.Option(help="Only say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Delete traces that are older than a time, from the store and the search index.

    A trace that a change, its receipt, a lesson or an open session of `fix` or `guide` needs
    stays, and so does one that does not say when it began. What is deleted cannot be brought back:
    on a terminal you are asked. Exit code 3 when something is left in the index.
    """
    from refinery.workflows import clean, traces
    from refinery.workflows.wiring import open_workspace

    before = traces.since_ns(older_than)
    workspace = open_workspace(flags=ctx.obj)
    if sys.stdin.isatty() and not (yes or dry_run or json_output):
        would = clean.clean(workspace, before, dry_run=True)
        _show(would, output.console(), dry_run=True)
        if would.deleted and not typer.confirm("Delete them?", err=True, default=False):
            raise RefusedError("nothing was deleted", hint="--yes deletes without asking")
    done = clean.clean(workspace, before, dry_run=dry_run)
    document = {
        "before": output.iso_time(before),
        "dry_run": dry_run,
        "deleted": [one.trace_id for one in done.deleted],
        "runs": sum(one.runs for one in done.deleted),
        "kept": [one.trace_id for one in done.kept],
        "reasons": done.reasons,
        "undated": done.undated,
        "index_clean": done.is_index_clean,
    }
    output.emit(document, json_output, lambda screen: _show(done, screen, dry_run))
    if done.note:
        output.note(done.note)
        raise typer.Exit(ExitCode.PARTIAL)


def _show(done: "Cleaning", screen: "Console", dry_run: bool) -> None:
    for one in done.deleted[:SHOWN]:
        line = f"{one.trace_id}  {output.local_time(one.start_ns)}  {one.name}"
        screen.print(output.safe(line))
    if len(done.deleted) > SHOWN:
        screen.print(f"… and {len(done.deleted) - SHOWN} more")
    runs = sum(one.runs for one in done.deleted)
    verb = "would be deleted" if dry_run else "deleted"
    screen.print(f"{len(done.deleted)} traces with {runs} runs {verb}")
    if done.kept:
        output.note(f"{len(done.kept)} old traces stay, because they are needed:")
        for one in done.kept[:SHOWN]:
            output.note(f"  {output.safe(one.trace_id)} by {done.reasons[one.trace_id]}")
    if done.undated:
        output.note(f"{done.undated} traces stay that do not say when they began")
