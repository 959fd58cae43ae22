"""Find the commit that broke it, by replaying a failing trace along the history."""

from pathlib import Path
from typing import Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import TraceArgument
from refinery.errors import ExitCode

EPILOG = """Examples:

  refinery bisect latest-failed

  refinery bisect 3f2a --good v1.4 --check 'contains:30 days'

  refinery bisect 3f2a --repeats 20 --max-runs 200 --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: TraceArgument,
    good: Annotated[
        str | None,
        typer.Option(metavar="REV", help="It worked here; default: where its code begins."),
    ] = None,
    bad: Annotated[
        str | None, typer.Option(metavar="REV", help="It fails here; default: as recorded.")
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:VALUE", help="What must hold; default: label or diagnosis."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, max=200, help="Most replays of one commit; default: as needed."),
    ] = None,
    max_runs: Annotated[
        int | None, typer.Option(min=0, help="Most live model requests, all together.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="USD", help="Most money for live requests.")
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    unsandboxed: Annotated[
        bool, typer.Option(help="Run the agent without a sandbox; for this call only.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Find the commit that broke it, by replaying a failing trace along the history.

    Each commit is exported and replayed in the sandbox; your work tree is not touched. Requests
    that older code sends otherwise go to the agent's own model; without one the commit is
    skipped. Merges are followed to the commit inside.

    Exit code 1 when no commit of the history broke it, 3 when several may have.
    """
    from refinery.cli import bisect_view
    from refinery.workflows import bisect as workflow
    from refinery.workflows import traces
    from refinery.workflows.replay import require_repository
    from refinery.workflows.wiring import open_workspace

    require_repository(repo)
    workspace = open_workspace(repo, ctx.obj)
    found = traces.resolve(workspace, trace)
    request = workflow.BisectRequest(
        repository=repo,
        good=good,
        bad=bad,
        checks=tuple(check or ()),
        repeats=repeats,
        unsandboxed=unsandboxed,
        max_requests=max_runs,
        budget_usd=budget,
    )
    outcome = workflow.bisect(workspace, found, request, output.note)
    output.emit(
        workflow.to_document(outcome),
        json_output,
        lambda screen: bisect_view.show(outcome, screen),
    )
    if outcome.state in (workflow.CANDIDATES, workflow.UNCLEAR):
        raise typer.Exit(ExitCode.PARTIAL)
    if outcome.state not in (workflow.FOUND, workflow.UNCOMMITTED):
        raise typer.Exit(ExitCode.NEGATIVE)
