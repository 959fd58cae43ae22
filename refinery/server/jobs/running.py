"""Runs one step of a job in a process of its own, and reads what it tells."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from refinery.model.trace import Json

MAX_LINE_BYTES = 64 * 2**20
"""Longest line a job may tell: its result, all in one."""
LOG_BYTES = 4096
"""End of what the process wrote to its log that is kept, to explain a crash."""
PATIENCE_S = 5.0
"""Time a process has to end by itself before it is killed."""
LIMIT_S = 4 * 3600.0
"""Longest a step may take; chosen by us: budgets of runs and money end it much earlier."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a process is to do."""

    step: str
    trace_id: str
    options: dict[str, Json]
    store: str


class Process:
    """One process, from its start to its end."""

    def __init__(self, step: Step, tell: Callable[[dict[str, Any]], None]) -> None:
        self._step = step
        self._tell = tell
        self._child: asyncio.subprocess.Process | None = None
        self._is_stopped = False

    async def run(self) -> dict[str, Json]:
        """Run to the end; lines that are no ending go to `tell`.

        Returns:
            `{"result": …}`, `{"error": …}`, or `{"stopped": True}` after `stop`.
        """
        if self._is_stopped:
            return {"stopped": True}
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "refinery.server.jobs.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,
        )
        log = asyncio.create_task(self._log())
        try:
            async with asyncio.timeout(LIMIT_S):
                ending = await self._listen()
        except TimeoutError:
            ending = _failed("budget", f"it took longer than {LIMIT_S / 3600:.0f} hours")
            self._signal(signal.SIGTERM)
        await self._finish()
        said = await _at_most(log)
        if self._is_stopped:
            return {"stopped": True}
        return ending or _crashed(self._child.returncode, said)

    async def stop(self) -> None:
        """End the process and all it started; returns when it is gone."""
        self._is_stopped = True
        if self._child is not None:
            self._signal(signal.SIGTERM)
            await self._finish()

    async def wait(self) -> None:
        """Wait for the end of the process."""
        if self._child is not None:
            await self._child.wait()

    async def _listen(self) -> dict[str, Json] | None:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        order = {
            "step": self._step.step,
            "trace_id": self._step.trace_id,
            "options": self._step.options,
            "store": self._step.store,
        }
        with contextlib.suppress(ConnectionError):
            self._child.stdin.write(json.dumps(order).encode() + b"\n")
            await self._child.stdin.drain()
        ending: dict[str, Json] | None = None
        try:
            while line := await self._child.stdout.readline():
                told = json.loads(line)
                if "result" in told or "error" in told:
                    ending = told
                else:
                    self._tell(told)
        except ValueError:
            return _failed("too_large", "what it found is too large to be kept")
        return ending

    async def _log(self) -> str:
        assert self._child is not None
        assert self._child.stderr is not None
        kept = b""
        while piece := await self._child.stderr.read(LOG_BYTES):
            kept = (kept + piece)[-LOG_BYTES:]
        return kept.decode("utf-8", "replace")

    async def _finish(self) -> None:
        """Wait a while for the process, then kill it with all it started."""
        assert self._child is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._child.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._child.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


async def _at_most(log: "asyncio.Task[str]") -> str:
    """The log, unless something the process left behind keeps it open."""
    try:
        return await asyncio.wait_for(log, PATIENCE_S)
    except TimeoutError:
        return ""


def _crashed(code: int | None, log: str) -> dict[str, Json]:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    return _failed("crashed", f"its process ended with {how}", last[:500])


def _failed(code: str, message: str, hint: str = "") -> dict[str, Json]:
    return {"error": {"code": code, "message": message, "hint": hint}}
