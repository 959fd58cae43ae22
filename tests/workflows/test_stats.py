import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from refinery.agents.attempt import Attempt
from refinery.model.failure import Diagnosis
from refinery.model.lesson import LessonOutcome
from refinery.model.patch import Hypothesis
from refinery.model.verdict import Change, GuardReport, Outcome, Trial, Verdict
from refinery.workflows import learning, stats
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.learning import Session, Tried
from refinery.workflows.wiring import Workspace, open_workspace
from tests.cli.calling import call


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return open_workspace()


def _attempt(number: int, verdict: Verdict, citations: tuple[str, ...] = ()) -> Attempt:
    hypothesis = Hypothesis(
        f"H{number}", "F1", "Sort \u202eby date", "", "retrieval", (), 0.9, citations=citations
    )
    trial = Trial(hypothesis.hypothesis_id, verdict, "", (), "full", duration_ms=2_000)
    return Attempt(hypothesis, None, GuardReport(Outcome.ALLOW, (), "d"), trial)


def _outcome(
    attempts: tuple[Attempt, ...], answer: str | None, change: Change | None
) -> FixOutcome:
    return FixOutcome(
        session_id="session_1",
        trace_id="t",
        repository=Path(),
        diagnosis=Diagnosis("t", "detectors", ()),
        attempts=attempts,
        hypotheses=tuple(attempt.hypothesis for attempt in attempts),
        chosen=attempts[0] if answer else None,
        change=change,
        decision={"answer": answer, "approver": "me"} if answer else None,
    )


CHANGE = Change("fix_1", "c", "t", "title", ("a.py",), "main", 1)


def test_an_accepted_fix_becomes_a_lesson_and_credits_those_it_rested_on(
    workspace: Workspace,
) -> None:
    tried = (_attempt(1, Verdict.FIXED), _attempt(2, Verdict.NO_EFFECT))
    learning.learn(workspace, _outcome(tried, "yes", CHANGE), Session(0, None))
    (first,) = learning.lessons_of(workspace.home).all()
    assert (first.outcome, first.change_id) == (LessonOutcome.ACCEPTED, "fix_1")
    assert "\u202e" not in first.fix

    cites = (f"lessons#{first.lesson_id}",)
    again = (_attempt(1, Verdict.FIXED, cites), _attempt(2, Verdict.NO_EFFECT, cites))
    learning.learn(workspace, _outcome(again, "no", None), Session(0, None))

    known, second = learning.lessons_of(workspace.home).all()
    assert (known.cited, known.helped) == (2, 0)
    assert second.outcome is LessonOutcome.REJECTED


def test_a_session_that_waits_teaches_nothing_yet(workspace: Workspace) -> None:
    waiting = replace(_outcome((_attempt(1, Verdict.FIXED),), "yes", None), decision=None)

    learning.learn(workspace, waiting, Session(0, None))

    assert learning.records(workspace.home) == []
    assert learning.lessons_of(workspace.home).all() == []


def test_the_figures_are_those_of_the_files(workspace: Workspace) -> None:
    fixed = (_attempt(1, Verdict.FIXED), _attempt(2, Verdict.REGRESSED))
    learning.learn(workspace, _outcome(fixed, "yes", CHANGE), Session(0, None, by_expert=True))
    learning.learn(
        workspace, _outcome((_attempt(1, Verdict.NO_EFFECT),), None, None), Session(0, 1)
    )
    lines = [
        _line("analyse", "ok", 100, 0.5),
        _line("analyse", "cached", 0, 0.0),
        _line("analyse", "not cached", 0, 0.0),
        _line("generate", "timeout", 50, None),
    ]
    (workspace.home / "model-calls.jsonl").write_text("\n".join([*lines, '{"torn'[:5]]))

    found = stats.of(workspace)

    assert found.sessions == 2
    assert (found.proven.count, found.committed.count) == (1, 1)
    assert found.without_engineer.rate == 1.0
    assert (found.cache_hits.count, found.cache_hits.total) == (1, 2)
    assert found.tokens_per_fix == 2 * 150
    assert found.cost_per_fix_usd == 0.5
    assert found.trial_s == (2.0, 2.0)
    assert found.guard == {"allow": 3}
    assert (found.operations["generate"].failed, found.operations["generate"].unpriced) == (1, 1)
    assert found.calibration.tried == 3
    assert found.failure_to_fix_s is None
    assert list(stats.costs(workspace)["day"]) == ["2026-01-02"]


def _line(purpose: str, outcome: str, tokens: int, cost: float | None) -> str:
    return json.dumps(
        {
            "time_ns": 1_767_312_000_000_000_000,
            "model": "openai:m",
            "purpose": purpose,
            "input_tokens": tokens,
            "output_tokens": tokens,
            "tokens_source": "reported",
            "cost_usd": cost,
            "outcome": outcome,
            "duration_s": 1.0,
        }
    )


def test_honest_confidence_beats_a_constant_and_boasting_does_not() -> None:
    chance = random.Random(3)
    honest, boasting = [], []
    for _ in range(2_000):
        likely = chance.random()
        verdict = "fixed" if chance.random() < likely else "no effect"
        honest.append(Tried("prompt", likely, "allow", verdict))
        boasting.append(Tried("prompt", 0.95, "allow", verdict))

    true, false = stats.calibrate(honest), stats.calibrate(boasting)

    assert true.brier is not None and true.base_brier is not None
    assert true.brier < true.base_brier
    assert all(abs(band.stated - band.fixed) < 0.08 for band in true.bands)
    assert false.brier is not None and false.brier > true.base_brier
    assert stats.calibrate([Tried("prompt", 0.5, None, None)]).brier is None


def test_the_commands_print_figures_and_json(workspace: Workspace) -> None:
    empty = call("stats", "--json").json
    assert empty["sessions"] == 0
    assert empty["proven"]["interval"] is None
    assert "no hypothesis has been tried" in call("stats").stdout

    learning.learn(
        workspace, _outcome((_attempt(1, Verdict.FIXED),), "yes", CHANGE), Session(0, None)
    )
    (workspace.home / "model-calls.jsonl").write_text(_line("analyse", "ok", 100, None))

    assert "1 of 1 (100%, 21% to 100%)" in call("stats").stdout
    assert "Brier score 0.010" in call("stats").stdout
    spent = call("cost", "--json").json["by_model"]["openai:m"]
    assert (spent["calls"], spent["cost_usd"], spent["unpriced"]) == (1, None, 1)
    assert "openai:m" in call("cost").stdout
