"""Counterfactuals: recorded for real, replayed against a model that answers as it is asked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import InputError
from refinery.model.messages import ToolCall
from refinery.model.trace import EntryPoint, Trace, Usage
from refinery.model.verdict import Fidelity
from refinery.replay.variation import Matrix, Variation, combined, parse_setting
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import wiring
from refinery.workflows.diff import diff
from refinery.workflows.record import record_inputs
from refinery.workflows.what_if import WhatIfRequest, to_document, what_if
from refinery.workflows.wiring import Workspace
from tests.cli.calling import call
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import commit_all, make_repository, write_files
from tests.replay import kit
from tests.replay.traces import llm, trace

pytestmark = pytest.mark.slow

SETTINGS = '[agent]\nentrypoint = "shop:answer"\nenv = ["OPENAI_BASE_URL", "OPENAI_API_KEY"]\n'


def clerk(request: ModelRequest) -> ModelReply:
    """Calls the tool first; its answer names model, temperature, prompt and what it was told."""
    told = [message.text for message in request.messages if message.role == "tool"]
    if not told:
        calls = (ToolCall("stock", {"item": "lamp"}, "call_1"),)
        return ModelReply("", calls, Usage(100, 10, 110), model=request.model)
    system = next(m.text for m in request.messages if m.role == "system").strip()
    asked = next(m.text for m in request.messages if m.role == "user")
    temperature = f"{request.params['temperature']:g}"
    text = f"{request.model} at {temperature}: {told[-1]} ({asked}) {system}"
    return ModelReply(text, usage=Usage(200, 20, 220), model=request.model)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(clerk) as running:
        for name, value in kit.openai_env(running.url).items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def workspace(
    isolated: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    root = make_repository(isolated / "agent", {**kit.SHOP, "refinery.toml": SETTINGS})
    monkeypatch.chdir(root)
    opened = wiring.open_workspace(root)
    yield opened
    opened.store.close()


@pytest.fixture
def original(workspace: Workspace, server: ModelServer) -> Trace:
    (run,) = record_inputs(workspace, [{"question": "A lamp?"}], Path.cwd())
    found = workspace.store.get_trace(run.trace_id or "")
    assert found is not None
    server.requests.clear()
    return found


OLD = "You are the clerk of a shop. Be short."


def test_variations_change_requests_at_every_step_at_one_or_from_one_on(
    workspace: Workspace, original: Trace, server: ModelServer
) -> None:
    prompt = Path("short.md")
    prompt.write_text("Say less. {literally}")
    second = [run.run_id for run in original.runs if run.kind == "llm"][1]
    variations = [
        *combined(Matrix(models=("small-2", "small-3"), temperatures=(0, 1))),
        Variation(model="small-2", at=second),
        Variation(prompt=prompt.read_text(), prompt_name="short.md", start=second),
        Variation(temperature=0.0),
        Variation(settings=(parse_setting("stock.output=0 x lamp"),)),
        Variation(settings=(parse_setting("root.input.question=A sofa?"),)),
    ]

    outcome = what_if(workspace, original, variations, WhatIfRequest())

    assert [cell.answer for cell in outcome.cells] == [
        f"small-2 at 0: 7 x lamp (A lamp?) {OLD}",
        f"small-2 at 1: 7 x lamp (A lamp?) {OLD}",
        f"small-3 at 0: 7 x lamp (A lamp?) {OLD}",
        f"small-3 at 1: 7 x lamp (A lamp?) {OLD}",
        f"small-2 at 0: 7 x lamp (A lamp?) {OLD}",
        "small-1 at 0: 7 x lamp (A lamp?) Say less. {literally}",
        outcome.answer,
        f"small-1 at 0: 0 x lamp (A lamp?) {OLD}",
        "",
    ]
    assert [cell.live for cell in outcome.cells] == [2, 2, 2, 2, 1, 1, 0, 1, 0]
    assert [cell.is_varied for cell in outcome.cells][6:8] == [False, True]
    sofa = outcome.cells[-1]
    assert not sofa.is_answered  # the retriever was never asked about a sofa
    assert sofa.missing is not None and "no recorded call has these arguments" in sofa.missing
    assert [(r.model, r.params["temperature"]) for r in server.requests].count(("small-2", 1)) == 2
    assert outcome.before is not None and outcome.warnings == ()
    kept = [cell.trace for cell in outcome.cells if cell.trace is not None]
    assert len({run.run_id for found in kept for run in found.runs}) == sum(
        len(found.runs) for found in kept
    )
    assert outcome.spent.requests == len(server.requests) == 11


def test_the_original_stays_and_the_new_run_is_a_trace_that_says_what_it_is(
    workspace: Workspace, original: Trace
) -> None:
    outcome = what_if(workspace, original, [Variation(model="small-2", temperature=1.0)])

    (cell,) = outcome.cells
    assert workspace.store.get_trace(original.trace_id) == original
    assert cell.trace is not None
    stored = workspace.store.get_trace(cell.trace.trace_id)
    assert stored is not None and stored.root is not None and stored.root.metadata is not None
    ours = stored.root.metadata["refinery"]
    assert ours["variation_of"] == original.trace_id
    assert ours["variation"] == {"model": "small-2", "temperature": 1.0}
    models = [run for run in stored.runs if run.kind == "llm"]
    assert [run.model_requested for run in models] == ["small-2", "small-2"]
    assert [(run.params or {})["temperature"] for run in models] == [1.0, 1.0]
    assert stored.source == "replay"
    first = diff(original, stored).first
    assert first is not None and first.compared.pair.run.kind == "llm"
    assert first.difference is not None and first.difference.path == "model"

    with pytest.raises(InputError, match="is itself a variation") as caught:
        what_if(workspace, stored, [Variation(temperature=0.5)])
    assert original.trace_id in caught.value.hint
    before, after = outcome.totals, outcome.totals_of(cell)
    assert (before.calls, before.input_tokens, before.total_tokens) == (2, 300, 330)
    assert (after.calls, after.total_tokens) == (2, 330)
    assert (before.cost_usd, after.cost_usd) == (None, None)  # small-1 has no known price
    assert after.model_ms == sum(run.duration_ms or 0.0 for run in models)
    assert (outcome.spent.requests, outcome.spent.unpriced) == (2, 2)


ASKS = """
import json
import os
import urllib.request


