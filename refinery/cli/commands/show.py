"""Show a trace as a tree of its runs, or one run in full."""

from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output, trace_view
from refinery.cli.arguments import TraceArgument
from refinery.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from refinery.model.trace import Run, Trace

EPILOG = """Examples:

  refinery show latest-failed

  refinery show 3f2a --run 9b1c

  refinery show latest --capabilities

  refinery show latest --json
"""
SETTINGS = {"epilog": EPILOG}

_MIN_PREFIX = 4


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
    chosen = _find_run(found, run)
    document = trace_view.to_document(found, label, (chosen,))
    output.emit(document, json_output, lambda screen: trace_view.show_run(chosen, screen))


def _find_run(trace: "Trace", text: str) -> "Run":
    if exact := trace.run(text):
        return exact
    matches = [run for run in trace.runs if run.run_id.startswith(text)]
    if len(text) < _MIN_PREFIX or not matches:
        raise NotFoundError(
            f"no run {text!r} in trace {trace.trace_id}",
            hint=f"`refinery show {trace.trace_id}` lists its runs",
        )
    if len(matches) > 1:
        ids = ", ".join(run.run_id for run in matches[:5])
        raise InputError(f"several runs begin with {text!r}", hint=f"name one: {ids}")
    return matches[0]
