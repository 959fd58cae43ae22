"""Records an agent: any Python command, or the repository's entry point with given inputs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import refinery
from refinery import home
from refinery.errors import BudgetError, InputError, RefineryError
from refinery.model.trace import Json
from refinery.workflows import gateway
from refinery.workflows.command_kind import is_recordable_python
from refinery.workflows.gateway import Passed
from refinery.workflows.leftovers import close_open_runs
from refinery.workflows.spool import drain_report, owned
from refinery.workflows.time_limit import TimeLimit
from refinery.workflows.wiring import Workspace

FORWARDED = tuple(
    number
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if (number := getattr(signal, name, None)) is not None
)
BOOT = Path(refinery.__file__).parent / "recorders" / "boot"
"""The folder with the `sitecustomize.py` that starts recording."""


class AgentDiedError(RefineryError):
    """The agent's process ended before it answered."""


@dataclass(frozen=True, slots=True)
class RecordedCommand:
    """A command that ran under recording."""

    exit_code: int
    """Its own exit code; 128 and the signal's number when a signal ended it."""
    runs: int
    trace_ids: tuple[str, ...]
    has_gateway: bool = False
    """Whether its model calls went through the gateway."""
    tapes: int = 0
    """Exchanges kept as they passed the gateway."""
    lost: int = 0
    """Runs and tapes of the gateway that could not be stored."""
    lost_reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """One run of the entry point."""

    trace_id: str | None
    """None when nothing was recorded (`REFINERY_RECORD=0`)."""
    status: str
    """`ok`, `error` or `cancelled`."""
    output: Json
    error: dict[str, str] | None
    """`type`, `message` and `stack` of what the entry point raised; None when it did not."""


def record_command(
    workspace: Workspace,
    command: Sequence[str],
    *,
    quiet: bool = False,
    with_gateway: bool | None = None,
) -> RecordedCommand:
    """Run a command with recording switched on in every Python process it starts.

    Model calls of a program that is no Python go through the gateway, see `replay.recording`.
    Standard input, output and error are the command's own; signals reach it. Runs that are open
    when the command has ended are closed, see `leftovers`.

    Args:
        workspace: where the traces go.
        command: program and arguments.
        quiet: send the command's standard output to standard error.
        with_gateway: whether to start the gateway; None: when the command is no Python program
            that recorders can be put into.

    Raises:
        InputError: the program cannot be started, or a base URL of the environment is wrong.
        StoreError: the traces cannot be stored; they stay in the spool.
    """
    around = dict(os.environ)
    if with_gateway is None:
        with_gateway = not is_recordable_python(command, around)
    passed = Passed()
    with _own_spool(workspace) as spool, _library() as library:
        environment = _recording_environment(dict(around), spool, library)
        with owned(spool):
            if with_gateway:
                with gateway.recording(workspace.store, command, around) as (variables, trace):
                    passed = trace.passed
                    exit_code = _run(command, environment | variables, quiet=quiet)
                    trace.exit_code = exit_code
            else:
                exit_code = _run(command, environment, quiet=quiet)
        drained = drain_report(spool, workspace.store, whole=True)
        close_open_runs(workspace.store, spool, drained.trace_ids, exit_code)
    said = (passed.trace_id,) if passed.trace_id else ()
    return RecordedCommand(
        exit_code=exit_code,
        runs=len(drained.run_ids | passed.run_ids),
        trace_ids=(*drained.trace_ids, *said),
        has_gateway=with_gateway,
        tapes=passed.tapes,
        lost=passed.lost,
        lost_reason=passed.reason,
    )


def record_inputs(
    workspace: Workspace,
    inputs: Sequence[Json],
    root: Path,
    *,
    time_limit_s: float | None = None,
) -> list[RecordedInput]:
    """Run the entry point of the settings once with each input, under recording.

    Args:
        workspace: settings (`[agent]`) and where the traces go.
        inputs: one JSON value a run, in order.
        root: the project's folder: working directory and first entry of `sys.path`.
        time_limit_s: longest time one run may take, the first including the agent's start; then
            the agent is ended. None: any time.

    Raises:
        InputError: no entry point is set, it cannot be imported, or its interpreter is missing.
        BudgetError: a run took longer than it may; what was recorded is stored.
        StoreError: the traces cannot be stored; they stay in the spool.
    """
    agent = workspace.settings.values.agent
    if not agent.entrypoint:
        raise InputError(
            "no entry point is set, so there is nothing to run",
            hint='put `[agent]` and `entrypoint = "module:callable"` into refinery.toml',
        )
    python = interpreter(agent.python, root)
    with _own_spool(workspace) as spool, _library() as library:
        job = {
            "target": agent.entrypoint,
            "arguments": [{"id": str(i), "argument": item} for i, item in enumerate(inputs)],
            "spool": str(spool),
            "project_root": str(root),
            "results": str(library / "results.jsonl"),
        }
        environment = agent_environment(agent.env, os.environ)
        environment["PYTHONPATH"] = _joined_path(str(library), environment.get("PYTHONPATH"))
        results = library / "results.jsonl"
        limit = TimeLimit(results, time_limit_s)
        exit_code = _run_entry(python, job, environment, root, limit)
        answers = _read_answers(results)
        drained = drain_report(spool, workspace.store, whole=True)
        close_open_runs(workspace.store, spool, drained.trace_ids, exit_code)
    if limit.is_over:
        raise BudgetError(
            f"the agent took longer than {time_limit_s:g} s for input {len(answers) + 1} of "
            f"{len(inputs)} and was ended",
            hint="give it more time with --time-limit; `refinery traces` lists what was recorded",
        )
    return _checked(answers, len(inputs), exit_code, agent.entrypoint)


