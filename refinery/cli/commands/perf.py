"""What runs cost: reports, SQL, variants, audits, the queue, benchmarks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import fix_view, output, perf_view
from refinery.cli.help import examples
from refinery.errors import ExitCode, InputError

if TYPE_CHECKING:
    from refinery.performance.frames import Frame

EPILOG = """Examples:

  refinery perf report --by name --since 7d

  refinery perf sql "SELECT name, count(*) FROM runs GROUP BY name"

  refinery perf compare search_flights

  refinery perf audit --limit "tool max_duration_ms=500" --test-command "pytest -q"

  refinery perf queue
"""

app = typer.Typer(
    name="perf",
    help="What runs cost: reports, SQL, variants, audits, the queue, benchmarks.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Started since: 24h, 7d, or a date.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Started before.")]
Session = Annotated[str | None, typer.Option(help="Of this session.")]
Project = Annotated[str | None, typer.Option(help="Of this project.")]


@app.callback()
def group() -> None:
    """What runs cost: reports, SQL, variants, audits, the queue, benchmarks."""


@app.command(
    **examples(
        "refinery perf report --by name --since 7d",
        "refinery perf report --since 7d --against 14d..7d",
        "refinery perf report --session after --against session:before",
    )
)
def report(
    ctx: typer.Context,
    by: Annotated[
        str,
        typer.Option(
            metavar="GROUP",
            help="name, layer, kind, variant, session, user, project, model, source, hour or day.",
        ),
    ] = "name",
    since: Since = None,
    until: Until = None,
    session: Session = None,
    project: Project = None,
    name: Annotated[str | None, typer.Option(help="Only runs of this name.")] = None,
    layer: Annotated[str | None, typer.Option(help="Only runs of this layer.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="FRAME", help="Compare with another frame: SINCE..UNTIL or session:NAME."
        ),
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Show the errors only.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most lines of each part.")] = 30,
    json_output: output.JsonOption = False,
) -> None:
    """Count, percentiles, success, tokens and cost by group; errors; critical path.

    With --against: what became slower or less reliable. Exit code 1 when that is shown, 5 when
    no run matches, or nothing is in both frames.
    """
    from refinery.performance.intervals import Finding
    from refinery.workflows import perf
    from refinery.workflows.wiring import open_workspace

    frame = _frame(since, until, session=session, project=project, name=name, layer=layer)
    other = _other(against, project=project, name=name, layer=layer) if against else None
    workspace = open_workspace(flags=ctx.obj)
    found = perf.report(workspace.store, frame, by, against=other, limit=limit)
    output.emit(
        perf_view.report_document(found),
        json_output,
        lambda screen: perf_view.show_report(found, screen, only_errors=errors),
    )
    if not found.figures or (other is not None and not found.regressions):
        raise typer.Exit(ExitCode.NOTHING)
    worse = [
        one for one in found.regressions if one.finding is Finding.SLOWER or one.is_less_reliable
    ]
    raise typer.Exit(ExitCode.NEGATIVE if worse else ExitCode.DONE)


@app.command(**examples('refinery perf sql "SELECT name, count(*) FROM runs GROUP BY name"'))
def sql(
    ctx: typer.Context,
    query: Annotated[
        str, typer.Argument(help="One SELECT on runs, traces, feedback, model_calls.")
    ],
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most rows.")] = 1_000,
    timeout: Annotated[float, typer.Option(min=0.1, help="Most seconds it may take.")] = 60.0,
    json_output: output.JsonOption = False,
) -> None:
    """Ask the store in SQL (DuckDB). Reads only: anything else is refused with exit code 7."""
    from refinery.workflows import perf
    from refinery.workflows.wiring import open_workspace

    workspace = open_workspace(flags=ctx.obj)
    found = perf.ask(workspace.store, query, max_rows=limit, timeout_s=timeout)
    output.emit(
        perf_view.table_document(found),
        json_output,
        lambda screen: perf_view.show_table(found, screen),
    )


@app.command(
    **examples("refinery perf compare search_flights", "refinery perf compare 3fa9c1d2 8be0f7aa")
)
def compare(
    ctx: typer.Context,
    first: Annotated[
        str, typer.Argument(help="A variant's hash, or a component's name: its last two.")
    ],
    second: Annotated[str | None, typer.Argument(help="The other variant's hash.")] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Compare two versions of a function: the change beside the figures.

    Exit code 0 when the second is shown to be faster, 1 when not.
    """
    from refinery.performance.intervals import Finding
    from refinery.workflows import perf_variants
    from refinery.workflows.wiring import open_workspace

    found = perf_variants.compare(open_workspace(flags=ctx.obj).store, first, second)
    output.emit(
        perf_view.compared_document(found),
        json_output,
        lambda screen: perf_view.show_compared(found, screen),
    )
    is_faster = found.comparison.finding is Finding.FASTER
    raise typer.Exit(ExitCode.DONE if is_faster else ExitCode.NEGATIVE)


