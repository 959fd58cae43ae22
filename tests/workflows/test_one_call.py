"""One recorded model call, asked again alone: decisions of the TimeMachine, imported traces."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.trace import RunKind, RunStatus, Usage
from refinery.replay.variation import Matrix, Variation, combined
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import ingest, wiring
from refinery.workflows.what_if import WhatIfRequest, what_if
from refinery.workflows.wiring import Workspace
from tests.cli.calling import call
from tests.fakes.model_server import ModelServer, StatusError
from tests.replay import kit
from tests.replay.traces import llm, trace, work

pytestmark = pytest.mark.slow


def said(request: ModelRequest) -> ModelReply | StatusError:
    if request.model == "gone":
        return StatusError(404, "no such model")
    heard = "|".join(f"{m.role}:{m.text}" for m in request.messages)
    tools = ",".join(sorted(str(tool.get("name") or tool) for tool in request.tools))
    params = {k: request.params[k] for k in ("temperature", "max_tokens") if k in request.params}
    text = f"{request.model} {params.get('temperature')} {heard} {tools}"
    return ModelReply(text, usage=Usage(10, 5, 15), model=request.model)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(said) as running:
        yield running


@pytest.fixture
def workspace(isolated: Path) -> Iterator[Workspace]:
    opened = wiring.open_workspace(isolated)
    yield opened
    opened.store.close()


def decisions(path: Path) -> Path:
    """A file of the TimeMachine with one decision."""
    with sqlite3.connect(path) as file:
        file.execute(
            "CREATE TABLE decisions (id TEXT, timestamp TEXT, input TEXT, output TEXT, model TEXT,"
            " temperature REAL, total_tokens INTEGER, cost REAL, duration_ms REAL)"
        )
        asked = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Buy?"}]'
        row = ("d1", "2025-03-01T10:00:00", asked, "Hold.", "gpt-4o", 0.2, 42, 0.001, 350)
        file.execute(f"INSERT INTO decisions VALUES ({', '.join('?' * 9)})", row)
    file.close()
    return path


def test_a_decision_of_the_timemachine_is_asked_again_of_other_models(
    workspace: Workspace, server: ModelServer, isolated: Path
) -> None:
    (report,) = ingest.import_files(workspace, [decisions(isolated / "decisions.db")])
    (trace_id,) = report.trace_ids
    base = ("--base-url", server.url + "/v1")

    shown = call("replay", trace_id, "--model", "openai:a,openai:gone", *base, "--json")
    again = call("replay", trace_id, "--temperature", "0.9", *base, "--json")

    assert shown.code == 3, shown.stdout + shown.stderr
    asked, lost = shown.json["variations"]
    assert asked["answer"] == "a 0.2 system:Be brief.|user:Buy? "
    assert (asked["total_tokens"], shown.json["before"]["total_tokens"]) == (15, 42)
    assert shown.json["before"]["answer"] == "Hold."
    assert shown.json["one_call"] == trace_id
    assert "gone" in lost["missing"]
    assert again.json["variations"][0]["answer"].startswith("gpt-4o 0.9 system:Be brief.")
    kept = workspace.store.get_trace(asked["trace_id"])
    assert kept is not None and kept.root is not None and kept.root.metadata is not None
    assert kept.root.metadata["refinery"]["variation_of"] == trace_id
    assert kept.root.model_requested == "a"
    assert call("diff", trace_id, asked["trace_id"]).code == 1


def test_one_call_of_an_imported_trace_goes_to_either_vendor_with_prompt_and_tools(
    workspace: Workspace, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**kit.openai_env(server.url), **kit.anthropic_env(server.url)}.items():
        monkeypatch.setenv(name, value)
    tool = {
        "type": "function",
        "function": {"name": "stock", "parameters": {"type": "object", "properties": {}}},
    }
    messages = [
        {"role": "system", "content": "Old."},
        {"role": "user", "content": "A lamp?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "7"},
    ]
    found = trace(
        llm(1, "hi", "first"),
        llm(2, "", "second", inputs={"model": "m", "messages": messages}, tools=[tool]),
        work(3, RunKind.TOOL, "stock", {}, "7"),
        status=RunStatus.OK,
    )
    matrix = Matrix(("openai:a", "anthropic:b"), prompts=(("p", "New."),))
    variations = [replace(variation, at="llm-2") for variation in combined(matrix)]

    outcome = what_if(workspace, found, variations)
    few = what_if(workspace, found, variations, WhatIfRequest(max_requests=1))

    heard = "system:New.|user:A lamp?|assistant:|tool:7"
    assert [cell.answer.split(" ", 2)[0] for cell in outcome.cells] == ["a", "b"]
    assert all(heard in cell.answer for cell in outcome.cells)
    assert all("stock" in cell.answer for cell in outcome.cells)
    assert outcome.answer == "second"
    assert outcome.warnings[0] == (
        "only this one call was asked again: nothing after it was re-run"
    )
    assert sorted(cell.is_answered for cell in few.cells) == [False, True]
    with pytest.raises(InputError, match="holds 2 model calls") as caught:
        what_if(workspace, found, [Variation(model="a")])
    assert "--at" in caught.value.hint