def interpreter(setting: str | None, root: Path) -> str:
    """The interpreter that runs the agent: the setting relative to the project, else our own.

    Raises:
        InputError: there is no such program.
    """
    if not setting:
        return sys.executable
    path = Path(setting).expanduser()
    beside = root / path
    # A virtual environment's `python` is a link that must be called by its own name.
    found = str(beside) if beside.is_file() else shutil.which(setting)
    if found is None:
        raise InputError(
            f"the interpreter {setting!r} of [agent] python does not exist",
            hint=f"give a path relative to {root}, an absolute path, or a name on PATH",
        )
    return found


def agent_environment(entries: Sequence[str], base: Mapping[str, str]) -> dict[str, str]:
    """The environment of an agent that runs unconfined.

    It is the present one; an entry `NAME=value` sets a variable, and an entry `NAME`, which lets a
    variable into a sandbox, changes nothing here.
    """
    environment = dict(base)
    for entry in entries:
        name, equals, value = entry.partition("=")
        if equals:
            environment[name] = value
    return environment


def project_folder(start: Path) -> Path:
    """The folder an agent is run from: the nearest project root at or above a folder.

    Raises:
        InputError: the folder does not exist.
    """
    folder = start.resolve()
    if not folder.is_dir():
        raise InputError(f"{start} is no folder", hint="give the folder of the repository")
    return home.project_root(folder) or folder


@contextmanager
def _own_spool(workspace: Workspace) -> Iterator[Path]:
    """A spool folder of this command's own, so that it can tell what it recorded.

    It lies inside the project's spool: what a killed command leaves is found by the next drain.
    """
    folder = workspace.home / "spool" / f"record-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise InputError(
            f"cannot create {folder}: {error.strerror}", hint="set REFINERY_HOME to a folder"
        ) from error
    try:
        yield folder
    finally:
        with suppress(OSError):  # still in use by a process the command left behind
            (folder / "drain.lock").unlink(missing_ok=True)
            folder.rmdir()


@contextmanager
def _library() -> Iterator[Path]:
    """A folder holding nothing but our package, for interpreters that do not have it."""
    with tempfile.TemporaryDirectory(prefix="refinery-") as name:
        folder = Path(name)
        (folder / "refinery").symlink_to(Path(refinery.__file__).resolve().parent)
        yield folder


def _recording_environment(
    environment: dict[str, str], spool: Path, library: Path
) -> dict[str, str]:
    found = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = _joined_path(str(BOOT), str(library), found)
    environment["REFINERY_SPOOL"] = str(spool)
    return environment


def _joined_path(*parts: str | None) -> str:
    return os.pathsep.join(part for part in parts if part)


def _run(command: Sequence[str], environment: Mapping[str, str], *, quiet: bool) -> int:
    """Run a command to its end, passing signals on; returns its exit code."""
    try:
        child = subprocess.Popen(
            list(command), env=dict(environment), stdout=sys.stderr.fileno() if quiet else None
        )
    except OSError as error:
        raise InputError(
            f"cannot run {command[0]!r}: {error.strerror}",
            hint="give a program and its arguments: refinery record -- python app.py",
        ) from error
    with _forwarding(child):
        code = child.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _forwarding(child: "subprocess.Popen[Any]") -> Iterator[None]:
    """Pass signals on to the child for as long as it runs.

    A terminal sends its interrupt to the whole foreground group, so the child has it already.
    """

    def forward(number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT) and _is_foreground():
            return
        with suppress(OSError):
            child.send_signal(number)

    before = {}
    for number in FORWARDED:
        with suppress(ValueError, OSError):  # not the main thread: signals are not ours
            before[number] = signal.signal(number, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _is_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _run_entry(
    python: str,
    job: Mapping[str, Json],
    environment: Mapping[str, str],
    root: Path,
    limit: TimeLimit,
) -> int:
    """Run the entry program with a job; what the agent prints goes to standard error."""
    program = Path(refinery.__file__).parent / "recorders" / "entry.py"
    try:
        child = subprocess.Popen(
            [python, str(program)],
            env=dict(environment),
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
        )
    except OSError as error:
        raise InputError(
            f"cannot run {python!r}: {error.strerror}", hint="check [agent] python"
        ) from error
    with _forwarding(child):
        if child.stdin is not None:
            with suppress(BrokenPipeError), child.stdin:
                child.stdin.write(json.dumps(job, ensure_ascii=False).encode("utf-8", "replace"))
        return limit.wait(child)


def _read_answers(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [json.loads(line) for line in lines if line]


def _checked(
    answers: Sequence[Mapping[str, Any]], wanted: int, exit_code: int, target: str
) -> list[RecordedInput]:
    """The answers as results, when there is one for each input."""
    for answer in answers:
        if answer["status"] == "unimportable":
            stack = str(answer["error"].get("stack", "")).strip().splitlines()
            raise InputError(
                f"entry point {target!r}: {answer['error']['message']}",
                hint=f"{stack[-1]} — check [agent] entrypoint and python; in a src layout add "
                '"PYTHONPATH=src" to [agent] env'
                if stack
                else "check [agent] entrypoint",
            )
    if exit_code == -signal.SIGINT:
        raise KeyboardInterrupt
    if len(answers) < wanted:
        raise AgentDiedError(
            f"the agent's process ended with exit code {exit_code} after {len(answers)} of "
            f"{wanted} inputs",
            hint="its own messages are above; `refinery traces` lists what was recorded",
        )
    return [
        RecordedInput(item["trace_id"], item["status"], item["output"], item["error"])
        for item in answers
    ]
