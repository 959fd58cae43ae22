"""Fetch traces from LangSmith, Langfuse, Phoenix, MLflow or Datadog into the store."""

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

  refinery fetch --from phoenix --url http://localhost:6006 --all

Addresses and keys are those of each service's own client: LANGSMITH_ENDPOINT, LANGSMITH_API_KEY;
LANGFUSE_HOST, LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY; PHOENIX_COLLECTOR_ENDPOINT,
PHOENIX_API_KEY; MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN; DD_SITE, DD_API_KEY, DD_APP_KEY.
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: Annotated[
        str | None, typer.Argument(metavar="[TRACE|URL]", help="Id or address of a trace.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="langsmith, langfuse, phoenix, mlflow or datadog; default: by the address, "
            "else langsmith.",
        ),
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Address of the service.")] = None,
    project: Annotated[
        str | None,
        typer.Option(help="Project, experiment or ML application; default: as its client's."),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed traces.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All traces, failed or not.")] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With --failed or --all: 24h, 7d, or a date."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The end of the time range.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most traces.")] = 100,
    json_output: output.JsonOption = False,
) -> None:
    """Fetch traces from a service into the store.

    What LangSmith was asked within the last 15 minutes is answered from a cache.
    """
    from refinery.workflows import fetch, traces
    from refinery.workflows.wiring import open_workspace

    if sum((trace is not None, failed, everything)) != 1:
        raise InputError(
            "name one trace, or say --failed or --all", hint="refinery fetch --failed"
        )
    request = fetch.FetchRequest(
        reference=trace,
        source=source,
        url=url,
        project=project,
        since_ns=traces.since_ns(since) if since else None,
        until_ns=traces.since_ns(until) if until else None,
        only_failed=failed,
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
        "feedback": item.feedback,
    }


def _show(found: "list[Fetched]", screen: "Console") -> None:
    if not found:
        output.note("no traces matched")
        return
    rows = [list(_to_json(item).values())[:6] for item in found]
    output.table(screen, ("trace", "name", "status", "runs", "new", "errors"), rows)
