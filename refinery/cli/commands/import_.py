"""Import traces from files and from other programs' stores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.ingest import FileReport

EPILOG = """Examples:

  refinery import runs.jsonl

  refinery import results/*.json.gz --from messages --json

  refinery import debug_data/checkout.lmdb

  refinery import traces.db --from decisiontracex --timezone Europe/Zurich
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(help="Files (packed by gzip or not), databases, and folders of them."),
    ],
    format_name: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="Format of the files; default: recognised."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Zone of times that name none, e.g. Europe/Zurich or +05:30; default: as assumed "
            "and said for each file.",
        ),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Import traces from files and from other programs' stores.

    A file is imported whole or not at all; importing it again changes nothing. Nothing is ever
    written to it or beside it.
    """
    from refinery.workflows import ingest
    from refinery.workflows.timezones import parse_zone
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(flags=ctx.obj)
    zone = parse_zone(timezone) if timezone else None
    reports = ingest.import_files(workspace, files, format_name, zone)
    failure = ingest.failure_of(reports)
    for report in reports:
        if report.error:
            output.note(f"error: {report.error}")
        for note in report.notes:
            output.note(f"{report.path}: {note}")
    document = {
        "files": [_to_json(report) for report in reports],
        "traces": sum(len(report.trace_ids) for report in reports),
        "runs": sum(report.runs for report in reports),
        "new_runs": sum(report.new_runs for report in reports),
    }
    output.emit(document, json_output, lambda screen: _show(reports, screen))
    if failure:
        raise typer.Exit(failure.exit_code)


def _to_json(report: "FileReport") -> dict[str, Any]:
    error = report.error
    return {
        "file": report.path,
        "format": report.format,
        "traces": len(report.trace_ids),
        "trace_ids": list(report.trace_ids),
        "runs": report.runs,
        "new_runs": report.new_runs,
        "labels": report.labels,
        "notes": list(report.notes),
        "error": {"code": error.code, "message": str(error), "hint": error.hint}
        if error
        else None,
    }


def _show(reports: "list[FileReport]", screen: "Console") -> None:
    for report in reports:
        if report.error is None:
            text = (
                f"{report.path}: {len(report.trace_ids)} traces, {report.runs} runs "
                f"({report.new_runs} new), {report.labels} labelled, read as {report.format}"
            )
            screen.print(output.safe(text))
