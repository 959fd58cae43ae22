"""Try any patch against recorded traces."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output, proof_view
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.trial import Tried

EPILOG = """Examples:

  git diff > my.diff && refinery trial my.diff --on latest-failed

  refinery trial my.diff --on 3f2a,77b1 --check 'contains@answer:29 EUR' --json

  refinery trial fix-8c1f0a2b --on latest-failed --max-runs 200 --budget 0.50
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    patch: Annotated[str, typer.Argument(help="A unified diff against HEAD, or a change's id.")],
    on: Annotated[
        list[str], typer.Option("--on", help="Traces, separated by commas; may be repeated.")
    ],
    check: Annotated[
        list[str] | None,
        typer.Option(help="KIND[@FIELD]:VALUE the right answer passes; may be repeated."),
    ] = None,
    repo: Annotated[Path | None, typer.Option(help="Repository; default: this folder's.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=60, help="Fewest replays of a trace in each arm.")
    ] = None,
    max_runs: Annotated[
        int | None, typer.Option(min=8, max=10_000, help="Most replays, all arms together.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Most USD the agent's own model may cost.")
    ] = None,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Replay without a sandbox; for this call only.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Try any patch against recorded traces: with it, without it, and with a comment only.

    Nothing is written. The exit code is 0 when the verdict is fixed, else 1.
    """
    from refinery.workflows import traces, trial
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(repo, ctx.obj)
    names = [name.strip() for text in on for name in text.split(",") if name.strip()]
    asked = trial.Asked(
        patch=patch,
        traces=tuple(traces.resolve(workspace, name) for name in names),
        repository=repo,
        checks=tuple(check or ()),
        repeats=repeats,
        max_runs=max_runs,
        budget_usd=budget,
        unsandboxed=unsandboxed,
    )
    tried = trial.attempt(workspace, asked, output.note)
    output.emit(trial.to_document(tried), json_output, lambda screen: _show(tried, screen))
    raise typer.Exit(ExitCode.DONE if tried.is_fixed else ExitCode.NEGATIVE)


def _show(tried: "Tried", screen: "Console") -> None:
    paths = ", ".join(change.path for change in tried.patch.changes)
    screen.print(f"Patch of {output.safe(paths)}", style="bold")
    proof_view.show_guard(tried.guard, screen)
    proof_view.show_trial(tried.trial, screen)
