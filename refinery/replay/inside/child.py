"""The process that replays: imports the agent once, then runs each case in a fork of itself.

    python -m refinery.replay.inside.child JOB

The job (see `runner`) is a JSON file in the work folder; it is deleted when read. Each case
writes `results/<index>.json`: `{"nonce", "status", "output", "error", "steps", "refused"}`, where
`steps` are `[time in ns, name, kind, fidelity, recorded run id, detail]`. An agent that starts
threads when imported cannot be forked safely; its cases then import it anew, one process each.
"""

import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinery.recorders import draws, entry
from refinery.replay.inside import tape_clock
from refinery.replay.inside.chance import RecordedDraws
from refinery.replay.inside.functions import Functions
from refinery.replay.inside.models import Models
from refinery.replay.inside.redirect import Redirect
from refinery.replay.inside.stand_in import StandIns
from refinery.replay.inside.tape_clock import TapeClock
from refinery.replay.inside.under_test import UnderTest

TIMEOUT, ERROR = "timeout", "error"
MOST_AT_ONCE = 4
"""Cases run at the same time: they mostly wait for a model, and share the imported pages."""
_POLL_S = 0.005
_GRACE_S = 0.5


@dataclass(slots=True)
class Process:
    """What is set up once: the interception, and the agent when it could be imported."""

    job: dict[str, Any]
    redirect: Redirect
    stand_ins: StandIns
    models: Models
    clock: TapeClock
    target: entry.Target | None = None
    error: str = ""
    """Why the agent could not be imported."""


@dataclass(slots=True)
class Steps:
    """Steps of one case as they happen."""

    found: list[list[Any]] = field(default_factory=list)

    def log(self, name: str, kind: str, fidelity: str, run_id: str | None, detail: str) -> None:
        """Keep one step, with its time."""
        self.found.append([tape_clock.real_ns(), name, kind, fidelity, run_id, detail])


def main(arguments: list[str]) -> int:
    """Run the job; returns the exit code, which is 0 whatever came of its cases."""
    path = Path(arguments[0])
    job: dict[str, Any] = json.loads(path.read_bytes())
    path.unlink()
    process = _prepare(job)
    if process.target is None:
        for case in job["cases"]:
            _write(job, case, {"status": ERROR, "error": process.error})
        return 0
    if len(job["cases"]) == 1 and job.get("is_single"):
        _run_case(process, job["cases"][0])
        return 0
    forks = threading.active_count() == 1
    _run_all(process, forks=forks)
    return 0


def _prepare(job: dict[str, Any]) -> Process:
    """Enter the repository, put the interception in place, import the agent."""
    code = Path(job["code"])
    folder = code / job["folder"]
    os.chdir(folder)
    listed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    beside = [str(folder / part) for part in listed if part and not os.path.isabs(part)]  # noqa: PTH117
    sys.path[0:1] = [str(folder), *beside]  # relative entries count from the project's folder
    sys.argv = [job["target"]]
    os.environ["REFINERY_RECORD"] = "0"  # the agent's own `record()` must wait for its case
    draws.install()
    clock = TapeClock()
    clock.install()
    redirect = Redirect(job["port"])
    redirect.install()
    stand_ins = StandIns(UnderTest(code, job["touched"], job["live"]))
    stand_ins.install()
    Functions(stand_ins).install()
    models = Models(redirect)
    models.install()
    process = Process(job, redirect, stand_ins, models, clock)
    try:
        with _nothing_collected():
            process.target = entry.load_target(job["target"])
    except entry.TargetError as error:
        process.error = f"{error}{_place_of(error.__cause__, code)}"
        if redirect.refused:
            process.error += f"; refused connections: {', '.join(redirect.refused)}"
    return process


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """No search for garbage in a block of imports, and none later in what they made.

    Imports leave next to no garbage, and looking for it takes a sixth of their time; a fork that
    looks through what it shares with its parent copies every page of it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _place_of(error: BaseException | None, code: Path) -> str:
    """The last line of the agent's code in a traceback, as ` (file:line)`; empty when none."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(code)]
    return f" ({Path(own[-1].filename).relative_to(code)}:{own[-1].lineno})" if own else ""


