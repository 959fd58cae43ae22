"""Mend a wrong answer in plain words, step by step."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import guide_view, output
from refinery.errors import ExitCode, InputError, RefineryError

if TYPE_CHECKING:
    from refinery.workflows.guide.engine import Guide
    from refinery.workflows.guide.pages import Page
    from refinery.workflows.guide.session import Session
    from refinery.workflows.wiring import Workspace

EPILOG = """Examples:

  refinery guide

  refinery guide latest-failed

  refinery guide --undo "price of the red lamp"

  refinery guide --script answers.yaml --json
"""
SETTINGS = {"epilog": EPILOG}
KEPT = "Your answers are kept. Go on where you stopped with: refinery guide"
_CODES = {
    "done": ExitCode.DONE,
    "undone": ExitCode.DONE,
    "undo_left": ExitCode.DONE,
    "handed": ExitCode.NEGATIVE,
    "stopped": ExitCode.NEGATIVE,
    "undo_pick": ExitCode.NOTHING,
    "undo_failed": ExitCode.REFUSED,
}


def command(
    ctx: typer.Context,
    trace: Annotated[
        str | None,
        typer.Argument(help="The conversation: id, unique prefix, latest-failed, file or URL."),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    undo: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Take a fix out again, named by its conversation."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin anew; older answers stay.")] = False,
    script: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answers from a YAML file; nobody is asked."),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Mend a wrong answer in plain words, step by step.

    You need not read code: pick a conversation, say what would be right, see what a fix does to
    the answers, approve it or hand it over. Answers are kept after each step. Exit code 1: nothing
    was put into effect.
    """
    from refinery.workflows.wiring import open_workspace

    if json_output and script is None:
        raise InputError(
            "--json needs a script: there is nobody to ask", hint="add --script answers.yaml"
        )
    if script is None and not sys.stdin.isatty():
        raise InputError(
            "the guide asks questions and needs a terminal", hint="add --script answers.yaml"
        )
    workspace = open_workspace(repo, ctx.obj)
    try:
        if script is not None:
            page = _by_script(workspace, (trace, undo, repo), script, json_output=json_output)
        else:
            page = _in_terminal(workspace, (trace, undo, repo), new=new)
    except guide_view.LeftError:
        with suppress(OSError):  # nobody reads it when the terminal is gone
            sys.stdout.write("\n")
            output.note(KEPT)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    raise typer.Exit(_CODES.get(page.step, ExitCode.NEGATIVE))


def _by_script(
    workspace: "Workspace",
    asked: tuple[str | None, str | None, Path | None],
    path: Path,
    *,
    json_output: bool,
) -> "Page":
    from refinery.workflows.guide import script

    said = script.read(path)
    guide = _begin(workspace, asked)
    page = script.play(guide, said, output.note)
    output.emit(
        guide.to_document(),
        json_output,
        lambda screen: guide_view.show(page, guide.remark, screen),
    )
    return page


def _in_terminal(
    workspace: "Workspace", asked: tuple[str | None, str | None, Path | None], *, new: bool
) -> "Page":
    screen = output.console()
    kept = None if new or asked[1] is not None else _unfinished(workspace, asked[0])
    guide = _go_on(workspace, kept, asked) if kept else None
    screen.print(guide_view.WELCOME, style="dim")
    try:
        return guide_view.play(guide or _begin(workspace, asked), screen)
    except RefineryError:
        output.note(KEPT)
        raise


def _begin(workspace: "Workspace", asked: tuple[str | None, str | None, Path | None]) -> "Guide":
    from refinery.workflows import traces
    from refinery.workflows.guide import engine

    name, words, repo = asked
    if words is not None:
        return engine.undo(workspace, words, repository=repo)
    trace = traces.resolve(workspace, name) if name else None
    return engine.start(workspace, trace=trace, repository=repo)


def _unfinished(workspace: "Workspace", name: str | None) -> "Session | None":
    from refinery.workflows import traces
    from refinery.workflows.guide import session

    trace_id = traces.resolve(workspace, name).trace_id if name else None
    return session.unfinished(workspace.home, trace_id)


def _go_on(
    workspace: "Workspace",
    kept: "Session",
    asked: tuple[str | None, str | None, Path | None],
) -> "Guide | None":
    """The session that was left, when the person wants to go on with it."""
    from refinery.workflows.guide import conversation, engine

    trace = workspace.store.get_trace(kept.trace_id) if kept.trace_id else None
    if kept.trace_id and trace is None:
        return None
    if asked[0] is not None:
        return engine.resume(workspace, kept, repository=asked[2])
    about = f" about “{output.safe(conversation.title(trace))}”" if trace else ""
    while True:
        sys.stdout.write(f"You stopped in the middle of a session{about}. Go on with it? [yes]\n")
        try:
            said = input("> ").strip().casefold()
        except (EOFError, KeyboardInterrupt, OSError):
            raise guide_view.LeftError from None
        if said in ("", "y", "yes"):
            return engine.resume(workspace, kept, repository=asked[2])
        if said in ("n", "no"):
            return None
        sys.stdout.write("Please type yes or no.\n")
