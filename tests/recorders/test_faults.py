"""The host never breaks: the proofs of `benchmarks.recorder_faults` with smaller numbers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import recorder_faults
from benchmarks.recorder_faults import ROOT

pytestmark = pytest.mark.slow


def test_no_fault_of_an_internal_function_reaches_the_host(tmp_path: Path) -> None:
    # In a process of its own: clients are wrapped for good.
    program = (
        "import pathlib, sys; from benchmarks.recorder_faults import faulted_calls\n"
        "found = faulted_calls(700, pathlib.Path(sys.argv[1]), every=3)\n"
        "print(found.functions, *found.reached, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "spool")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "REFINERY_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    functions, *reached = done.stdout.splitlines()
    assert int(functions) > 100, done.stderr
    assert reached == []


def test_forks_under_load_never_hang(tmp_path: Path) -> None:
    assert recorder_faults.forks_under_load(100, tmp_path) == 0


def test_what_was_acknowledged_survives_kills(tmp_path: Path) -> None:
    acknowledged, lost = recorder_faults.kills(30, tmp_path)

    assert acknowledged >= 30
    assert lost == 0


def test_a_dead_sink_delays_the_exit_by_less_than_a_second(tmp_path: Path) -> None:
    delays = recorder_faults.exit_delays(tmp_path)

    assert len(delays) == 4
    assert max(delays.values()) < 1.2, delays


def test_a_clock_that_goes_back_ends_no_run_before_it_began(tmp_path: Path) -> None:
    assert recorder_faults.runs_while_the_clock_goes_back(tmp_path) == 0
