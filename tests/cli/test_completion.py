"""The scripts that complete words in a shell, tried in a real bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import refinery
from refinery.cli.arguments import complete_trace
from refinery.model.trace import Run, RunKind, RunStatus
from refinery.workflows.wiring import open_workspace
from tests.cli.calling import call

pytestmark = pytest.mark.slow


def keep(trace_id: str, name: str) -> None:
    run = Run(
        run_id=trace_id,
        trace_id=trace_id,
        name=name,
        kind=RunKind.CHAIN,
        status=RunStatus.OK,
        start_ns=1,
        end_ns=2,
    )
    open_workspace().store.write_runs([run])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str) -> None:
    called = call("completion", shell)

    assert called.code == 0
    assert "_REFINERY_COMPLETE" in called.stdout


def test_bash_completes_commands_and_trace_ids(tmp_path: Path) -> None:
    keep("3f2a-one", "support")
    keep("77aa-two", "support")
    bash = shutil.which("bash")
    assert bash
    program = tmp_path / "bin" / "refinery"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m refinery "$@"\n')
    program.chmod(0o755)
    asked = """
        eval "$(refinery completion bash)"
        COMP_WORDS=(refinery diag); COMP_CWORD=1; _refinery_completion refinery
        echo "${COMPREPLY[@]}"
        COMP_WORDS=(refinery show 3f); COMP_CWORD=2; _refinery_completion refinery
        echo "${COMPREPLY[@]}"
    """
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(refinery.__file__).parents[1]),
    }
    done = subprocess.run(
        [bash, "-c", asked], capture_output=True, text=True, env=environment, check=False
    )

    assert done.stdout.split("\n")[:2] == ["diagnose", "3f2a-one"], done.stderr


def test_nothing_a_shell_would_evaluate_is_offered() -> None:
    keep("ab12-$(touch x)", "plain")
    keep("ab34-fine", "`touch y` \"'$(z)")

    offered = dict(complete_trace("ab"))

    assert list(offered) == ["ab34-fine"]
    assert not set(offered["ab34-fine"]) & set("`$\"'()")
