"""The loop with a model: real clients of both vendors against a server on loopback."""

from collections.abc import Iterator
from typing import Any

import pytest

from refinery.errors import BudgetError
from refinery.model.verdict import Verdict
from refinery.workflows.fix import Decision, fix
from refinery.workflows.fix_outcome import FixOutcome, to_document
from refinery.workflows.wiring import open_workspace
from tests.agents.samples import answers, finding
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git
from tests.workflows.shop import Shop

pytestmark = pytest.mark.slow

OLD = "The shop opens at 10 in the morning on every day."
SPECS = {"openai": ("openai:gpt-4o-mini", "/v1"), "anthropic": ("anthropic:claude-haiku-4-5", "")}
REPORT = {
    "findings": [
        finding(quotes=[{"run": "R2", "quote": OLD}]),
        finding(title="Invented", quotes=[{"run": "R2", "quote": "The shop never opens."}]),
    ]
}
EDIT = {
    "kind": "replace_text",
    "path": "app.py",
    "arguments": [
        {"name": "old", "value": "        return ranked[:2]"},
        {
            "name": "new",
            "value": "        return sorted(\n"
            '            ranked[:2], key=lambda d: d.metadata["updated"], reverse=True\n'
            "        )",
        },
    ],
}
PROPOSAL = {
    "hypotheses": [
        {
            "finding": "F1",
            "title": "Return the newest note first",
            "rationale": "The model reads the first note.",
            "strategy": "retrieval",
            "edits": [EDIT],
            "confidence": 0.8,
        },
        {
            "finding": "F1",
            "title": "Write outside the repository",
            "rationale": "A hostile idea.",
            "strategy": "code",
            "edits": [{**EDIT, "path": "../outside.py"}],
            "confidence": 0.9,
        },
    ]
}


@pytest.fixture(params=["openai", "anthropic"])
def analysed(
    request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Shop, str, ModelServer]]:
    """The shop with a model for the analysis on a server of its own."""
    spec, suffix = SPECS[request.param]
    with ModelServer(answers(REPORT, PROPOSAL, PROPOSAL)) as analysis:
        monkeypatch.setenv("REFINERY_MODEL_BASE_URL", analysis.url + suffix)
        shop.workspace.store.close()
        shop.workspace = open_workspace(shop.root)
        yield shop, spec, analysis


def approve(outcome: FixOutcome) -> Decision:
    return Decision("yes", "tester")


def quiet(text: str) -> None:
    del text


def test_the_model_s_fix_is_proven_and_its_invented_quote_rejected(
    analysed: tuple[Shop, str, ModelServer],
) -> None:
    shop, spec, analysis = analysed

    outcome = fix(shop.workspace, shop.request(model=spec), approve, quiet)

    document: dict[str, Any] = to_document(outcome)
    assert document["engine"] == "model"
    assert [f["title"] for f in document["diagnosis"]["findings"]] == [REPORT_TITLE]
    assert len(document["diagnosis"]["rejected"]) == 1
    assert {h["title"] for h in document["hypotheses"]} == {"Return the newest note first"}
    assert document["trial"]["verdict"] == "fixed"
    assert outcome.change is not None
    assert "sorted(" in git(shop.root, "show", "HEAD")
    assert {request.model for request in analysis.requests} == {spec.partition(":")[2]}


REPORT_TITLE = "The answer repeats an outdated price"


def test_the_model_s_fix_is_unverifiable_without_the_agent_s_model(
    analysed: tuple[Shop, str, ModelServer], server: ModelServer
) -> None:
    shop, spec, _ = analysed
    server.stop()

    outcome = fix(shop.workspace, shop.request(model=spec), approve, quiet)

    assert outcome.change is None
    assert {a.trial.verdict for a in outcome.attempts if a.trial} == {Verdict.UNVERIFIABLE}


def test_the_agent_s_own_endpoint_is_not_asked_for_the_analysis(
    analysed: tuple[Shop, str, ModelServer], server: ModelServer
) -> None:
    shop, spec, _ = analysed
    before = len(server.requests)

    fix(shop.workspace, shop.request(model=spec), lambda _: Decision("no", "t"), quiet)

    asked = server.requests[before:]
    assert all(request.model == "scripted" for request in asked)


@pytest.mark.parametrize("budget_usd", [0.0, 0.000001])
def test_the_budget_of_a_fix_holds_for_the_analysis_too(
    analysed: tuple[Shop, str, ModelServer], budget_usd: float
) -> None:
    shop, spec, analysis = analysed

    with pytest.raises(BudgetError):
        fix(shop.workspace, shop.request(model=spec, budget_usd=budget_usd), approve, quiet)

    assert analysis.requests == []
