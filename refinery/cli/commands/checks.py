"""Make checks of words, try them, run them over again, export them."""

import json
import sys
from pathlib import Path
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
    help="Make checks of words, try them, run them over again, export them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="""Examples:

  refinery checks add latest-failed --expect 'must mention "29 EUR"'

  refinery checks try 3f2a --expect 'must not call refund before look_up_order'

  refinery checks try 3f2a --check 'max_words:80'

  refinery checks list

  refinery checks run --junit checks.xml

  refinery checks export --pytest tests/test_conversations.py
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

RepoOption = Annotated[
    Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
]
FixedOption = Annotated[
    bool, typer.Option("--fixed", help="Leave out failures that no change in force mends.")
]


@app.callback()
def group() -> None:
    """Make checks of words, try them, run them over again, export them.

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


@app.command(
    **examples(
        "refinery checks run", "refinery checks run --offline --junit checks.xml --sarif c.sarif"
    )
)
def run(
    ctx: typer.Context,
    repo: RepoOption = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML there too.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0 there too.")
    ] = None,
    fixed: FixedOption = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never ask the agent's own model.")
    ] = False,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Run without a sandbox; for this call only.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Play the labelled conversations again with the code as it is now.

    Exit code 0: every check holds. 1: one does not. 3: none fails, but some conversations could
    not be answered. 5: there are no checks.
    """
    from refinery.codebase.repository import Repository
    from refinery.workflows import check_export, check_suite
    from refinery.workflows.checks import judge_of
    from refinery.workflows.wiring import connect_model, open_workspace

    workspace = open_workspace(repo, ctx.obj)
    repository = Repository.open(repo or Path.cwd())
    judge = None if offline else judge_of(connect_model(workspace))
    how = check_suite.How(
        is_offline=offline, unsandboxed=unsandboxed, judge=judge, say=output.note
    )
    cases = check_suite.collect(workspace, only_fixed=fixed)
    found = check_suite.run(workspace.settings, repository, cases, how)
    if junit is not None:
        _write(junit, check_export.junit(found))
    if sarif is not None:
        _write(sarif, json.dumps(check_export.sarif(found), indent=1))
    rows = [(one.state.value, one.case.name, one.told) for one in found]
    columns = ("", "conversation", "why")
    document = check_suite.to_document(found)
    output.emit(document, json_output, lambda screen: output.table(screen, columns, rows))
    if document["failed"]:
        raise typer.Exit(ExitCode.NEGATIVE)
    raise typer.Exit(ExitCode.PARTIAL if document["unanswered"] else ExitCode.DONE)


@app.command(
    **examples(
        "refinery checks export --pytest tests/test_conversations.py",
        "refinery checks export --fixed --pytest -",
    )
)
def export(
    ctx: typer.Context,
    pytest: Annotated[
        Path | None, typer.Option("--pytest", metavar="FILE", help="The test file; - is stdout.")
    ] = None,
    repo: RepoOption = None,
    fixed: FixedOption = False,
    json_output: output.JsonOption = False,
) -> None:
    """Write the checks as a pytest file that needs no store.

    The file holds the recorded conversations: look at them before you publish it.
    """
    from refinery.workflows import check_export, check_suite
    from refinery.workflows.wiring import open_workspace

    if pytest is None:
        raise InputError("say where to write the tests", hint="add --pytest tests/test_x.py")
    cases = check_suite.collect(open_workspace(repo, ctx.obj), only_fixed=fixed)
    text = check_export.pytest_file(cases)
    if str(pytest) == "-":
        sys.stdout.write(text)
        return
    _write(pytest, text)
    document = {"file": str(pytest), "conversations": [case.name for case in cases]}
    told = f"{len(cases)} conversations written to {pytest}"
    output.emit(document, json_output, lambda screen: screen.print(output.safe(told)))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


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
