"""`refinery record`: real programs, a real store, the real command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import refinery
from refinery.errors import InputError
from refinery.model.trace import RunStatus
from refinery.ports import TraceFilter
from refinery.workflows import record, wiring
from refinery.workflows.record import AgentDiedError
from refinery.workflows.wiring import Workspace
from tests.kits.repositories import make_repository

ROOT = Path(refinery.__file__).parents[1]
AGENT = """
import os, sys
def answer(q):
    print("thinking")
    return {"answer": q, "mode": os.environ.get("MODE"), "cwd": os.getcwd()}
def boom(q):
    raise ValueError("no " + q)
def die(q):
    os._exit(9)
"""
APP = """
import sys
from langchain_core.runnables import RunnableLambda
from shop import price
(RunnableLambda(str.strip) | RunnableLambda(price)).with_config(run_name="app").invoke(" tea ")
print("out"); print("err", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def project(isolated: Path) -> Path:
    files = {
        "agent.py": AGENT,
        "app.py": APP,
        "shop.py": "def price(item):\n    return len(item)\n",
        "refinery.toml": '[agent]\nentrypoint = "agent:answer"\nenv = ["HOME", "MODE=test"]\n',
    }
    root = make_repository(isolated / "project", files)
    os.chdir(root)
    return root


@pytest.fixture
def workspace(project: Path) -> Iterator[Workspace]:
    opened = wiring.open_workspace(project)
    yield opened
    opened.store.close()


def set_entry_point(root: Path, target: str, more: str = "") -> Workspace:
    (root / "refinery.toml").write_text(f'[agent]\nentrypoint = "{target}"\n{more}')
    return wiring.open_workspace(root)


def cli(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "refinery", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_ids(workspace: Workspace, trace_id: str) -> list[str | None]:
    trace = workspace.store.get_trace(trace_id)
    assert trace is not None
    return [run.name for run in trace.runs]


@pytest.mark.slow
def test_a_program_is_recorded_without_a_change_and_keeps_its_exit_code(
    workspace: Workspace, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = record.record_command(workspace, [sys.executable, "app.py", "3"])

    assert done.exit_code == 3
    assert done.runs == 3
    (trace_id,) = done.trace_ids
    trace = workspace.store.get_trace(trace_id)
    assert trace is not None and trace.root is not None
    assert [run.name for run in trace.runs] == ["app", "strip", "price"]
    assert (trace.source, trace.project, trace.status) == ("langchain", "project", RunStatus.OK)
    price = trace.runs[2]
    assert price.code and (price.code.file, price.code.line, price.code.dirty) == (
        "shop.py",
        1,
        False,
    )
    assert price.code.commit
    point = (trace.root.metadata or {})["refinery"]["entry_point"]
    assert point["kind"] == "command"
    assert point["target"].endswith("app.py 3")
    assert point["commit"] == price.code.commit
    assert capfd.readouterr() == ("out\n", "err\n")
    assert not list((workspace.home / "spool").rglob("*.jsonl"))


@pytest.mark.slow
def test_the_entry_point_runs_once_for_each_input(
    workspace: Workspace, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = record.record_inputs(workspace, ["a", {"b": 1}], project)

    assert [result.status for result in results] == ["ok", "ok"]
    assert results[0].output == {"answer": "a", "mode": "test", "cwd": str(project)}
    assert results[1].output["answer"] == {"b": 1}
    assert run_ids(workspace, str(results[1].trace_id)) == ["answer"]
    assert capfd.readouterr() == ("", "thinking\nthinking\n")


@pytest.mark.slow
def test_a_run_that_failed_is_recorded_as_well(project: Path) -> None:
    workspace = set_entry_point(project, "agent:boom")

    (result,) = record.record_inputs(workspace, ["x"], project)

    assert (result.status, result.output) == ("error", None)
    assert result.error and result.error["message"] == "no x"
    listed = workspace.store.list_traces(TraceFilter(status="failed"))
    assert [trace.trace_id for trace in listed] == [result.trace_id]
    workspace.store.close()


@pytest.mark.slow
def test_an_agent_that_kills_its_process_is_told_and_leaves_its_trace(project: Path) -> None:
    workspace = set_entry_point(project, "agent:die")

    with pytest.raises(AgentDiedError, match="exit code 9 after 0 of 1"):
        record.record_inputs(workspace, ["x"], project)

    (trace,) = workspace.store.list_traces(TraceFilter())
    assert (trace.name, trace.status) == ("die", RunStatus.UNKNOWN)
    workspace.store.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "more", "fragment"),
    [
        ("nowhere:f", "", "No module named 'nowhere'"),
        ("agent:f", "", "has no 'f'"),
        ("agent:answer", 'python = "no/such/python"', "does not exist"),
        ("", "", "no entry point is set"),
    ],
)
def test_an_entry_point_that_cannot_run_is_an_input_error(
    project: Path, target: str, more: str, fragment: str
) -> None:
    workspace = set_entry_point(project, target, more)

    with pytest.raises(InputError, match=fragment) as caught:
        record.record_inputs(workspace, ["x"], project)

    assert caught.value.hint
    assert workspace.store.list_traces(TraceFilter()) == []
    workspace.store.close()


def test_a_program_that_does_not_exist_is_an_input_error(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="cannot run 'no-such-program'"):
        record.record_command(workspace, ["no-such-program"])

    assert not list((workspace.home / "spool").glob("record-*"))


def test_the_interpreter_may_be_relative_to_the_project(project: Path) -> None:
    link = project / ".venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)

    assert record.interpreter(".venv/bin/python", project) == str(link)
    assert record.interpreter(str(link), Path("/")) == str(link)
    assert record.interpreter(None, project) == sys.executable


def test_the_environment_gets_what_the_settings_set() -> None:
    made = record.agent_environment(["A", "B=2", "C=x=y", "D="], {"A": "1", "B": "1"})

    assert made == {"A": "1", "B": "2", "C": "x=y", "D": ""}


def test_the_project_folder_is_the_nearest_root(project: Path, tmp_path: Path) -> None:
    (project / "deep" / "er").mkdir(parents=True)

    assert record.project_folder(project / "deep" / "er") == project
    with pytest.raises(InputError, match="is no folder"):
        record.project_folder(tmp_path / "missing")


@pytest.mark.slow
def test_the_command_line_prints_one_json_document_for_a_program(project: Path) -> None:
    done = cli(project, "record", "--json", "--", sys.executable, "app.py", "0")

    document = json.loads(done.stdout)
    assert (document["exit_code"], document["runs"], len(document["trace_ids"])) == (0, 3, 1)
    assert "out\n" in done.stderr


@pytest.mark.slow
def test_a_program_without_langchain_runs_and_nothing_is_recorded(project: Path) -> None:
    done = cli(project, "record", "--", sys.executable, "-c", "print(input())", stdin="typed\n")

    assert (done.returncode, done.stdout) == (0, "typed\n")
    assert "nothing was recorded" in done.stderr


@pytest.mark.slow
def test_the_command_line_records_inputs(project: Path) -> None:
    (project / "input.json").write_text('"from a file"')

    one = cli(project / ".git", "record", "--input", "@../input.json", "--repo", "..", "--json")
    two = cli(project, "record", "--input", '"a"', "--input", '"b"', "--json")
    people = cli(project, "record", "--input", '"a"')

    document = json.loads(one.stdout)
    assert document["output"]["answer"] == "from a file"
    assert (document["status"], document["schema_version"]) == ("ok", 1)
    several = json.loads(two.stdout)
    assert [run["output"]["answer"] for run in several["runs"]] == ["a", "b"]
    assert several["trace_id"] == several["runs"][0]["trace_id"]
    assert people.stdout == "a\n"
    assert "thinking" in people.stderr and "refinery: trace " in people.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--input", "not json"), 2),
        (("--input", "@missing.json"), 2),
        (("--input", "1", "--", "true"), 2),
        (("--input", "1", "--repo", "missing"), 2),
    ],
)
def test_wrong_usage_ends_with_its_exit_code(
    project: Path, arguments: Sequence[str], code: int
) -> None:
    done = cli(project, "record", *arguments)

    assert done.returncode == code
    assert done.stderr.startswith("error: ") and "hint:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_failed_run_ends_the_command_line_with_one(project: Path) -> None:
    set_entry_point(project, "agent:boom").store.close()

    done = cli(project, "record", "--input", '"x"', "--json")

    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 1
    assert (document["status"], document["output"]) == ("error", None)
    assert document["error"] == {"type": "ValueError", "message": "no x"}


@pytest.mark.slow
def test_signals_reach_the_program_and_its_trace_is_kept(project: Path) -> None:
    program = (
        "import signal, sys, time\n"
        "from langchain_core.runnables import RunnableLambda\n"
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))\n"
        "RunnableLambda(len).invoke('x')\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "refinery", "record", "--", sys.executable, "-c", program],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"

    started = time.monotonic()
    child.send_signal(signal.SIGTERM)
    _, told = child.communicate(timeout=55)

    assert child.returncode == 7
    assert time.monotonic() - started < 40
    assert "recorded 1 trace with 1 run:" in told


@pytest.mark.slow
def test_a_program_killed_by_a_signal_ends_with_128_and_its_number(project: Path) -> None:
    done = cli(project, "record", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")

    assert done.returncode == 137
