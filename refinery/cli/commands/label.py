"""Say whether a trace is what it should have been."""

from typing import Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import TraceArgument
from refinery.errors import InputError

EPILOG = """Examples:

  refinery label latest --pass

  refinery label 3f2a --fail --expect "quotes the 2026 price" --check 'contains@answer:29 EUR'
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: TraceArgument,
    passes: Annotated[bool, typer.Option("--pass", help="It is what it should be.")] = False,
    fails: Annotated[bool, typer.Option("--fail", help="It is not.")] = False,
    expect: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The right behaviour, in words.")
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[@FIELD]:VALUE", help="What the right result passes; may be repeated."
        ),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Say whether a trace is what it should have been.

    The newest label counts. `refinery fix` takes a trace's expectation and checks from it, and
    uses traces labelled as passing as controls.
    """
    from refinery.model.trace import Label
    from refinery.workflows import traces
    from refinery.workflows.wiring import open_workspace

    if passes == fails:
        raise InputError("say --pass or --fail", hint="refinery label latest --pass")
    workspace = open_workspace(flags=ctx.obj)
    found = traces.resolve(workspace, trace)
    said = Label("pass" if passes else "fail", expect, tuple(check or ()))
    traces.label(workspace, found.trace_id, said)
    document = {
        "trace_id": found.trace_id,
        "label": {
            "outcome": said.outcome,
            "expectation": said.expectation,
            "checks": list(said.checks),
        },
    }
    text = f"{found.trace_id} is labelled {said.outcome}"
    output.emit(document, json_output, lambda screen: screen.print(output.safe(text)))
