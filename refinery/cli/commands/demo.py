"""Watch a whole fix: a failing agent, its cause, a proven commit, the undo."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import demo_view, fix_view, output
from refinery.errors import ExitCode

if TYPE_CHECKING:
    from refinery.workflows.fix_outcome import FixOutcome

EPILOG = """Examples:

  refinery demo --yes

  refinery demo /tmp/agent --yes --json
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="New folder for the agent's repository.")
    ] = Path("refinery-demo"),
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Replay without a sandbox; this call only.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Commit the proven fix without asking.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Watch a whole fix: a failing agent, its cause, a proven commit, the undo.

    Needs no key and no network. Writes nothing outside the new folder.
    """
    from refinery import clock
    from refinery.demo import model, story
    from refinery.workflows.fix import FixRequest, fix
    from refinery.workflows.fix_outcome import to_document

    started_s = clock.monotonic_s()
    screen = output.console()
    asks = not yes and not json_output and sys.stdin.isatty()
    repository = story.make_repository(folder)
    if not json_output:
        demo_view.introduce(folder, screen)
    with model.serve() as base_url, story.environment(base_url):
        workspace = story.open_demo(repository, ctx.obj)
        answered = story.record_and_label(workspace, repository)
        if not json_output:
            demo_view.show_answers(answered, screen)
        failing = workspace.store.get_trace(answered[0].trace_id)
        assert failing is not None  # written by the line above
        request = FixRequest(trace=failing, repository=repository, unsandboxed=unsandboxed)
        ask = fix_view.asker(yes=yes, is_silent=json_output)
        outcome = fix(workspace, request, ask, output.note if sys.stderr.isatty() else _silent)
    document = {**to_document(outcome), "repository": str(repository)}

    def render(_: object) -> None:
        if not asks:  # who was asked has seen the evidence already
            demo_view.show_evidence(outcome, screen)
        demo_view.show_change(outcome, folder, clock.monotonic_s() - started_s, screen)

    output.emit(document, json_output, render)
    raise typer.Exit(_exit_code(outcome))


def _exit_code(outcome: "FixOutcome") -> ExitCode:
    if outcome.change:
        return ExitCode.DONE
    return ExitCode.REFUSED if outcome.chosen else ExitCode.NEGATIVE


def _silent(line: str) -> None:
    """Without a terminal progress is left out: the story is told from the outcome."""
