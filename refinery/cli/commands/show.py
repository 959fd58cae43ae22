"""Show a trace as a tree of its runs, or one run in full."""

from typing import Annotated

import typer

from refinery.cli import output, trace_view
from refinery.cli.arguments import TraceArgument

EPILOG = """Examples:

  refinery show latest-failed

  refinery show 3f2a --run 9b1c

  refinery show latest --capabilities

  refinery show latest --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: TraceArgument,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Show this run in full: its id or a unique prefix."),
    ] = None,
    capabilities: Annotated[
        bool,
        typer.Option("--capabilities", help="Say which questions this trace can answer, and why."),
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Show a trace as a tree of its runs, or one run in full."""
    from refinery.workflows import traces
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(flags=ctx.obj)
    found = traces.resolve(workspace, trace)
    label = traces.label_of(workspace, found.trace_id)
    if capabilities:
        from refinery.cli import capability_view
        from refinery.workflows.capabilities import capabilities_of

        answers = capabilities_of(found)
        document = capability_view.to_document(found, answers)
        output.emit(document, json_output, lambda s: capability_view.show(found, answers, s))
        return
    if run is None:
        document = trace_view.to_document(found, label)
        output.emit(document, json_output, lambda s: trace_view.show_trace(found, label, s))
        return
    chosen = traces.find_run(found, run)
    document = trace_view.to_document(found, label, (chosen,))
    output.emit(document, json_output, lambda screen: trace_view.show_run(chosen, screen))
