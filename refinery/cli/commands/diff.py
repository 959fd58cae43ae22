"""Compare two traces run by run, and say what changed first."""

from typing import Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import complete_trace
from refinery.errors import ExitCode

EPILOG = """Examples:

  refinery diff 3f2a 9b1c

  refinery diff latest-failed latest --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    left: Annotated[
        str,
        typer.Argument(
            metavar="A", help="Trace id, prefix, latest, file, URL.", autocompletion=complete_trace
        ),
    ],
    right: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The trace to compare it with.", autocompletion=complete_trace
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="List the runs that are the same, too.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Compare two traces run by run, and say what changed first.

    Runs are aligned by kind, name and content, whatever one trace has more of. Fresh
    identifiers, times, tokens and costs do not count. Exit code 1 when anything differs.
    """
    from refinery.cli import diff_view
    from refinery.workflows import traces
    from refinery.workflows.diff import diff, to_document
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(flags=ctx.obj)
    found = diff(traces.resolve(workspace, left), traces.resolve(workspace, right))
    output.emit(
        to_document(found),
        json_output,
        lambda screen: diff_view.show(found, screen, everything=everything),
    )
    if not found.is_same:
        raise typer.Exit(ExitCode.NEGATIVE)