def _run_all(process: Process, *, forks: bool) -> None:
    """Run every case in a process of its own, a few at a time, each with its own time limit."""
    waiting = list(process.job["cases"])
    running: dict[int, tuple[dict[str, Any], float]] = {}
    while waiting or running:
        while waiting and len(running) < MOST_AT_ONCE:
            case = waiting.pop(0)
            pid = _fork(process, case) if forks else _spawn(process.job, case)
            running[pid] = (case, time.monotonic() + process.job["timeout_s"])
        _reap(process.job, running)
        time.sleep(_POLL_S)


def _reap(job: dict[str, Any], running: dict[int, tuple[dict[str, Any], float]]) -> None:
    """Take note of cases that ended, and end those whose time is up."""
    for pid, (case, deadline) in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended and time.monotonic() < deadline:
            continue
        del running[pid]
        _kill(pid, is_running=not ended)
        if not ended:
            _write(job, case, {"status": TIMEOUT, "error": f"longer than {job['timeout_s']} s"})
        elif not _result_path(job, case).exists():
            code = os.waitstatus_to_exitcode(status)
            said = f"signal {-code}" if code < 0 else f"exit code {code}"
            _write(job, case, {"status": ERROR, "error": f"the agent's process ended: {said}"})


def _kill(pid: int, *, is_running: bool) -> None:
    """End a case's process group, children it left behind included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if is_running:
        os.waitpid(pid, 0)


def _fork(process: Process, case: dict[str, Any]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        for other in process.job["cases"]:
            if other is not case:
                other.clear()  # the agent must not find what lets it write another's result
        _run_case(process, case)
        sys.stdout.flush()
        sys.stderr.flush()
        code = 0
    finally:
        os._exit(code)  # the interpreter's own ending belongs to the parent


def _spawn(job: dict[str, Any], case: dict[str, Any]) -> int:
    """A fresh process for one case; it becomes a group of its own."""
    single = {**job, "cases": [case], "is_single": True}
    path = Path(job["work"]) / f"job-{case['index']}.json"
    path.write_text(json.dumps(single), encoding="utf-8")
    command = [sys.executable, "-m", "refinery.replay.inside.child", str(path)]
    here = Path.cwd()
    os.chdir(job["work"])  # where `-m` looks first: not among the agent's files
    try:
        return os.posix_spawn(sys.executable, command, dict(os.environ), setsid=True)
    finally:
        os.chdir(here)


def _run_case(process: Process, case: dict[str, Any]) -> None:
    """Run the agent once and write what came of it."""
    for other in process.job["cases"]:
        if other is not case:
            other.clear()  # the agent must not find what would let it write another's result
    for earlier in case.get("before") or ():
        _run_once(process, earlier, Steps())  # leaves the conversation's state as it was
    steps = Steps()
    os.environ["REFINERY_RECORD"] = "1"
    os.environ["REFINERY_SPOOL"] = str(Path(process.job["work"], "spool", str(case["index"])))
    from refinery.recorders import switch

    switch.record()
    try:
        outcome = _run_once(process, case, steps)
    finally:
        switch.stop()
    told = outcome.error or {}
    error = f"{told.get('type')}: {told.get('message')}" if outcome.error else None
    _write(
        process.job,
        case,
        {
            "status": "ok" if outcome.status == entry.OK else ERROR,
            "output": outcome.output,
            "error": error,
            "steps": steps.found,
            "refused": process.redirect.refused,
            "unmatched": process.stand_ins.unmatched,
        },
    )


def _run_once(process: Process, case: dict[str, Any], steps: Steps) -> entry.Outcome:
    """Run the agent with the tape of one recorded run."""
    assert process.target is not None
    process.redirect.begin(case["token"])
    process.redirect.refused.clear()
    process.models.log = steps.log
    process.stand_ins.begin(case, steps.log)
    chance = RecordedDraws(
        case.get("draws") or {}, case.get("drawn") or (), case["trace_id"], process.clock
    )
    process.clock.begin(case["start_ns"], case["moments"])
    return entry.run_one(process.target, case["argument"], chance)


def _result_path(job: dict[str, Any], case: dict[str, Any]) -> Path:
    return Path(job["work"], "results", f"{case['index']}.json")


def _write(job: dict[str, Any], case: dict[str, Any], result: dict[str, Any]) -> None:
    """Write a result whole or not at all."""
    target = _result_path(job, case)
    draft = target.with_suffix(f".{os.getpid()}")
    whole = {"nonce": case["nonce"], **result}
    draft.write_text(json.dumps(whole, ensure_ascii=False, default=str), "utf-8", "replace")
    draft.replace(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
