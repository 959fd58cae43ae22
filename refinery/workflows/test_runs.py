"""One run of a user's own test command, without a shell, with a bounded time and output."""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from refinery import clock
from refinery.errors import InputError

OUTPUT_BYTES = 4_000
"""How much of the end of what the command prints is kept."""


class Ending(StrEnum):
    """How a run of the tests ended."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run of the user's tests."""

    __test__ = False  # no test case, whatever pytest takes the name for

    ending: Ending
    exit_code: int | None
    """None: it was stopped."""
    duration_s: float
    output: str
    """The end of what it printed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the user's tests said of a change."""

    command: str
    before: TestRun
    after: TestRun
    rolled_back: bool
    reason: str


def split(command: str) -> list[str]:
    """The words of a command line, as a shell would split it.

    Raises:
        InputError: a quote is not closed, or there is no word.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"test command {command!r}: {error}", hint="close the quote") from error
    if not words:
        raise InputError("the test command is empty")
    return words


def run(words: list[str], folder: Path, timeout_s: float) -> TestRun:
    """Run a command of the user's to its end, without a shell.

    Raises:
        InputError: there is no such program.
    """
    started = clock.monotonic_s()
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"the test command cannot be started: {error}",
            hint="no shell reads it; for one write: sh -c '...'",
        ) from error
    kept = bytearray()
    assert process.stdout is not None
    reader = threading.Thread(target=_keep_end, args=(process.stdout, kept), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(timeout_s)
        ending = Ending.PASSED if code == 0 else Ending.FAILED
    except subprocess.TimeoutExpired:
        code, ending = None, Ending.TIMED_OUT
    finally:
        _end(process)
    reader.join(1.0)
    elapsed = clock.monotonic_s() - started
    output = bytes(kept[-OUTPUT_BYTES:]).decode("utf-8", "replace")
    return TestRun(ending, code, elapsed, output)


def _keep_end(pipe: IO[bytes], kept: bytearray) -> None:
    with pipe:
        while part := pipe.read1(65_536):  # type: ignore[attr-defined]  # a BufferedReader has it
            kept += part
            del kept[:-OUTPUT_BYTES]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the command and what it started, when it still runs."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
