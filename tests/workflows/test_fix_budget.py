"""One budget for all a fix asks of models: the analysis, the judge, and the agent's own calls."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinery.agents.judge import OPPOSITE
from refinery.errors import BudgetError
from refinery.llm.prices import price_of
from refinery.model.trace import Label, Usage
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import traces
from refinery.workflows.fix import Decision, fix
from refinery.workflows.fix_outcome import FixOutcome, to_document
from refinery.workflows.record import record_inputs
from refinery.workflows.wiring import open_workspace
from tests.agents.samples import in_the_vendors_form
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import make_repository
from tests.samples import shop_agent
from tests.workflows.shop import Shop, first_note
from tests.workflows.test_fix_with_model import PROPOSAL, REPORT

pytestmark = pytest.mark.slow

MODEL = "gpt-4.1-mini"
READ, WRITTEN = 1_000, 500
"""Tokens every answer of both servers says it took."""
CHECK = "judge:the answer says that the shop opens at 8"


def cost_usd(calls: int) -> float:
    price = price_of(MODEL)
    assert price is not None
    return calls * price.cost_usd(READ, WRITTEN)


def with_usage(reply: ModelReply) -> ModelReply:
    return replace(reply, usage=Usage(READ, WRITTEN, READ + WRITTEN))


def analyst(request: ModelRequest) -> ModelReply:
    """Reports, proposes, and judges by what the run answered."""
    text = request.messages[-1].text
    if "The statement:" in text:
        is_right = "opens at 8" in text.rpartition("answered:")[2]
        answer = "yes" if is_right is (OPPOSITE not in text) else "no"
        value: dict[str, Any] = {
            "answer": answer,
            "quote": "in the morning",
            "reason": "it says so",
        }
    else:
        value = PROPOSAL if "Kinds of edits" in str(request.messages) else REPORT
    return with_usage(in_the_vendors_form(request, value))


@pytest.fixture
def agent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(lambda request: with_usage(first_note(request))) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield running


@pytest.fixture
def analysis(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(analyst) as running:
        monkeypatch.setenv("REFINERY_MODEL_BASE_URL", running.url + "/v1")
        yield running


@pytest.fixture
def priced(
    agent_server: ModelServer,
    analysis: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """The shop with an agent whose model has a price, judged by a model that has one too."""
    app = shop_agent.APP.replace('"scripted"', f'"{MODEL}", max_tokens=2000')
    root = make_repository(tmp_path / "shop", {**shop_agent.FILES, "app.py": app})
    monkeypatch.chdir(root)
    workspace = open_workspace(root)
    (failing,) = (r.trace_id for r in record_inputs(workspace, [shop_agent.FAILING], root))
    assert failing
    traces.label(workspace, failing, Label("fail", None, (CHECK,)))
    agent_server.requests.clear()
    return Shop(root, workspace, failing, "")


def later(outcome: FixOutcome) -> Decision:
    del outcome
    return Decision("later", "tester")


def quiet(text: str) -> None:
    del text


def test_every_call_is_counted_under_its_part(
    priced: Shop, agent_server: ModelServer, analysis: ModelServer
) -> None:
    outcome = fix(priced.workspace, priced.request(model=f"openai:{MODEL}"), later, quiet)

    spending = to_document(outcome)["spending"]
    calls = {name: part["calls"] for name, part in spending["parts"].items()}
    assert outcome.chosen is not None
    assert calls["replays"] == len(agent_server.requests) > 0
    assert calls["judge"] > 0
    assert sum(calls.values()) - calls["replays"] == len(analysis.requests)
    assert spending["spent_usd"] == pytest.approx(cost_usd(sum(calls.values())))
    assert all(spending["parts"][name]["forecast_usd"] > 0 for name in ("analyse", "judge"))


@pytest.mark.parametrize("budget_usd", [0.035, 0.05])
def test_no_budget_is_ever_exceeded(
    priced: Shop, agent_server: ModelServer, analysis: ModelServer, budget_usd: float
) -> None:
    request = priced.request(model=f"openai:{MODEL}", budget_usd=budget_usd)

    try:
        outcome = fix(priced.workspace, request, later, quiet)
    except BudgetError:
        spent = None
    else:
        spent = outcome.spending["spent_usd"]

    made = len(agent_server.requests) + len(analysis.requests)
    assert cost_usd(made) <= budget_usd
    assert spent is None or spent == pytest.approx(cost_usd(made))


def test_a_trial_that_cannot_be_paid_is_not_begun(
    priced: Shop, agent_server: ModelServer, analysis: ModelServer
) -> None:
    del analysis
    # Enough for the analysis; too little for the judge of one trial.
    request = priced.request(model=f"openai:{MODEL}", budget_usd=0.0285)

    outcome = fix(priced.workspace, request, later, quiet)

    assert outcome.attempts and outcome.chosen is None
    assert all("expected to cost more than is left" in str(a.problem) for a in outcome.attempts)
    assert agent_server.requests == []
