"""Waits for an agent's process, but for no single run longer than it may take."""

import subprocess
import time
from pathlib import Path
from typing import Any

GRACE_S = 2.0
"""Time an agent has to end by itself when it is told to."""
_LOOK_S = 0.1


class TimeLimit:
    """The time each run of an agent may take.

    Args:
        results: file with one line for each run that has ended.
        limit_s: seconds a run may take; None: any time.
    """

    def __init__(self, results: Path, limit_s: float | None) -> None:
        self.is_over = False
        """Whether a run took longer and the agent was ended."""
        self._results = results
        self._limit_s = limit_s

    def wait(self, child: "subprocess.Popen[Any]") -> int:
        """Wait until the process ends, or end it; returns its exit code."""
        if self._limit_s is None:
            return child.wait()
        done, until = 0, time.monotonic() + self._limit_s
        while True:
            try:
                return child.wait(max(0.0, min(_LOOK_S, until - time.monotonic())))
            except subprocess.TimeoutExpired:
                now, before = time.monotonic(), done
                done = self._done()
                if done > before:
                    until = now + self._limit_s
                elif now >= until:
                    self.is_over = True
                    return _ended(child)

    def _done(self) -> int:
        try:
            return self._results.read_bytes().count(b"\n")
        except OSError:
            return 0


def _ended(child: "subprocess.Popen[Any]") -> int:
    """End a process, by force when it does not listen."""
    child.terminate()
    try:
        return child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
