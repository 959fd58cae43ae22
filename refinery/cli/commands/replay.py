"""Run a recorded trace again: as it was, or with another model, prompt or value."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinery.cli import output
from refinery.cli.arguments import TraceArgument
from refinery.errors import ExitCode, InputError

if TYPE_CHECKING:
    from refinery.model.trace import Trace
    from refinery.replay.variation import Matrix
    from refinery.workflows.what_if import WhatIfOutcome, WhatIfRequest
    from refinery.workflows.wiring import Workspace

EPILOG = """Examples:

  refinery replay latest

  refinery replay 3f2a --model gpt-5-mini,gpt-5-nano --temperature 0,1

  refinery replay 3f2a --prompt prompts/new.md --at respond

  refinery replay 3f2a --set 'search.output.documents.0.page_content=30 days'

  refinery replay 3f2a --at respond --model anthropic:claude-haiku-4-5 --alone
"""
SETTINGS = {"epilog": EPILOG}


def command(
    ctx: typer.Context,
    trace: TraceArgument,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Another model, or several with commas."),
    ] = None,
    temperature: Annotated[
        str | None, typer.Option(help="Another temperature, or several with commas.")
    ] = None,
    max_tokens: Annotated[
        str | None, typer.Option(help="Another limit of an answer's tokens, or several.")
    ] = None,
    prompt: Annotated[
        list[Path] | None,
        typer.Option(help="File with another system prompt; {name} is filled as recorded."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STEP.input.PATH=VALUE", help="Another recorded value."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="STEP", help="Change this model step only.")
    ] = None,
    from_step: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="Everything before it is from the recording."),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Ask the one model call only; run no code.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Endpoint of a call asked alone.")
    ] = None,
    max_runs: Annotated[
        int | None, typer.Option(min=0, help="Most live model requests, all together.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="USD", help="Most money for live requests.")
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(help="Repository of the agent; default: this folder's.")
    ] = None,
    unsandboxed: Annotated[
        bool, typer.Option(help="Run the agent without a sandbox; for this call only.")
    ] = False,
    json_output: output.JsonOption = False,
) -> None:
    """Run a recorded trace again: as it was, or with another model, prompt or value.

    The agent's code of the recorded commit runs in a sandbox; models, tools and retrievers
    answer from the recording. A request that is changed goes to the agent's own model; without
    one it stays unanswered. The original is never changed; each variation is a trace of its own.

    Exit code 1 when an exact replay differs, or when no variation has a result; 3 when only
    some have one.
    """
    from refinery.replay.variation import Matrix
    from refinery.workflows import traces
    from refinery.workflows.replay import require_repository
    from refinery.workflows.what_if import WhatIfRequest
    from refinery.workflows.wiring import open_workspace

    require_repository(repo)
    matrix = Matrix(
        models=tuple(_words(",".join(model or ()))),
        temperatures=tuple(_number(text, "--temperature") for text in _words(temperature)),
        max_tokens=tuple(int(_number(text, "--max-tokens")) for text in _words(max_tokens)),
        prompts=tuple((path.name, _read(path)) for path in prompt or ()),
        settings=tuple(setting or ()),
    )
    request = WhatIfRequest(repo, unsandboxed, alone=alone, base_url=base_url, budget_usd=budget)
    workspace = open_workspace(repo, ctx.obj)
    found = traces.resolve(workspace, trace)
    if matrix == Matrix() and not alone and _is_program(workspace, found):
        _replay_exactly(workspace, found, request, from_step, json_output=json_output)
        return
    if at and from_step:
        raise InputError("--at and --from name different things", hint="give one of them")
    if max_runs is not None:
        from dataclasses import replace

        request = replace(request, max_requests=max_runs)
    outcome = _vary(workspace, found, matrix, (at, from_step), request)
    if not outcome.are_all_answered:
        some = any(cell.is_answered for cell in outcome.cells)
        _show(outcome, json_output)
        raise typer.Exit(ExitCode.PARTIAL if some else ExitCode.NEGATIVE)
    _show(outcome, json_output)


def _is_program(workspace: "Workspace", trace: "Trace") -> bool:
    """Whether the trace can be run again as a whole, or holds nothing else that could be."""
    from refinery.model.trace import RunKind
    from refinery.replay.tape import entry_point, with_entry

    root = with_entry(trace, workspace.settings.values.agent.entrypoint).root
    entry = entry_point(root) if root else None
    calls = [run for run in trace.runs if run.kind is RunKind.LLM]
    return not calls or entry is not None


def _replay_exactly(
    workspace: "Workspace",
    trace: "Trace",
    asked: "WhatIfRequest",
    from_step: str | None,
    *,
    json_output: bool,
) -> None:
    from refinery.cli import replay_view
    from refinery.workflows.replay import ReplayRequest, replay_trace, to_document

    request = ReplayRequest(asked.repository, asked.unsandboxed, from_step)
    outcome = replay_trace(workspace, trace, request)
    output.emit(
        to_document(outcome), json_output, lambda screen: replay_view.show_exact(outcome, screen)
    )
    if not outcome.is_same:
        raise typer.Exit(ExitCode.NEGATIVE)


def _vary(
    workspace: "Workspace",
    trace: "Trace",
    matrix: "Matrix",
    places: tuple[str | None, str | None],
    request: "WhatIfRequest",
) -> "WhatIfOutcome":
    from dataclasses import replace

    from refinery.replay.variation import combined
    from refinery.workflows.what_if import what_if

    at, start = places
    variations = [replace(one, at=at, start=start) for one in combined(matrix)]
    return what_if(workspace, trace, variations, request, output.note)


def _show(outcome: "WhatIfOutcome", json_output: bool) -> None:
    from refinery.cli import replay_view
    from refinery.workflows.what_if import to_document

    output.emit(
        to_document(outcome),
        json_output,
        lambda screen: replay_view.show_what_if(outcome, screen),
    )


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise InputError(f"{option} {text!r} is no number from 0 up", hint="e.g. 0,0.7,1")
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="give a UTF-8 text") from error