@app.command(
    **examples('refinery perf audit --limit "tool max_duration_ms=500" --test-command "pytest -q"')
)
def audit(
    ctx: typer.Context,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'SELECTOR NAME=VALUE'",
            help="A limit besides those of the settings, e.g. 'tool/search max_duration_ms=500'.",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    session: Session = None,
    project: Project = None,
    repo: Annotated[
        Path | None, typer.Option(help="Repository; default: the working directory's.")
    ] = None,
    test_command: Annotated[
        str | None, typer.Option(help="Run this to see that behaviour is unchanged; '' runs none.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Run the test command a project file names unasked.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Hold components against their limits and queue those that break one.

    Exit code 1 when a limit is broken, or the tests fail; 5 when no run matches.
    """
    from refinery.workflows import perf_audit, repositories
    from refinery.workflows.test_runs import Ending
    from refinery.workflows.wiring import open_workspace

    request = perf_audit.AuditRequest(
        _frame(since, until, session=session, project=project),
        tuple(perf_audit.parse_limit(text) for text in limit or ()),
        test_command,
        repositories.find(repo),
    )
    ask = fix_view.confirmer(is_silent=json_output)
    workspace = open_workspace(repo, ctx.obj)
    found = perf_audit.run_audit(workspace, request, lambda named: yes or ask(named), output.note)
    output.emit(
        perf_view.audited_document(found),
        json_output,
        lambda screen: perf_view.show_audited(found, screen),
    )
    if not found.audit.components:
        raise typer.Exit(ExitCode.NOTHING)
    has_failed = found.tests is not None and found.tests.ending is not Ending.PASSED
    is_broken = bool(found.audit.violations) or has_failed
    raise typer.Exit(ExitCode.NEGATIVE if is_broken else ExitCode.DONE)


@app.command(
    **examples(
        "refinery perf queue", 'refinery perf queue --drop 3fa9c1d2 --reason "rarely called"'
    )
)
def queue(
    ctx: typer.Context,
    take: Annotated[
        str | None, typer.Option(metavar="ITEM", help="Take an item to work on it; or next.")
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="ITEM", help="Take an item out unmended.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is dropped.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Also those that left.")] = False,
    json_output: output.JsonOption = False,
) -> None:
    """List what audits found, the most urgent first; `refinery fix queue:next` takes one.

    Exit code 5 when the queue is empty.
    """
    from refinery.workflows import perf_audit
    from refinery.workflows.wiring import open_workspace

    if take and drop:
        raise InputError("an item is either taken or dropped", hint="give one of them")
    workspace = open_workspace(flags=ctx.obj)
    if take:
        items = [perf_audit.take(workspace, take)]
    elif drop:
        items = [perf_audit.drop(workspace, drop, reason)]
    else:
        items = perf_audit.queue_of(workspace, is_open=not every)
    output.emit(
        {"items": [perf_view.item_document(item) for item in items]},
        json_output,
        lambda screen: perf_view.show_queue(items, screen),
    )
    raise typer.Exit(ExitCode.DONE if items else ExitCode.NOTHING)


@app.command(**examples("refinery perf bench shop:old shop:new --scenario text --repeats 50"))
def bench(
    functions: Annotated[
        list[str], typer.Argument(metavar="MODULE:FUNCTION...", help="The first is the baseline.")
    ],
    scenario: Annotated[
        str, typer.Option(help="numeric, text, json, io or llm (a model on loopback).")
    ] = "numeric",
    repeats: Annotated[int, typer.Option(min=1, max=100_000, help="Measured calls of each.")] = 30,
    warm_up: Annotated[int, typer.Option(min=0, max=100_000, help="Calls before.")] = 3,
    json_output: output.JsonOption = False,
) -> None:
    """Compare functions of yours in a standard scenario; prints markdown.

    Your code is imported from the working directory and runs in this process.
    """
    from refinery.workflows import perf_bench

    found = perf_bench.bench(functions, scenario, warm_up=warm_up, repeats=repeats)
    output.emit(found.to_json(), json_output, lambda screen: perf_view.show_bench(found, screen))


def _frame(since: str | None, until: str | None, **fields: str | None) -> "Frame":
    from refinery.performance.frames import Frame
    from refinery.workflows import traces

    return Frame(
        since_ns=traces.since_ns(since) if since else None,
        until_ns=traces.since_ns(until) if until else None,
        **fields,
    )


def _other(text: str, **fields: str | None) -> "Frame":
    """The frame `SINCE..UNTIL` or `session:NAME` that another is compared with."""
    if text.startswith("session:"):
        return _frame(None, None, session=text.removeprefix("session:"), **fields)
    since, separator, until = text.partition("..")
    if not separator:
        raise InputError(
            f"cannot read the frame {text!r}", hint="write 14d..7d, ..2026-11-01 or session:NAME"
        )
    return _frame(since or None, until or None, **fields)
