"""List and search traces."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.model.trace import TraceSummary

EPILOG = """Examples:

  refinery traces --failed --since 7d

  refinery traces --text "invoice overdue" --json
"""
SETTINGS = {"epilog": EPILOG}
_WIDE = 100
"""Columns of a terminal from which seconds are told."""
_TO_THE_MINUTE = len("2026-11-22 00:50")


def command(  # one option a filter: the list is the interface
    ctx: typer.Context,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those that ended in an error or are labelled.")
    ] = False,
    project: Annotated[str | None, typer.Option(help="Of this project.")] = None,
    name: Annotated[str | None, typer.Option(help="With this in the name.")] = None,
    session: Annotated[str | None, typer.Option(help="Of this session or thread.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Started since: 24h, 7d, or a date.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="With all these words somewhere in it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most traces listed.")] = 100,
    json_output: output.JsonOption = False,
) -> None:
    """List and search traces, newest first."""
    from refinery.ports import TraceFilter
    from refinery.workflows import traces
    from refinery.workflows.wiring import open_workspace

    wanted = TraceFilter(
        status="failed" if failed else None,
        project=project,
        name=name,
        session_id=session,
        user_id=user,
        since_ns=traces.since_ns(since) if since else None,
        text=text,
        limit=limit,
    )
    workspace = open_workspace(flags=ctx.obj)
    found = traces.listing(workspace, wanted)
    if not found:
        is_empty = not workspace.store.stats()["traces"]
        output.note(
            "no traces yet: record one with `refinery record`, or `refinery import` a file"
            if is_empty
            else "no traces match"
        )
    document = {"traces": [_to_json(summary) for summary in found]}
    output.emit(document, json_output, lambda screen: _show(found, screen))


def _to_json(summary: "TraceSummary") -> dict[str, Any]:
    return {
        "trace_id": summary.trace_id,
        "name": summary.name,
        "status": summary.status,
        "runs": summary.runs,
        "errors": summary.errors,
        "start": output.iso_time(summary.start_ns),
        "end": output.iso_time(summary.end_ns),
        "source": summary.source,
        "project": summary.project,
        "session_id": summary.session_id,
        "user_id": summary.user_id,
        "total_tokens": summary.total_tokens,
        "label": summary.label,
    }


def _show(found: "list[TraceSummary]", screen: "Console") -> None:
    if not found:
        return
    columns = ("trace", "name", "status", "label", "runs", "errors", "tokens", "start", "source")
    is_narrow = screen.width < _WIDE
    rows = [
        (
            summary.trace_id,
            _short(summary.name),
            summary.status,
            summary.label,
            summary.runs,
            summary.errors,
            summary.total_tokens,
            output.local_time(summary.start_ns)[: _TO_THE_MINUTE if is_narrow else None],
            summary.source,
        )
        for summary in found
    ]
    output.table(screen, columns, rows, spare=("source", "tokens", "errors", "runs", "label"))


def _short(name: str, limit: int = 40) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
