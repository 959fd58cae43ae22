"""Record an agent: any program, or the repository's entry point.

`refinery record -- COMMAND` ends with the command's own exit code. `refinery record --input …`
ends with 0, or 1 when a run ended in an error.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refinery.cli import output
from refinery.cli.help import examples
from refinery.errors import ExitCode, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from refinery.workflows.record import RecordedCommand, RecordedInput

SETTINGS = {
    "context_settings": {"allow_interspersed_args": False},
    **examples(
        "refinery record -- python app.py --its own --arguments",
        "refinery record -- node app.mjs",
        """refinery record --input '{"question": "When are you open?"}'""",
    ),
}
SHORT = 18
"""Characters of a trace id shown to people: its time in milliseconds and 12 random bits."""


def command(
    ctx: typer.Context,
    program: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND…]", help="Program to run under recording; its code is unchanged."
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="JSON|@FILE",
            help="Run the entry point once with this argument; may be given several times.",
        ),
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option(help="Repository of the agent; default: the one around this folder."),
    ] = None,
    gateway: Annotated[
        bool | None,
        typer.Option(
            "--gateway/--no-gateway",
            help="Record model calls on their way through a local gateway; default: when the "
            "command is no Python program.",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help="Longest time the entry point may take for one --input; then it is ended.",
        ),
    ] = None,
    json_output: output.JsonOption = False,
) -> None:
    """Record an agent: any program, or the repository's entry point.

    `refinery record -- python app.py` runs a program; the exit code is the program's own. Python
    programs are recorded from inside; others (`-- node app.js`) as they ask models through a
    local gateway, which OPENAI_BASE_URL and ANTHROPIC_BASE_URL lead them to.

    `refinery record --input '"hello"'` runs `[agent] entrypoint` of refinery.toml once.
    """
    if bool(program) == bool(inputs):
        raise InputError(
            "give either a command or --input",
            hint="refinery record -- python app.py, or: refinery record --input '\"hello\"'",
        )
    if program:
        if time_limit is not None:
            raise InputError(
                "--time-limit is for --input", hint="end a command yourself: timeout 60 COMMAND"
            )
        _record_command(ctx, _Command(program, gateway), repo, json_output)
    else:
        if gateway is not None:
            raise InputError("--gateway is for commands", hint="leave it out with --input")
        _record_inputs(ctx, _Inputs(inputs or [], time_limit), repo, json_output)


@dataclass(frozen=True, slots=True)
class _Command:
    program: Sequence[str]
    with_gateway: bool | None


@dataclass(frozen=True, slots=True)
class _Inputs:
    texts: Sequence[str]
    time_limit_s: float | None


def _record_command(
    ctx: typer.Context, command: _Command, repo: Path | None, json_output: bool
) -> None:
    from refinery.workflows import record, wiring

    workspace = wiring.open_workspace(repo, {"store": ctx.obj["store"]})
    done = record.record_command(
        workspace, command.program, quiet=json_output, with_gateway=command.with_gateway
    )
    _tell(done)
    document = {
        "exit_code": done.exit_code,
        "runs": done.runs,
        "trace_ids": list(done.trace_ids),
        "gateway": done.has_gateway,
        "tapes": done.tapes,
        "lost": done.lost,
    }
    output.emit(document, json_output, lambda _: None)
    raise typer.Exit(done.exit_code)


def _tell(done: "RecordedCommand") -> None:
    """Say on standard error what was recorded."""
    if done.trace_ids:
        short = ", ".join(_short(done.trace_ids[-5:]))
        more = "… " if len(done.trace_ids) > 5 else ""
        output.note(
            f"refinery: recorded {_count(len(done.trace_ids), 'trace')} with "
            f"{_count(done.runs, 'run')}: {more}{short}"
        )
    elif done.has_gateway:
        output.note(
            "refinery: nothing was recorded; does the program use OPENAI_BASE_URL or "
            "ANTHROPIC_BASE_URL from its environment?"
        )
    else:
        output.note(
            "refinery: nothing was recorded; is it a Python program that uses LangChain, "
            "LangGraph, openai or anthropic? Others: refinery record --gateway -- COMMAND"
        )
    if done.lost:
        output.note(f"refinery: {done.lost} records were lost ({done.lost_reason})")


def _record_inputs(
    ctx: typer.Context, inputs: _Inputs, repo: Path | None, json_output: bool
) -> None:
    from refinery.workflows import record, wiring

    arguments = [_argument(text) for text in inputs.texts]
    root = record.project_folder(repo or Path.cwd())
    workspace = wiring.open_workspace(root, {"store": ctx.obj["store"]})
    results = record.record_inputs(workspace, arguments, root, time_limit_s=inputs.time_limit_s)
    runs = [_document(result) for result in results]
    document = {**runs[0], "runs": runs} if len(runs) > 1 else runs[0]
    output.emit(document, json_output, lambda console: _draw(console, results))
    if any(result.status != "ok" for result in results):
        raise typer.Exit(ExitCode.NEGATIVE)


def _argument(text: str) -> Any:
    """The JSON value of an `--input`, read from a file when it begins with `@`."""
    where = "--input"
    if text.startswith("@"):
        where = text[1:]
        try:
            text = Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {where}: {error}", hint="give @ and a file") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where} is not JSON: {error}", hint="a text needs quotes: --input '\"hello\"'"
        ) from error


def _document(result: "RecordedInput") -> dict[str, Any]:
    document: dict[str, Any] = {
        "trace_id": result.trace_id,
        "status": result.status,
        "output": result.output,
    }
    if result.error:
        document["error"] = {key: result.error[key] for key in ("type", "message")}
    return document


def _draw(console: "Console", results: "Sequence[RecordedInput]") -> None:
    from refinery.model.messages import answer_text

    for result in results:
        if result.error:
            console.print(output.safe(f"{result.error['type']}: {result.error['message']}"))
        else:
            console.print(output.safe(answer_text(result.output)))
        output.note(f"refinery: trace {(result.trace_id or '-')[:SHORT]} {result.status}")


def _short(trace_ids: Sequence[str]) -> list[str]:
    """Beginnings of ids, long enough to tell them apart."""
    length = SHORT
    while length < 36 and len({trace_id[:length] for trace_id in trace_ids}) < len(trace_ids):
        length += 1
    return [trace_id[:length] for trace_id in trace_ids]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