def answer(question):
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": question}]}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    )
    return json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
"""


@pytest.fixture
def plain(workspace: Workspace) -> Trace:
    """A run of one request, stored."""
    root = Path.cwd()
    write_files(root, {"app.py": ASKS})
    commit = commit_all(root, "a plain agent")
    asked = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}
    found = trace(
        llm(1, "hi", "hello", inputs=asked, provider="openai"),
        entry=EntryPoint("callable", "app:answer", "hi", str(root), commit),
        output={"output": "hello"},
    )
    workspace.store.write_runs(found.runs)
    return found


def test_without_a_model_or_budget_a_changed_request_is_unanswered(
    workspace: Workspace, plain: Trace, server: ModelServer
) -> None:
    server.answer = lambda request: ModelReply("live", usage=Usage(10**6, 1, 10**6 + 1))
    asked = [Variation(model="gpt-5"), Variation(temperature=0.0)]

    nobody = what_if(workspace, plain, asked, WhatIfRequest(max_requests=0))
    poor = what_if(workspace, plain, [Variation(model="gpt-5")] * 6, WhatIfRequest(budget_usd=1))

    changed, same = nobody.cells
    assert [step.fidelity for step in changed.result.steps] == [Fidelity.UNANSWERED]
    assert changed.missing == "llm gpt-5: no live model may be asked"
    assert same.is_answered and same.answer == nobody.answer == "hello"
    assert not nobody.are_all_answered
    missing = [cell.missing for cell in poor.cells if cell.missing]
    assert missing and "the budget of 1.00 USD is used up" in missing[0]
    assert len(server.requests) == poor.spent.requests < 6
    assert json.dumps(to_document(poor))


def test_the_command_shows_a_matrix_refuses_other_vendors_and_asks_alone(
    plain: Trace, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = lambda request: ModelReply(
        f"{request.model} at {request.params.get('temperature')}"
    )
    for name, value in kit.anthropic_env(server.url).items():
        monkeypatch.setenv(name, value)

    shown = call("replay", "root", "--model", "small-2,small-3", "--temperature", "0,1")
    none = call("replay", "root", "--model", "small-2", "--max-runs", "0", "--json")
    other = call("replay", "root", "--model", "anthropic:claude-small", "--json")
    alone = call("replay", "root", "--model", "anthropic:claude-small", "--alone", "--json")
    wrong = call("replay", "root", "--set", "nowhere.output=1", "--json")

    assert shown.code == 0, shown.stdout + shown.stderr
    assert "model small-3, temperature 1" in shown.stdout
    assert "small-3 at 1" in shown.stdout
    assert none.code == 1
    assert none.json["variations"][0]["missing"] == "llm small-2: no live model may be asked"
    assert other.code == 2
    assert "--alone" in other.json["error"]["hint"]
    assert alone.json["variations"][0]["answer"] == "claude-small at 0"
    assert alone.json["variations"][0]["first_changed"]["difference"]["path"] == "model"
    assert server.requests[-1].api == "anthropic.messages"
    assert wrong.code == 2
    assert "no step 'nowhere'" in wrong.json["error"]["message"]
