"""The cost of an analysis: told first, held by one budget, not paid twice for equal failures."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from refinery.agents.analyst import AnalystTask, analyse
from refinery.agents.forecast import forecast_text
from refinery.errors import BudgetError
from refinery.llm.router import ModelChoice, connect
from refinery.model.failure import Diagnosis, Forecast, Likelihood
from refinery.model.trace import Run, Trace
from tests.agents.samples import NEW, OLD, answers, connected, finding, signal, stale_price
from tests.fakes.model_server import ModelServer

ALIKE = ("stale_document", "search_docs")
REPORT = {"findings": [finding()], "unanswerable": ["Who wrote it?"]}


class Said(BaseModel):
    """Anything said."""

    text: str


def renamed(change: Callable[[Run], Run] = lambda run: run) -> Trace:
    """Another trace of the same agent, with other ids."""
    runs = [change(run) for run in stale_price().runs]
    named = [
        replace(run, run_id=f"x{run.run_id}", trace_id="xt", parent_id=run.parent_id and "xt")
        for run in runs
    ]
    return Trace("xt", tuple(named))


def two(folder: Path, second: Trace, *reports: object, **options: Any) -> tuple[Diagnosis, int]:
    """The diagnosis of a second trace after a first one, and how often the model was asked."""
    with ModelServer(answers(*(reports or (REPORT,)))) as server:
        model = connected(server, "openai")
        first = AnalystTask(stale_price(), (signal(),), model, cache=folder, alike=ALIKE)
        analyse(first)
        found = analyse(replace(first, trace=second, **options))
        return found, len(server.requests)


def test_a_trace_that_failed_alike_reuses_the_analysis_and_says_so(tmp_path: Path) -> None:
    found, asked = two(tmp_path, renamed())

    (only,) = found.findings
    assert asked == 1
    assert (found.trace_id, found.reused_from, found.cost_usd) == ("xt", "t", 0.0)
    assert (only.cause_run_id, only.symptom_run_id) == ("xt/1", "xt/2")
    assert [item.quote for item in only.evidence] == [OLD]
    assert only.likelihood is Likelihood.LIKELY
    assert "reused: same failure" in found.unanswerable[0]
    assert "Who wrote it?" not in found.unanswerable


def test_a_reused_claim_is_never_stronger_than_the_quotes_that_hold_here(tmp_path: Path) -> None:
    quotes = [{"run": "R2", "quote": OLD}, {"run": "R2", "quote": NEW}]
    sure = {"findings": [finding(likelihood="certain", quotes=quotes)], "unanswerable": []}

    def without_new(run: Run) -> Run:
        text = json.dumps(run.outputs).replace(NEW, "It costs more now.")
        return replace(run, outputs=json.loads(text))

    whole, _ = two(tmp_path / "a", renamed(), sure)
    part, asked = two(tmp_path / "b", renamed(without_new), sure)

    assert whole.findings[0].likelihood is Likelihood.LIKELY
    assert asked == 1
    assert part.findings[0].likelihood is Likelihood.POSSIBLE
    assert part.findings[0].confidence == whole.findings[0].confidence / 2
    assert [item.quote for item in part.findings[0].evidence] == [OLD]


@pytest.mark.parametrize(
    "second",
    [
        renamed(lambda run: replace(run, outputs="nothing of the kind")),
        renamed(lambda run: replace(run, name="other")),
    ],
)
def test_an_analysis_this_trace_does_not_bear_out_is_paid_for(
    tmp_path: Path, second: Trace
) -> None:
    found, asked = two(tmp_path, second, REPORT, {"findings": [], "unanswerable": []})

    assert asked == 2
    assert (found.reused_from, found.findings) == (None, ())


@pytest.mark.parametrize(
    "options", [{"alike": ("other",)}, {"alike": ()}, {"cache": None}, {"expectation": "30 euros"}]
)
def test_another_failure_or_no_cache_is_paid_for(tmp_path: Path, options: dict[str, Any]) -> None:
    found, asked = two(tmp_path, renamed(), REPORT, {"findings": []}, **options)

    assert asked == 2
    assert found.reused_from is None


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"diagnosis": {}, "places": {}}', '{"diagnosis": 1, "places": []}']
)
def test_a_damaged_entry_is_paid_for_again(tmp_path: Path, damage: str) -> None:
    with ModelServer(answers(REPORT, REPORT)) as server:
        model = connected(server, "openai")
        task = AnalystTask(stale_price(), (signal(),), model, cache=tmp_path, alike=ALIKE)
        analyse(task)
        (entry,) = tmp_path.glob("alike-*.json")
        entry.write_text(damage)

        assert analyse(replace(task, trace=renamed(lambda r: replace(r, name=r.name)))).findings
        assert len(server.requests) == 1 + 1


def test_the_forecast_comes_before_the_first_call_and_bounds_a_plain_analysis(
    tmp_path: Path,
) -> None:
    told: list[tuple[Forecast, int]] = []
    with ModelServer(answers(REPORT)) as server:
        task = AnalystTask(
            stale_price(), (signal(),), connected(server, "openai"), cache=tmp_path,
            foretell=lambda expected: told.append((expected, len(server.requests))),
        )  # fmt: skip
        found = analyse(task)
        again = analyse(task)

    ((expected, asked),) = told
    assert asked == 0
    assert found.forecast == expected
    assert (expected.calls_least, expected.calls_most) == (1, 1)
    assert expected.usd_least == expected.usd_most
    assert expected.usd_least is not None and expected.usd_least > 0
    assert again.forecast is None


def test_rounds_of_tool_calls_make_the_forecast_a_range(tmp_path: Path) -> None:
    with ModelServer(answers(REPORT)) as server:
        found = analyse(AnalystTask(stale_price(), (), connected(server, "openai"), root=tmp_path))

    assert found.forecast is not None
    assert found.forecast.calls_most > 1
    assert found.forecast.tokens_most > found.forecast.calls_most * found.forecast.tokens_least / 2
    assert "price unknown" not in forecast_text(found.forecast)


def test_a_forecast_without_a_price_says_so() -> None:
    assert forecast_text(Forecast(1, 7, 9_000, 80_000)) == (
        "1 to 7 calls, about 9,000 to 80,000 tokens, price unknown"
    )
    assert forecast_text(Forecast(1, 1, 900, 900, 0.001, 0.001)) == (
        "1 call, about 900 tokens, 0.0010 USD"
    )


def test_the_judge_and_the_analyst_spend_from_one_budget() -> None:
    with ModelServer(answers(*[{"text": "x"}] * 9)) as server:
        choice = ModelChoice("openai:gpt-4o-mini", f"{server.url}/v1", max_tokens=12_000)
        analyst = connect(choice)
        judge = analyst.at(0.0)
        analyst.structured("s", "u", Said)
        judge.structured("s", "u", Said)

        assert analyst.spent == judge.spent
        assert analyst.spent.tokens == 2_400
        with pytest.raises(BudgetError):
            for _ in range(9):
                judge.structured("s", "u", Said)
        with pytest.raises(BudgetError):
            analyst.structured("s", "u", Said)
    assert [request.params.get("temperature") for request in server.requests[:2]] == [None, 0.0]
