"""Fetch traces from LangSmith into the store."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.fetch import Fetched

EPILOG = """Examples:

  refinery fetch https://smith.langchain.com/o/…/projects/p/…/r/…

  refinery fetch --failed --project support --since 7d

The endpoint and the key are those of the LangSmith client: LANGSMITH_ENDPOINT, LANGSMITH_API_KEY.
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: Annotated[
        str | None, typer.Argument(metavar="[TRACE|URL]", help="Id or LangSmith URL.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Project name or id; default: LANGSMITH_PROJECT.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed traces.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --failed: 24h, 7d, or a date.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --failed: the end of the time range.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="With --failed: most traces.")] = 100,
    json_output: output.JsonOption = False,
) -> None:
    """Fetch traces from LangSmith into the store.

    What was asked within the last 15 minutes is answered from a cache.
    """
    from refinery.workflows import fetch, traces
    from refinery.workflows.wiring import open_workspace

    if (trace is None) != failed:
        raise InputError("name one trace, or say --failed", hint="refinery fetch --failed")
    request = fetch.FetchRequest(
        reference=trace,
        project=project,
        since_ns=traces.since_ns(since) if since else None,
        until_ns=traces.since_ns(until) if until else None,
        limit=limit,
    )
    found = fetch.fetch(open_workspace(flags=ctx.obj), request)
    document = {"traces": [_to_json(item) for item in found]}
    output.emit(document, json_output, lambda screen: _show(found, screen))


def _to_json(item: "Fetched") -> dict[str, Any]:
    root = item.trace.root
    return {
        "trace_id": item.trace.trace_id,
        "name": root.name if root else None,
        "status": item.trace.status,
        "runs": len(item.trace.runs),
        "new_runs": item.new_runs,
        "errors": sum(run.is_failed for run in item.trace.runs),
        "start": output.iso_time(root.start_ns if root else None),
        "project": item.trace.project,
        "source": item.trace.source,
    }


def _show(found: "list[Fetched]", screen: "Console") -> None:
    if not found:
        output.note("no traces matched")
        return
    rows = [list(_to_json(item).values())[:6] for item in found]
    output.table(screen, ("trace", "name", "status", "runs", "new", "errors"), rows)
