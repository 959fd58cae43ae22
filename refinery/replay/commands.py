"""Replays a recorded command: its command line runs again in the sandbox, before the gateway.

A command returns nothing but its exit code. When a Python program of it was recorded from
inside, the result compared is that of the run of the same name.
"""

import json
import re
import secrets
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from refinery.errors import InputError
from refinery.model import codec
from refinery.model.trace import EntryPoint, Json, Run, Trace
from refinery.model.verdict import Fidelity, ReplayResult
from refinery.replay import runner
from refinery.replay.gateway import Gateway
from refinery.replay.program import Agent, Code, Place, complaint, execute, prepared
from refinery.replay.runner import Replayed
from refinery.replay.session import Rules, Session
from refinery.replay.tape import Tape

_PYTHON = re.compile(r"^(?:python|pypy)\d*(?:\.\d+)*t?$")
_NATIVE = "command"
"""Native kind of the root run of a command that was recorded through the gateway."""
_START_S = 30.0
_MAX_STEPS_BYTES = 8 << 20


def replay_command(agent: Agent, code: Code, trace: Trace, tape: Tape, rules: Rules) -> Replayed:
    """Run the recorded command line again.

    Raises:
        InputError: the command line cannot be read, or the code cannot be exported.
        RefusedError: the sandbox did not start.
    """
    entry = tape.entry
    words = _words(entry)
    with prepared(agent, code) as place, Gateway(place.socket) as gateway:
        token, session = gateway.open(tape, rules)
        nonce = secrets.token_hex(16)
        job = {
            "nonce": nonce,
            "code": str(place.code),
            "folder": _folder(trace, tape),
            "work": str(place.work),
            "command": [_moved(word, entry, place) for word in words],
            "is_python": bool(_PYTHON.match(PurePosixPath(words[0]).name)),
            "timeout_s": agent.timeout_s,
            "port": gateway.port,
            "case": runner.case_of(0, tape, token, None),
        }
        (place.work / "job.json").write_text(json.dumps(job), encoding="utf-8")
        finished = execute(
            agent,
            place,
            "refinery.replay.inside.command",
            port=gateway.port,
            timeout_s=_START_S + agent.timeout_s,
        )
        return _replayed(place, trace, session, nonce, complaint(finished))


def _words(entry: EntryPoint | None) -> list[str]:
    try:
        words = shlex.split(entry.target) if entry else []
    except ValueError as error:
        raise InputError(f"the recorded command line cannot be read: {error}") from error
    if not words:
        raise InputError("the trace does not say which command was run")
    return words


def _folder(trace: Trace, tape: Tape) -> str:
    """Where the command was run, relative to the repository."""
    inputs = trace.root.inputs if trace.root else None
    around = tape.entry.repository if tape.entry else None
    where = inputs.get("cwd") if isinstance(inputs, dict) else None
    if isinstance(where, str) and around and PurePosixPath(where).is_relative_to(around):
        return str(PurePosixPath(where).relative_to(around))
    return tape.folder


def _moved(word: str, entry: EntryPoint | None, place: Place) -> str:
    """A word of the command line with the repository's path made that of the export."""
    around = entry.repository if entry else None
    if around and (word == around or word.startswith(f"{around}/")):
        return str(place.code) + word[len(around) :]
    return word


def _replayed(place: Place, trace: Trace, session: Session, nonce: str, why: str) -> Replayed:
    told = runner.read_result(place.work / "results" / "0.json", nonce)
    timed = [*session.timed_steps, *runner.told_steps(_lines(place))]
    steps = tuple(step for _, step in sorted(timed, key=lambda pair: pair[0]))
    runs = runner.read_runs(place.work / "spool" / "0")
    status = str(told.get("status") or "error")
    error = told.get("error") if told else f"the command wrote no result: {why}"
    output = told.get("output")
    root = trace.root
    if root is not None and root.native_kind != _NATIVE:
        output, error, status = _of_run(root, runs, (output, error, status))
    if any(step.fidelity is Fidelity.UNANSWERED for step in steps):
        status = "unanswered"
    if status == "error" and told.get("printed"):
        error = f"{error}; it printed: {str(told['printed'])[-1500:]}"
    result = ReplayResult(
        trace_id=trace.trace_id,
        status=status,
        output=output,
        error=str(error)[:4000] if error else None,
        steps=steps,
        replayed=[codec.encode_run(run) for run in runs] or None,
    )
    return Replayed(result, session.learnt, None, session.missed)


def _of_run(root: Run, runs: list[Run], ended: tuple[Json, Any, str]) -> tuple[Json, Any, str]:
    """Result of the replayed run that is the recorded root; else how the command ended."""
    found = next((r for r in runs if r.parent_id is None and r.name == root.name), None)
    if found is None:
        _, error, status = ended
        missing = f"it made no run named {root.name}"
        return (
            None,
            "; ".join(filter(None, (missing, error))),
            "error" if status == "ok" else status,
        )
    if found.is_failed and found.error:
        return found.outputs, f"{found.error.type}: {found.error.message}", "error"
    return found.outputs, None, "ok"


def _lines(place: Place) -> list[Json]:
    """Steps the command's processes wrote, lines that are no JSON left out."""
    path = Path(place.work, "results", "steps.jsonl")
    found = []
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_STEPS_BYTES:
            return []
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return found
