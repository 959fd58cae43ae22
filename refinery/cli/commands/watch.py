"""Tell whether fixed failures stay away, and offer to take a change back."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.errors import ExitCode, InputError, RefineryError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.codebase.repository import Repository
    from refinery.workflows.watch import Report
    from refinery.workflows.wiring import Workspace

EPILOG = """Examples:

  refinery watch

  refinery watch --every 60

  refinery watch --revert --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Look again and again until one returns."),
    ] = None,
    revert: Annotated[
        bool, typer.Option("--revert", help="Take back changes whose failure has returned.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Tell whether fixed failures stay away, and offer to take a change back.

    Conversations recorded since a change are held against what was said to be right. A fix that
    holds is called back wrongly at most 5 times in 100, however often you look. Exit code 1: a
    failure has returned. 5: no change is in force.
    """
    from refinery.codebase.repository import Repository
    from refinery.workflows import watch
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(repo, ctx.obj)
    repository = Repository.open(repo or Path.cwd())
    reports = watch.look(workspace, repository)
    while every is not None and reports and not any(r.has_returned for r in reports):
        output.note(_summary(reports))
        time.sleep(every)
        from refinery.workflows.spool import drain

        drain(workspace.home / "spool", workspace.store)
        reports = watch.look(workspace, repository)
    returned = [report for report in reports if report.has_returned]
    document = watch.to_document(reports)
    if json_output and revert:
        document["reverted"] = _take_back(workspace, repository, returned, is_asked=False)
    output.emit(document, json_output, lambda screen: _show(reports, screen))
    if not json_output and returned and (revert or sys.stdin.isatty()):
        _take_back(workspace, repository, returned, is_asked=not revert)
    if not reports:
        raise typer.Exit(ExitCode.NOTHING)
    raise typer.Exit(ExitCode.NEGATIVE if returned else ExitCode.DONE)


def _show(reports: "list[Report]", screen: "Console") -> None:
    if not reports:
        screen.print("No change is in force, so there is nothing to watch.")
        return
    rows = [
        (
            report.change.change_id,
            report.watched.standing.value,
            f"{report.watched.failed} of {report.watched.seen}",
            report.expectation or report.change.title,
            report.why_not or (f"{report.older} ran older code" if report.older else ""),
        )
        for report in reports
    ]
    output.table(screen, ("change", "failure", "failed since", "what is right", ""), rows)
    for report in reports:
        if report.has_returned:
            shown = ", ".join(trace_id[:13] for trace_id in report.failing[:5])
            screen.print(f"\n{report.change.change_id} is open again; seen in: {shown}")
            screen.print(f"  take it back: refinery rollback {report.change.change_id}")
            if report.failing:
                screen.print(f"  look at it:   refinery guide {report.failing[0]}")


def _take_back(
    workspace: "Workspace",
    repository: "Repository",
    returned: "list[Report]",
    *,
    is_asked: bool,
) -> list[str]:
    """Roll changes back, each after a question when one is to be asked."""
    from refinery.workflows import changes

    done = []
    for report in returned:
        name = report.change.change_id
        if is_asked and not typer.confirm(f"Take {name} back now?", err=True, default=False):
            continue
        try:
            reason = "its failure has returned"
            changes.rollback(repository, workspace.home, name, reason=reason)
        except (RefineryError, OSError) as error:
            raise InputError(f"{name} could not be taken back: {error}") from error
        output.note(f"{name} is taken back; again: refinery redo {name}")
        done.append(name)
    return done


def _summary(reports: "list[Report]") -> str:
    return "; ".join(
        f"{r.change.change_id}: {r.watched.standing.value} "
        f"({r.watched.failed} of {r.watched.seen} failed)"
        for r in reports
    )
