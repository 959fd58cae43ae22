"""Export traces to a file: Refinery's own lines, LangSmith's JSON, OTLP JSON or markdown."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import complete_trace
from refinery.errors import InputError

if TYPE_CHECKING:
    from refinery.workflows.wiring import Workspace

EPILOG = """Examples:

  refinery export latest > trace.jsonl

  refinery export --failed --since 7d --output failed.jsonl

  refinery export 3f2a --format otlp --output trace.otlp.json

  refinery export latest-failed --markdown --max-tokens 50000
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    traces: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRACE]...",
            help="Trace ids, unique prefixes, latest or latest-failed.",
            autocompletion=complete_trace,
        ),
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl, langsmith or otlp.")
    ] = "jsonl",
    target: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: standard output."),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those that ended in an error or are labelled.")
    ] = False,
    project: Annotated[str | None, typer.Option(help="Of this project.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Started since: 24h, 7d, or a date.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most traces, newest first.")] = 100,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="For a language model: what matters first.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="With --markdown: never more than these in all.")
    ] = 50_000,
    json_output: output.JsonOption = False,
) -> None:
    """Export traces to a file: Refinery's own lines, LangSmith's JSON, OTLP JSON or markdown.

    Every format but markdown reads back with `refinery import`, equal to what was exported;
    attachments go into Refinery's own lines only.
    """
    from refinery.ports import TraceFilter
    from refinery.workflows import export
    from refinery.workflows import traces as lookup
    from refinery.workflows.wiring import open_workspace

    if json_output and target is None:
        raise InputError(
            "--json tells what was written, so it needs a file",
            hint="add --output FILE, or leave --json out",
        )
    if markdown and format_name != "jsonl":
        raise InputError(
            f"--markdown and --format {format_name} exclude each other", hint="give one of them"
        )
    workspace = open_workspace(flags=ctx.obj)
    wanted = TraceFilter(
        status="failed" if failed else None,
        project=project,
        since_ns=lookup.since_ns(since) if since else None,
        limit=limit,
    )
    if traces:
        chosen = [lookup.resolve(workspace, text).trace_id for text in traces]
    else:
        chosen = export.chosen_traces(workspace, wanted)
    if markdown:
        _markdown(workspace, chosen, max_tokens, target, json_output=json_output)
        return
    if target is None:
        _to_stdout(lambda path: export.export(workspace, chosen, format_name, path))
        return
    count = export.export(workspace, chosen, format_name, target)
    document = {"file": str(target), "format": format_name, "traces": count, "trace_ids": chosen}
    output.emit(document, json_output, lambda screen: None)
    output.note(f"{count} {'trace' if count == 1 else 'traces'} written to {target}")


def _markdown(
    workspace: "Workspace",
    chosen: list[str],
    max_tokens: int,
    target: Path | None,
    *,
    json_output: bool,
) -> None:
    from refinery.workflows import export

    found = export.export_markdown(workspace, chosen, max_tokens)
    if target is None:
        sys.stdout.write(found.text)
        sys.stdout.flush()
    else:
        export.write_text(found.text, target)
        document = {
            "file": str(target),
            "format": "markdown",
            "traces": len(chosen),
            "trace_ids": chosen,
            "tokens": found.tokens,
            "is_estimated": found.is_estimated,
            "counter": found.counter,
            "runs": found.runs,
            "shown": found.shown,
            "cut_values": found.cut_values,
        }
        output.emit(document, json_output, lambda screen: None)
    how = " (estimated)" if found.is_estimated else ""
    output.note(f"{found.tokens} tokens{how}; {found.shown} of {found.runs} runs are shown")


def _to_stdout(write: Callable[[Path], int]) -> None:
    with tempfile.TemporaryDirectory(prefix="refinery-") as folder:
        path = Path(folder) / "export"
        write(path)
        with path.open(encoding="utf-8") as file:
            while block := file.read(1 << 20):
                sys.stdout.write(block)
        sys.stdout.flush()
