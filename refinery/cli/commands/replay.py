"""Run a recorded trace again, from its recording, and compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from refinery.workflows.replay import ReplayOutcome

EPILOG = """Examples:

  refinery replay latest

  refinery replay 3f2a --repo ../agent --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: Annotated[
        str,
        typer.Argument(help="Trace id, unique prefix, latest, latest-failed, a file or a URL."),
    ],
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    unsandboxed: Annotated[
        bool, typer.Option(help="Run the agent without a sandbox; for this call only.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Run a recorded trace again, from its recording, and compare.

    The agent's code of the recorded commit runs in a sandbox; models, tools and retrievers
    answer from the recording. Exit code 1 when anything differs.
    """
    from refinery.workflows import traces
    from refinery.workflows.replay import (
        ReplayRequest,
        replay_trace,
        require_repository,
        to_document,
    )
    from refinery.workflows.wiring import open_workspace

    require_repository(repo)
    workspace = open_workspace(repo, ctx.obj)
    found = traces.resolve(workspace, trace)
    outcome = replay_trace(workspace, found, ReplayRequest(repo, unsandboxed))
    output.emit(to_document(outcome), json_output, lambda screen: _show(outcome, screen))
    if not outcome.is_same:
        raise typer.Exit(ExitCode.NEGATIVE)


def _show(outcome: "ReplayOutcome", screen: Any) -> None:
    """Draw the steps and the verdict."""
    result = outcome.result
    rows = [(s.kind, s.name, s.fidelity.value, s.detail) for s in result.steps]
    if rows:
        output.table(screen, ("kind", "step", "answered", "note"), rows)
    for warning in outcome.warnings:
        screen.print(output.safe(f"note: {warning}"))
    where = f"commit {outcome.commit[:12]}, sandbox {outcome.sandbox}"
    if outcome.is_same:
        screen.print(f"same as recorded ({where})")
    else:
        screen.print(output.safe(f"differs: {outcome.divergence} ({where})"))
