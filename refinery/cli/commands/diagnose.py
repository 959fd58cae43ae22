"""Say why a trace failed, with evidence; changes nothing."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import complete_trace
from refinery.errors import ExitCode, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.model.failure import Diagnosis, Finding
    from refinery.model.trace import Trace
    from refinery.workflows.failure_groups import FailureGroups
    from refinery.workflows.wiring import Workspace

EPILOG = """Examples:

  refinery diagnose latest-failed

  refinery diagnose 3f2a --expect 'It should name the price of 2026.'

  refinery diagnose run.json --failed --json

  refinery diagnose --project support --since 7d
"""
SETTINGS = {"epilog": EPILOG}

_ENGINES = {"detectors": "detectors (no model configured)", "model": "model"}


def command(
    ctx: typer.Context,
    trace: Annotated[
        str | None,
        typer.Argument(
            help="Trace id, unique prefix, latest, latest-failed, a file or a URL.",
            autocompletion=complete_trace,
        ),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Repository of the agent.")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The right behaviour, in words.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="provider:model that analyses; default: no model."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Most USD the analysis by a model may cost.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Use no earlier analysis, and keep none.")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="It failed: name the most probable step as well.")
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="Group the failing traces of this project into issues.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Group those started since: 24h, 7d, or a date."),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Say why a trace failed, with evidence; changes nothing.

    With --project or --since instead of a trace: why many failed, grouped by fault and owner,
    with a representative trace of each group.
    """
    from refinery.agents.forecast import forecast_text
    from refinery.workflows import traces
    from refinery.workflows.diagnose import ModelUse, diagnose, to_document
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(flags=ctx.obj)
    if trace is None:
        _group(workspace, (project, since), repo, json_output)
        return
    if project or since:
        raise InputError(
            "a trace and --project or --since exclude each other", hint="leave one of them out"
        )
    found_trace = traces.resolve(workspace, trace)
    use = ModelUse(
        model, budget, no_cache, lambda told: output.note(f"forecast: {forecast_text(told)}")
    )
    found = diagnose(
        workspace, found_trace, root=repo, expectation=expect, model=use, failed=failed
    )
    output.emit(to_document(found), json_output, lambda screen: _show(found, found_trace, screen))
    if not found.findings:
        raise typer.Exit(ExitCode.NOTHING)
    if sys.stdout.isatty() and not json_output:
        output.note(f"\nTry the best one:  refinery fix {found.trace_id}")


def _group(
    workspace: "Workspace",
    which: tuple[str | None, str | None],
    repo: Path | None,
    json_output: bool,
) -> None:
    """Group the failing traces of a project, of a time, or of both."""
    from refinery.ports import TraceFilter
    from refinery.workflows import failure_groups, traces

    project, since = which
    if project is None and since is None:
        raise InputError(
            "which trace?", hint="refinery diagnose latest-failed, or --project NAME, --since 7d"
        )
    wanted = TraceFilter(
        project=project,
        since_ns=traces.since_ns(since) if since else None,
        limit=failure_groups.MAX_TRACES,
    )
    found = failure_groups.group_failures(workspace, wanted, root=repo, say=output.note)
    document = failure_groups.to_document(found)
    output.emit(document, json_output, lambda screen: _show_groups(found, screen))
    if not found.groups:
        output.note("no failing trace matches")
        raise typer.Exit(ExitCode.NOTHING)


def _show_groups(found: "FailureGroups", screen: "Console") -> None:
    rows = [
        (
            group.count,
            group.category,
            group.owner,
            group.source.address if group.source else "",
            group.likelihood.value if group.likelihood else "",
            group.representative,
        )
        for group in found.groups
    ]
    columns = ("traces", "fault", "owner", "source", "likelihood", "representative trace")
    output.table(screen, columns, rows)
    if found.is_cut:
        screen.print(f"only the newest {found.traces} failing traces were read")


def _show(found: "Diagnosis", trace: "Trace", screen: "Console") -> None:
    """Draw the findings, best first, then what the trace cannot answer."""
    from refinery.agents.forecast import forecast_text

    name = (trace.root.name if trace.root else None) or "trace"
    screen.print(f"{output.safe(name)}  {trace.trace_id}", style="bold")
    screen.print(f"engine: {_ENGINES.get(found.engine, found.engine)}" + _model(found))
    if found.forecast:
        screen.print(f"forecast: {forecast_text(found.forecast)}")
    if found.reused_from:
        screen.print(f"analysis of trace {found.reused_from} reused: same failure")
    if not found.findings:
        screen.print("\nNothing found: the trace holds no evidence of a known kind of failure.")
    for finding in found.findings:
        _show_finding(finding, trace, screen)
    if found.rejected:
        screen.print("\nThrown away, because a quote does not stand in the trace:")
        for reason in found.rejected:
            screen.print(f"  {output.safe(reason)}")
    if found.unanswerable:
        screen.print("\nNot answered by this trace:")
        for gap in found.unanswerable:
            screen.print(f"  {output.safe(gap)}")


def _model(found: "Diagnosis") -> str:
    if found.model is None:
        return ""
    cost = f", {found.cost_usd:.4f} USD" if found.cost_usd is not None else ""
    return output.safe(f" {found.model}{cost}")


def _show_finding(finding: "Finding", trace: "Trace", screen: "Console") -> None:
    title = output.safe(" ".join(finding.title.split()))
    screen.print(f"\n{finding.finding_id}  {title}", style="bold")
    screen.print(f"    {finding.likelihood} ({finding.confidence:.0%}) · {finding.category}")
    screen.print(f"    {output.safe(' '.join(finding.explanation.split()))}")
    screen.print(f"    cause:    {_run(trace, finding.cause_run_id)}")
    if finding.symptom_run_id != finding.cause_run_id:
        screen.print(f"    shown by: {_run(trace, finding.symptom_run_id)}")
    if finding.source:
        place = finding.source.address
        node = f" ({finding.source.node})" if finding.source.node else ""
        screen.print(f"    source:   {output.safe(place + node)}")
    for item in finding.evidence:
        quote = output.safe(" ".join(item.quote.split()))
        screen.print(f"    “{quote}”", style="dim")


def _run(trace: "Trace", run_id: str) -> str:
    run = trace.run(run_id)
    kind = f"{run.kind} " if run and run.kind else ""
    name = (run.name if run else None) or "run"
    return output.safe(f"{kind}{name} ({run_id[:18]})")
