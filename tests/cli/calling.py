"""Calls the command line as the installed program does, in this process."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import refinery
from refinery.cli.main import main
from tests.kits import documents


@dataclass(frozen=True, slots=True)
class Called:
    """How a call ended."""

    code: int
    stdout: str
    stderr: str
    arguments: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        """What was printed, as JSON that is as its published schema says."""
        return documents.check(self.arguments, json.loads(self.stdout))


def call(*arguments: str) -> Called:
    """Call `refinery` with arguments, without a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["refinery", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO("")),
        mock.patch.dict(os.environ, {"COLUMNS": "80"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    return Called(code, out.getvalue(), err.getvalue(), arguments)


def call_program(*arguments: str) -> Called:
    """Call `refinery` in a process of its own, in the working folder of the test."""
    done = subprocess.run(
        [sys.executable, "-m", "refinery", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(refinery.__file__).parents[1])},
    )
    return Called(done.returncode, done.stdout, done.stderr, arguments)
