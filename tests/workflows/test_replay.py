"""`refinery replay`: recorded by the real command, replayed by the real command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.messages import ToolCall
from refinery.model.trace import EntryPoint, RunError, RunStatus, Trace
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.safety import sandbox
from refinery.workflows import wiring
from refinery.workflows.record import record_inputs
from refinery.workflows.replay import ReplayRequest, replay_trace
from refinery.workflows.wiring import Workspace
from tests.cli.calling import call
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import commit_all, git, make_repository
from tests.replay import kit
from tests.replay.traces import llm, trace

pytestmark = pytest.mark.slow


def clerk(request: ModelRequest) -> ModelReply:
    if request.tools and not any(m.role == "tool" for m in request.messages):
        return ModelReply("", (ToolCall("stock", {"item": "lamp"}, "call_1"),))
    return ModelReply("We have some.")


def test_a_recorded_run_is_replayed_and_compared(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = '[agent]\nentrypoint = "shop:answer"\nenv = ["OPENAI_BASE_URL", "OPENAI_API_KEY"]\n'
    root = make_repository(isolated / "agent", {**kit.SHOP, "refinery.toml": settings})
    monkeypatch.chdir(root)
    with ModelServer(clerk) as server:
        for name, value in kit.openai_env(server.url).items():
            monkeypatch.setenv(name, value)
        command = [sys.executable, "-m", "refinery", "record", "--input"]
        made = subprocess.run(
            [*command, '{"question": "A lamp?"}', "--json"],
            env={**os.environ, "PYTHONPATH": str(kit.ROOT)},
            capture_output=True,
            check=True,
        )
    told = json.loads(made.stdout)
    (root / "shop.py").write_text("raise SystemExit('work in progress')\n")

    same = call("replay", "latest", "--json")

    assert same.code == 0, same.stdout + same.stderr
    assert same.json["same"] is True
    assert same.json["trace_id"] == told["trace_id"]
    assert same.json["output"] == told["output"] == {"answer": "We have some."}
    assert [step["fidelity"] for step in same.json["steps"]] == [
        *("exact", "exact", "exact", "exact"),
    ]
    assert same.json["commit"] == git(root, "rev-parse", "HEAD").strip()
    assert same.json["sandbox"] == sandbox.strongest(allow_unsandboxed=True)
    assert git(root, "status", "--porcelain").split() == ["M", "shop.py"]


PLAIN = {
    "plain.py": kit.PLAIN["plain.py"],
    "refinery.toml": '[agent]\nentrypoint = "plain:answer"\n',
}


@pytest.fixture
def project(isolated: Path) -> Path:
    root = make_repository(isolated / "agent", PLAIN)
    os.chdir(root)
    return root


@pytest.fixture
def workspace(project: Path) -> Iterator[Workspace]:
    opened = wiring.open_workspace(project)
    yield opened
    opened.store.close()


def recorded(project: Path, said: str, answer: str) -> Trace:
    commit = git(project, "rev-parse", "HEAD").strip()
    entry = EntryPoint("callable", "plain:answer", "hi", str(project), commit)
    return trace(llm(1, said, answer), entry=entry, output={"output": "hello"})


def test_a_result_that_differs_is_named(workspace: Workspace, project: Path) -> None:
    outcome = replay_trace(workspace, recorded(project, "hi", "something else"))

    assert str(outcome.divergence) == 'output: recorded "hello", replayed "something else"'


def test_a_request_that_differs_is_named_and_nobody_is_asked(
    workspace: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(lambda request: ModelReply("live")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        outcome = replay_trace(workspace, recorded(project, "another question", "hello"))

    assert outcome.divergence is not None
    assert outcome.divergence.message.startswith("llm m was not recorded like this")
    assert server.requests == []


def test_a_recorded_error_must_come_back(workspace: Workspace, project: Path) -> None:
    good = recorded(project, "hi", "hello")
    error = RunError("APIStatusError", "Error code: 409 - conflict")
    root = replace(good.runs[0], status=RunStatus.ERROR, error=error, outputs=None)
    call_error = replace(good.runs[1], status=RunStatus.ERROR, error=error, outputs=None)

    again = replay_trace(workspace, replace(good, runs=(root, call_error)))
    gone = replay_trace(workspace, replace(good, runs=(root, good.runs[1])))

    assert again.result.status == "error"
    assert "Error code: 409" in str(again.result.error)
    assert gone.divergence is not None
    assert gone.divergence.message.startswith("recorded error 'APIStatusError: Error code: 409")


def test_a_fetched_trace_is_replayed_from_the_configured_entry_point(
    workspace: Workspace, project: Path
) -> None:
    fetched = trace(llm(1, "hi", "hello"), output={"output": "hello"}, inputs={"input": "hi"})

    outcome = replay_trace(workspace, fetched, ReplayRequest(project))

    assert outcome.is_same
    assert "names no commit" in outcome.warnings[0]


def test_a_trace_that_does_not_say_how_it_was_started_is_an_input_error(
    workspace: Workspace, project: Path
) -> None:
    (project / "refinery.toml").write_text("")
    commit_all(project, "forget the entry point")
    opened = wiring.open_workspace(project)

    with pytest.raises(InputError, match="does not say how") as caught:
        replay_trace(opened, trace(llm(1, "hi", "hello")))

    assert "refinery record --input" in caught.value.hint
    opened.store.close()


def test_the_command_prints_the_steps_and_ends_with_1_when_it_differs(
    workspace: Workspace, project: Path
) -> None:
    found = recorded(project, "hi", "else")
    workspace.store.write_runs(found.runs, source="test")

    shown = call("replay", "root")
    missing = call("replay", "root", "--repo", str(project / "nowhere"), "--json")

    assert shown.code == 1
    assert "llm" in shown.stdout
    assert 'differs: output: recorded "hello"' in shown.stdout
    assert missing.code == 2
    assert "is not a folder" in missing.json["error"]["message"]


def test_a_src_layout_is_recorded_checked_and_replayed(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = '[agent]\nentrypoint = "inner.plain:answer"\nenv = ["PYTHONPATH=src"]\n'
    source = "def answer(request):\n    return {'output': 'hello ' + request}\n"
    files = {
        "src/inner/plain.py": source,
        "refinery.toml": settings,
        ".gitignore": "__pycache__\n",
    }
    root = make_repository(isolated / "agent", files)
    monkeypatch.chdir(root)
    opened = wiring.open_workspace(root)

    (recorded_run,) = record_inputs(opened, ["you"], root)
    stored = opened.store.get_trace(recorded_run.trace_id or "")
    opened.store.close()

    assert recorded_run.output == {"output": "hello you"}
    assert stored is not None
    outcome = replay_trace(opened, stored)
    assert outcome.is_same, outcome.divergence
    entry = next(c for c in call("doctor", "--json").json["checks"] if c["name"] == "entry point")
    assert entry["detail"] == "inner.plain:answer (src/inner/plain.py:1, not run)"
