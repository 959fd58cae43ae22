"""Make checks of words, try them on recorded runs, list those kept."""

from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples
from refinery.errors import ExitCode, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.checks import Expected, Tested

app = typer.Typer(
    name="checks",
    help="Make checks of words, try them on recorded runs, list those kept.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="""Examples:

  refinery checks add latest-failed --expect 'must mention "29 EUR"'

  refinery checks try 3f2a --expect 'must not call refund before look_up_order'

  refinery checks try 3f2a --check 'max_words:80'

  refinery checks list
""",
)

TraceArgument = Annotated[
    str, typer.Argument(help="The bad run: id, unique prefix, latest, latest-failed, file or URL.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="provider:model for words no offline form reads; default: no model."),
]
ExpectOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The right behaviour, in words.")
]


@app.callback()
def group() -> None:
    """Make checks of words, try them on recorded runs, list those kept.

    A check is trusted when it fails on the bad run, holds on the good ones, and its opposite does
    the reverse; else it is refused with the reason.
    """


@app.command(**examples("""refinery checks add latest-failed --expect 'must mention "29 EUR"'"""))
def add(
    ctx: typer.Context,
    trace: TraceArgument,
    expect: ExpectOption = None,
    model: ModelOption = None,
    json_output: output.JsonOption = False,
) -> None:
    """Make checks of words and keep the trusted ones with the run's label.

    Exit code 1: no check could be made or trusted; nothing was kept.
    """
    from refinery.workflows import checks, traces
    from refinery.workflows.wiring import open_workspace

    if expect is None:
        raise InputError("say what is expected", hint="add --expect 'must mention \"29 EUR\"'")
    workspace = open_workspace(flags=ctx.obj)
    expected = checks.make(workspace, traces.resolve(workspace, trace), expect, model)
    if expected.accepted:
        checks.keep(workspace, expected)
    document = {**checks.to_document(expected), "kept": bool(expected.accepted)}
    output.emit(document, json_output, lambda screen: _show(expected, screen))
    raise typer.Exit(ExitCode.DONE if expected.accepted else ExitCode.NEGATIVE)


@app.command(
    name="try", **examples("refinery checks try latest-failed --check 'contains@answer:$15'")
)
def try_(
    ctx: typer.Context,
    trace: TraceArgument,
    expect: ExpectOption = None,
    check: Annotated[
        str | None, typer.Option(metavar="KIND[@FIELD]:VALUE", help="A check to try instead.")
    ] = None,
    model: ModelOption = None,
    json_output: output.JsonOption = False,
) -> None:
    """Hold words or a check against the bad run and the good ones; nothing is kept.

    Exit code 1: the words give no trusted check, or the check does not tell the runs apart.
    """
    from refinery.workflows import checks, traces
    from refinery.workflows.wiring import open_workspace

    if (expect is None) == (check is None):
        raise InputError("give --expect or --check", hint="refinery checks try latest --expect …")
    workspace = open_workspace(flags=ctx.obj)
    bad = traces.resolve(workspace, trace)
    if check is not None:
        tests = checks.try_check(workspace, bad, check, model)
        tells = all(test.held is test.is_good for test in tests if test.binds)
        document = {
            "check": check,
            "tells": tells,
            "tests": [checks.tested_document(t) for t in tests],
        }
        output.emit(document, json_output, lambda screen: _show_tests(tests, screen))
        raise typer.Exit(ExitCode.DONE if tells else ExitCode.NEGATIVE)
    expected = checks.make(workspace, bad, expect or "", model)
    output.emit(checks.to_document(expected), json_output, lambda screen: _show(expected, screen))
    raise typer.Exit(ExitCode.DONE if expected.accepted else ExitCode.NEGATIVE)


@app.command(name="list", **examples("refinery checks list"))
def list_(
    ctx: typer.Context,
    json_output: output.JsonOption = False,
) -> None:
    """List labelled runs with what is expected of them and their checks.

    Exit code 5: no labelled run has any.
    """
    from refinery.workflows import checks
    from refinery.workflows.wiring import open_workspace

    kept = checks.kept(open_workspace(flags=ctx.obj))
    rows = [
        (trace_id[:8], label.outcome, check, label.expectation or "")
        for trace_id, label in kept
        for check in label.checks or ("-",)
    ]
    document = {
        "labels": [
            {
                "trace_id": trace_id,
                "outcome": label.outcome,
                "expectation": label.expectation,
                "checks": list(label.checks),
            }
            for trace_id, label in kept
        ]
    }
    columns = ("trace", "label", "check", "expectation")
    output.emit(document, json_output, lambda screen: output.table(screen, columns, rows))
    raise typer.Exit(ExitCode.DONE if kept else ExitCode.NOTHING)


def _show(expected: "Expected", screen: "Console") -> None:
    for line in expected.told():
        screen.print(output.safe(line))
    tests = [test for made in expected.made[:1] for test in made.tests]
    if tests:
        screen.print()
        _show_tests(tests, screen)


def _show_tests(tests: "list[Tested] | tuple[Tested, ...]", screen: "Console") -> None:
    words = {True: "holds", False: "fails", None: "-"}
    rows = [
        (
            test.trace_id[:8],
            "good" if test.is_good else "bad",
            words[test.held],
            words[test.opposite_held],
            "yes" if test.binds else "no: another input",
            test.detail,
        )
        for test in tests
    ]
    output.table(screen, ("trace", "run", "check", "negated", "counts", "seen"), rows)
