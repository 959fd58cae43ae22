"""Show the conversations of a time frame, verbatim."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output, search_view

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.model.trace import Run
    from refinery.search.searching import Frame, Moment

EPILOG = """Examples:

  refinery timeframe 2025-09-15T10:00 2025-09-15T12:15

  refinery timeframe 2025-09-15T10:00 2025-09-15T12:15 --user ada --cycles --json

  refinery timeframe 2h 1h --timezone Europe/Zurich
"""
SETTINGS = {"epilog": EPILOG}


def command(  # one option a filter: the list is the interface
    ctx: typer.Context,
    start: Annotated[str, typer.Argument(metavar="FROM", help="ISO date and time, or 2h, 7d.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Not included.")],
    user: search_view.User = None,
    session: search_view.Session = None,
    project: search_view.Project = None,
    status: search_view.Status = None,
    cycles: Annotated[
        bool, typer.Option("--cycles", help="With every run of each conversation.")
    ] = False,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Zone of times that name none; default: UTC."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most conversations shown.")] = 1_000,
    json_output: output.JsonOption = False,
) -> None:
    """Show the conversations that began in a time frame, oldest first, verbatim.

    A conversation belongs to the frame when FROM <= its start < TO, to the nanosecond.
    """
    from refinery.workflows import search
    from refinery.workflows.timezones import parse_zone
    from refinery.workflows.wiring import open_workspace

    zone = parse_zone(timezone) if timezone else None
    query = search.Query(
        user=user,
        session=session,
        project=project,
        status=status,
        since_ns=search.moment_ns(start, zone),
        until_ns=search.moment_ns(end, zone),
        limit=limit,
    )
    frame = search.timeframe(open_workspace(flags=ctx.obj), query, with_cycles=cycles)
    document = {
        "from": output.iso_time(query.since_ns),
        "to": output.iso_time(query.until_ns),
        "total": frame.total,
        "interactions": [_to_json(one, with_cycles=cycles) for one in frame.moments],
    }
    output.emit(document, json_output, lambda screen: _show(frame, screen))
    if frame.total > len(frame.moments):
        output.note(f"{frame.total - len(frame.moments)} more: raise --limit")
    elif not frame.total:
        output.note("nothing began in this time frame")


def _to_json(moment: "Moment", *, with_cycles: bool) -> dict[str, Any]:
    from refinery.workflows.search_document import about

    found = {
        **about(moment.trace),
        "start_ns": moment.trace.start_ns,
        "run_id": moment.root.run_id,
        "inputs": _verbatim(moment.root.inputs),
        "outputs": _verbatim(moment.root.outputs),
        "error": _verbatim(moment.root.error),
    }
    if with_cycles:
        found["cycles"] = [_run(run) for run in moment.cycles]
    return found


def _run(run: "Run") -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "parent_id": run.parent_id,
        "name": run.name,
        "kind": run.kind,
        "status": run.status,
        "start": output.iso_time(run.start_ns),
        "end": output.iso_time(run.end_ns),
        "reasoning": run.reasoning,
        "inputs": _verbatim(run.inputs),
        "outputs": _verbatim(run.outputs),
        "error": _verbatim(run.error),
    }


def _verbatim(value: object) -> Any:
    from refinery.model.codec import encode

    return encode(value)


def _show(frame: "Frame", screen: "Console") -> None:
    import json

    def told(title: str, value: object, indent: str) -> None:
        if value is not None:
            text = json.dumps(_verbatim(value), ensure_ascii=False, indent=1)
            screen.print(output.safe(f"{indent}{title}: {text}"))

    for moment in frame.moments:
        trace = moment.trace
        parts = (trace.trace_id, trace.status, trace.user_id, trace.session_id, trace.name)
        head = "  ".join(str(part) for part in parts if part)
        screen.print(output.safe(f"{output.local_time(trace.start_ns)}  {head}"), style="bold")
        for title in ("inputs", "outputs", "error"):
            told(title, getattr(moment.root, title), "  ")
        for run in moment.cycles:
            screen.print(output.safe(f"  {run.kind or 'run'} {run.name or run.run_id}"))
            for title in ("reasoning", "inputs", "outputs", "error"):
                told(title, getattr(run, title), "    ")
