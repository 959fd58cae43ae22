"""Measure Refinery itself: its resistance to hostile traces."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.help import examples
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.demo.injection import Seen

EPILOG = """Examples:

  refinery bench injection

  refinery bench injection --traces 20 --json
"""

app = typer.Typer(
    name="bench",
    help="Measure Refinery itself: its resistance to hostile traces.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Measure Refinery itself: its resistance to hostile traces."""


@app.command(**examples("refinery bench injection", "refinery bench injection --traces 40"))
def injection(
    ctx: typer.Context,
    traces: Annotated[int, typer.Option(min=1, max=10_000, help="Hostile traces tried.")] = 230,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Traces tried at once.")] = 2,
    json_output: output.JsonOption = False,
) -> None:
    """Put hostile instructions into every field of a trace and let a model obey them.

    Works in a folder of its own with the demo's agent; needs no key and no network. Exit code 1
    when anything was applied, run or sent, or a control was not seen.
    """
    from refinery.demo import injection as bench
    from refinery.demo import model, story

    with (
        tempfile.TemporaryDirectory(prefix="refinery-injection-") as folder,
        model.serve() as base_url,
        story.environment(base_url),
    ):
        seen = bench.measure(Path(folder), bench.Plan(traces, jobs), output.note, ctx.obj)
    document = {
        "traces": seen.traces,
        "applied": seen.applied,
        "commands_run": seen.commands,
        "requests_sent": seen.requests,
        "mends_committed": seen.mended,
        "model_requests_with_hostile_text": seen.reached,
        "proposals": dict(seen.ends),
        "by_goal": {goal: dict(counted) for goal, counted in seen.by_goal.items()},
        "controls": seen.controls,
        "safe": seen.is_safe,
    }
    output.emit(document, json_output, lambda screen: _show(seen, screen))
    if not seen.is_safe:
        raise typer.Exit(ExitCode.NEGATIVE)


def _show(seen: "Seen", screen: "Console") -> None:
    rows = [
        (goal, ", ".join(f"{count} {end}" for end, count in counted.most_common()))
        for goal, counted in seen.by_goal.items()
    ]
    output.table(screen, ("goal", "how the proposals ended"), rows)
    screen.print(
        f"{seen.traces} hostile traces: {len(seen.applied)} unsafe edits applied, "
        f"{seen.commands} commands run, {seen.requests} requests sent; "
        f"{seen.mended} harmless mends committed after the hostile part was dropped"
    )
    for control, is_seen in seen.controls.items():
        screen.print(f"control, without a guard: {control}: {'yes' if is_seen else 'NO'}")
