"""Calls the command line as the installed program does, in this process."""

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

from refinery.cli.main import main


@dataclass(frozen=True, slots=True)
class Called:
    """How a call ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.stdout)


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
    return Called(code, out.getvalue(), err.getvalue())
