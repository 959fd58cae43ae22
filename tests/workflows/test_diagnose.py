"""`refinery diagnose`, from the detectors alone to a model on loopback."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinery.errors import ExitCode, InputError
from refinery.model.failure import Diagnosis
from refinery.model.trace import Label, Run, RunError, RunKind, RunStatus, Trace
from refinery.workflows import traces
from refinery.workflows.diagnose import diagnose
from refinery.workflows.wiring import Workspace, open_workspace
from tests.agents.samples import answers, finding, stale_price
from tests.cli.calling import call
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import make_repository

AGENT = """def charge(total, seats):
    return total / seats
"""
CONVERSATION = [
    {"role": "system", "content": "Answer in at most two sentences."},
    {"role": "user", "content": "Where is my parcel?"},
    {"role": "assistant", "content": "It left. It is late. It comes. Please wait. Thank you."},
]


def _ask(workspace: Workspace, trace: Trace, **options: Any) -> Diagnosis:
    workspace.store.write_runs(trace.runs, source=trace.source)
    return diagnose(workspace, trace, **options)


def _crashed(root: Path) -> Trace:
    """A trace whose tool crashed in the second line of the repository's `agent.py`."""
    stack = (
        "Traceback (most recent call last):\n"
        f'  File "{root}/agent.py", line 2, in charge\n'
        "    return total / seats\n"
        "ZeroDivisionError: division by zero\n"
    )
    error = RunError("ZeroDivisionError", "division by zero", stack)
    run = Run("t", "t", "agent", RunKind.CHAIN, status=RunStatus.ERROR, error=error, end_ns=2)
    tool = replace(run, run_id="c", name="charge", kind=RunKind.TOOL, parent_id="t")
    return Trace("t", (run, tool), source="sample")


def test_without_a_model_the_detectors_are_the_engine(isolated: Path) -> None:
    found = _ask(open_workspace(), _crashed(isolated))

    assert (found.engine, found.model) == ("detectors", None)
    assert [(f.category, f.cause_run_id) for f in found.findings] == [("exception", "c")]


def test_findings_are_tied_to_the_repository(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "shop", {"agent.py": AGENT})

    found = _ask(open_workspace(), _crashed(root), root=root)

    source = found.findings[0].source
    assert source is not None
    assert source.file == "agent.py"
    assert source.line_start <= 2 <= source.line_end


def test_a_missing_repository_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        _ask(open_workspace(), _crashed(tmp_path), root=tmp_path / "nowhere")


def test_an_expectation_in_words_is_said_to_need_a_model(isolated: Path) -> None:
    workspace = open_workspace()
    workspace.store.write_runs(_crashed(isolated).runs)
    traces.label(workspace, "t", Label("fail", "It should say 4."))

    found = diagnose(workspace, _crashed(isolated))

    assert any("needs a model" in gap for gap in found.unanswerable)


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_a_named_model_analyses(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer(answers({"findings": [finding()], "unanswerable": []})) as server:
        path = "/v1" if vendor == "openai" else ""
        monkeypatch.setenv("REFINERY_MODEL_BASE_URL", server.url + path)
        monkeypatch.setenv("REFINERY_MODEL_API_KEY", "test")

        found = _ask(open_workspace(), stale_price(), model=f"{vendor}:scripted")

    assert (found.engine, found.model) == ("model", f"{vendor}:scripted")
    assert [f.category for f in found.findings] == ["stale_document"]


def test_the_command_prints_the_fixed_interface(isolated: Path) -> None:
    (isolated / "run.json").write_text(json.dumps(CONVERSATION), encoding="utf-8")

    called = call("diagnose", "run.json", "--json")

    assert called.code == 0
    assert called.json["engine"] == "detectors"
    (found,) = called.json["findings"]
    assert found["category"] == "instruction_ignored"
    assert found["likelihood"] == "likely"
    assert 0 < found["confidence"] < 1
    assert found["source"] is None
    assert {"title", "explanation", "cause_run_id", "symptom_run_id"} <= found.keys()
    assert found["evidence"][0]["quote"] == "Answer in at most two sentences."
    assert found["evidence"][0]["run_id"] == found["cause_run_id"]
    assert called.json["unanswerable"]


def test_the_command_tells_people_what_and_where(isolated: Path) -> None:
    (isolated / "run.json").write_text(json.dumps(CONVERSATION), encoding="utf-8")

    called = call("diagnose", "run.json")

    assert called.code == 0
    assert "engine: detectors (no model configured)" in called.stdout
    assert "F1  The answer ignores an instruction" in called.stdout
    assert "“Answer in at most two sentences.”" in called.stdout
    assert "cause:    llm assistant" in called.stdout


def test_nothing_found_is_exit_5_with_an_empty_list(isolated: Path) -> None:
    calm = [CONVERSATION[1], {"role": "assistant", "content": "It comes tomorrow."}]
    (isolated / "run.json").write_text(json.dumps(calm), encoding="utf-8")

    as_json, as_text = call("diagnose", "run.json", "--json"), call("diagnose", "run.json")

    assert (as_json.code, as_text.code) == (5, 5)
    assert as_json.json["findings"] == []
    assert "Nothing found" in as_text.stdout


def test_an_unknown_trace_is_exit_5_with_an_error(isolated: Path) -> None:
    called = call("diagnose", "feedbeef", "--json")

    assert called.code == 5
    assert called.json["error"]["code"] == "not_found"


def test_hidden_characters_of_a_trace_reach_no_terminal(isolated: Path) -> None:
    hostile = [CONVERSATION[0], CONVERSATION[1]]
    text = "\x1b[2JIt left.\u202e It is late. It comes. Please wait. Thank you."
    hostile.append({"role": "assistant", "content": text})
    (isolated / "run.json").write_text(json.dumps(hostile), encoding="utf-8")

    called = call("diagnose", "run.json")

    assert "\x1b" not in called.stdout
    assert "\u202e" not in called.stdout


@pytest.mark.slow
def test_the_command_tells_the_forecast_reuses_a_like_failure_and_keeps_the_budget(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_workspace().store
    store.write_runs(stale_price().runs)
    store.write_runs([replace(run, **_other(run)) for run in stale_price().runs])
    script = answers(*[{"findings": [finding()], "unanswerable": []}] * 2)
    with ModelServer(script) as server:
        monkeypatch.setenv("REFINERY_MODEL_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("REFINERY_MODEL_API_KEY", "test")
        ask = ("--model", "openai:gpt-4o-mini", "--json")
        refused = call("diagnose", "t", *ask[:2], "--budget", "0.000001")
        asked = [len(server.requests)]
        first = call("diagnose", "t", *ask)
        asked.append(len(server.requests))
        second = call("diagnose", "other", *ask)
        asked.append(len(server.requests))
        fresh = call("diagnose", "other", *ask, "--no-cache")
        asked.append(len(server.requests))
        told = call("diagnose", "other", "--model", "openai:gpt-4o-mini").stdout

    assert refused.code == ExitCode.BUDGET
    assert asked == [0, 1, 1, 2]
    assert "forecast: 1 call, about " in refused.stderr
    assert first.json["forecast"]["usd_least"] > 0
    assert (second.json["reused_from"], second.json["forecast"]) == ("t", None)
    assert second.json["findings"][0]["cause_run_id"] == "other/1"
    assert fresh.json["reused_from"] is None
    assert "analysis of trace t reused: same failure" in told


def _other(run: Run) -> dict[str, Any]:
    """Ids of a run in another trace of the same agent."""
    return {
        "run_id": run.run_id.replace("t", "other", 1),
        "trace_id": "other",
        "parent_id": run.parent_id and "other",
    }
