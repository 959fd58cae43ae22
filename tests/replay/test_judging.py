"""Verdicts from arms made by hand; no verdict is stronger than its evidence."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.intervals import wilson
from refinery.model.trace import Run, RunError, RunStatus, Trace
from refinery.model.verdict import (
    Arm,
    CheckResult,
    Fidelity,
    ReplayResult,
    StepFidelity,
    Trial,
    Verdict,
)
from refinery.replay.judging import ASKED_AGAIN, confirmed, decide, fidelities
from refinery.replay.statistics import fisher

RECORDED = {"f": Trace("f", (Run("f", "f", status=RunStatus.OK),))}


def result(word: str, trace_id: str = "f") -> ReplayResult:
    """One replay: pass, fail, error, open (unanswered), or live (passes, live model)."""
    held = word in ("pass", "live")
    status = {"error": "error", "open": "unanswered"}.get(word, "ok")
    fidelity = {"open": Fidelity.UNANSWERED, "live": Fidelity.LIVE}.get(word, Fidelity.EXACT)
    step = StepFidelity("m", "llm", fidelity, detail="no model")
    said = "" if held else "not in the answer"
    error = "ValueError: broken" if word == "error" else None
    check = CheckResult("contains:x", held, said)
    return ReplayResult(trace_id, status, None, error, (step,), (check,))


def arm(name: str, group: str, words: str) -> Arm:
    results = tuple(
        result(word, "f" if group == "failing" else f"p{n}")
        for n, word in enumerate(words.split())
    )
    return Arm(name, group, 0, len(results), None, results)


def arms(
    base: str, tried: str, controls: tuple[str, str] = ("pass", "pass"), again: str = ""
) -> list[Arm]:
    found = [arm("unpatched", "failing", base), arm("unpatched", "passing", controls[0])]
    found += [arm(ASKED_AGAIN, "failing", again)] if again else []
    return [*found, arm("patch", "failing", tried), arm("patch", "passing", controls[1])]


@pytest.mark.parametrize(
    ("given_arms", "verdict", "said"),
    [
        (
            arms("fail", "pass"),
            Verdict.FIXED,
            "1 of 1 failing replays pass with the patch, 0 of 1",
        ),
        (arms("fail fail", "pass fail"), Verdict.UNVERIFIABLE, "chance is not ruled out"),
        (arms("fail", "fail"), Verdict.NO_EFFECT, "not in the answer"),
        (arms("fail", "error"), Verdict.NO_EFFECT, "contains:x"),
        (arms("fail pass", "fail fail"), Verdict.NO_EFFECT, "0 of 2"),
        (arms("fail " + "pass " * 6, "fail " * 7), Verdict.REGRESSED, "0 of 7"),
        (arms("fail", "pass", ("pass", "fail")), Verdict.REGRESSED, "passing traces fail"),
        (arms("fail", "open", ("pass", "fail")), Verdict.REGRESSED, "passing traces fail"),
        (arms("fail", "open"), Verdict.UNVERIFIABLE, "nobody could answer (llm m: no model)"),
        (arms("fail", "pass", ("pass", "open")), Verdict.UNVERIFIABLE, "nobody could answer"),
        (arms("open", "pass"), Verdict.UNVERIFIABLE, "could not be replayed"),
        (arms("pass", "pass"), Verdict.UNVERIFIABLE, "not reproduced"),
        (arms("error", "pass"), Verdict.UNVERIFIABLE, "ends otherwise than recorded"),
        (arms("fail", "live", again="live"), Verdict.UNVERIFIABLE, "does right without the patch"),
        (arms("fail", "live", again="fail"), Verdict.UNVERIFIABLE, "0 of 1 without"),
        (arms("fail", "live " * 4, again="fail " * 4), Verdict.FIXED, "a live model answered"),
        (arms("fail fail", "live live", again="fail live"), Verdict.UNVERIFIABLE, "not ruled out"),
        (arms("fail pass", "pass pass"), Verdict.UNVERIFIABLE, "p = 0.5000, needed 0.0500"),
        (arms("fail " * 9 + "pass", "pass " * 10), Verdict.FIXED, "p = 0.0001, needed 0.0500"),
        (arms("fail " * 9 + "pass", "pass " * 9 + "fail"), Verdict.IMPROVED, "9 of 10"),
        ([], Verdict.UNVERIFIABLE, "no failing trace was replayed"),
    ],
)
def test_a_verdict_and_its_reason(given_arms: list[Arm], verdict: Verdict, said: str) -> None:
    decided = decide(given_arms, RECORDED)

    assert decided.verdict is verdict, decided.reason
    assert said in decided.reason


def test_a_control_that_fails_without_the_patch_does_not_count() -> None:
    decided = decide(arms("fail", "pass", ("fail pass", "fail pass")), RECORDED)

    assert decided.verdict is Verdict.FIXED
    assert "1 of 1 passing replays still pass" in decided.reason
    assert any("fails without the patch already" in warning for warning in decided.warnings)


def test_no_control_at_all_is_said() -> None:
    decided = decide(
        [arm("unpatched", "failing", "fail"), arm("patch", "failing", "pass")], RECORDED
    )

    assert decided.verdict is Verdict.FIXED
    assert any("no passing trace" in warning for warning in decided.warnings)


def test_unpatched_replays_nobody_could_answer_count_against_the_patch() -> None:
    none = decide(arms("fail", "live " * 4, again="open " * 4), RECORDED)
    some = decide(arms("fail", "live " * 9, again="open " + "fail " * 8), RECORDED)

    assert none.verdict is Verdict.UNVERIFIABLE
    assert "asked again without the patch, 4 replays had a step nobody" in none.reason
    assert some.verdict is Verdict.FIXED
    assert some.p_value == fisher((9, 9), (1, 9))


def test_a_comment_that_fixes_as_well_shows_that_the_patch_is_not_the_reason() -> None:
    found = [*arms("fail " * 3, "pass " * 3), arm("no-op", "failing", "pass pass pass")]

    decided = decide(found, RECORDED)

    assert decided.verdict is Verdict.UNVERIFIABLE
    assert "only adds a comment passes 3 of 3 as well" in decided.reason


@pytest.mark.parametrize(
    ("base", "tried", "verdict"),
    [
        ("pass fail " * 4, "fail pass " * 4, Verdict.NO_EFFECT),
        ("pass " * 12, "pass " * 5 + "fail " * 7, Verdict.REGRESSED),
        ("pass " * 3, "fail " * 3, Verdict.REGRESSED),
        ("pass " * 3, "pass pass fail", Verdict.NO_EFFECT),
    ],
)
def test_a_moody_agent_regresses_only_beyond_chance(
    base: str, tried: str, verdict: Verdict
) -> None:
    found = arms("fail pass", "fail pass", ("", ""))
    for name, words in (("unpatched", base), ("patch", tried)):
        results = tuple(result(word, "p") for word in words.split())
        found.append(Arm(name, "passing", 0, len(results), None, results))

    assert decide(found, RECORDED).verdict is verdict


def test_what_is_not_clear_yet_stays_open() -> None:
    open_ = decide(arms("fail pass", "pass pass"), RECORDED)
    unmoved = decide(arms("fail pass", "fail pass"), RECORDED)
    closed = decide(arms("fail", "pass"), RECORDED)

    assert (open_.is_open, open_.is_unmoved) == (True, False)
    assert (unmoved.is_open, unmoved.is_unmoved) == (True, True)
    assert (closed.is_open, closed.is_unmoved) == (False, False)


def trial_of(verdict: Verdict, failing: str) -> Trial:
    facts = {"plan": {"failing": [failing], "controls": []}}
    arms_ = (arm("patch", "failing", "pass"),)
    return Trial("H1", verdict, verdict.value, arms_, "full", facts=facts)


@pytest.mark.parametrize(
    ("held", "verdict"),
    [
        (Verdict.FIXED, Verdict.FIXED),
        (Verdict.IMPROVED, Verdict.IMPROVED),
        (Verdict.NO_EFFECT, Verdict.NO_EFFECT),
        (Verdict.REGRESSED, Verdict.REGRESSED),
        (Verdict.UNVERIFIABLE, Verdict.UNVERIFIABLE),
    ],
)
def test_held_out_traces_have_the_last_word(held: Verdict, verdict: Verdict) -> None:
    trial = confirmed(trial_of(Verdict.FIXED, "f1"), trial_of(held, "f9"))

    assert trial.verdict is verdict
    assert [a.group for a in trial.arms] == ["failing", "held-out failing"]
    plan = {"failing": ["f1", "f9"], "controls": [], "held_out": ["f9"]}
    assert trial.facts["plan"] == plan


@pytest.mark.parametrize(
    ("kind", "verdict"), [("ValueError", Verdict.FIXED), ("KeyError", Verdict.UNVERIFIABLE)]
)
def test_a_recorded_error_must_come_back_as_the_same_error(kind: str, verdict: Verdict) -> None:
    root = Run("f", "f", status=RunStatus.ERROR, error=RunError(kind, "broken"))

    assert decide(arms("error", "pass"), {"f": Trace("f", (root,))}).verdict is verdict


def test_a_problem_is_the_reason() -> None:
    decided = decide([], RECORDED, "nothing was replayed: no such commit")

    assert decided.verdict is Verdict.UNVERIFIABLE
    assert decided.reason == "nothing was replayed: no such commit"


WORDS = st.lists(
    st.sampled_from(["pass", "fail", "error", "open", "live"]), min_size=1, max_size=5
)


@given(WORDS, WORDS, WORDS, WORDS)
def test_only_full_evidence_is_called_fixed(
    base: Sequence[str], tried: Sequence[str], before: Sequence[str], after: Sequence[str]
) -> None:
    size = min(len(before), len(after))
    pairs = list(zip(before[:size], after[:size], strict=True))
    controls = (" ".join(a for a, _ in pairs), " ".join(b for _, b in pairs))

    decided = decide(arms(" ".join(base), " ".join(tried), controls), RECORDED)

    if decided.verdict is Verdict.FIXED:
        assert set(tried) <= {"pass", "live"}
        assert "open" not in base
        assert set(base) - {"pass", "live"}
        assert all(b in ("pass", "live") for a, b in pairs if a in ("pass", "live"))


def test_the_same_arm_twice_is_never_a_fix() -> None:
    for words in ("fail", "fail pass", "error", "open", "pass", "fail fail pass pass"):
        assert decide(arms(words, words), RECORDED).verdict is not Verdict.FIXED


def test_intervals_and_p_values_are_the_books() -> None:
    assert wilson(5, 5) == pytest.approx((0.5655, 1.0), abs=1e-4)
    assert wilson(0, 0) is None
    assert fisher((5, 5), (0, 5)) == pytest.approx(1 / 252)
    assert fisher((0, 5), (5, 5)) == pytest.approx(1.0)
    assert fisher((1, 1), (0, 0)) is None


def test_fidelities_are_counted_by_arm() -> None:
    assert fidelities(arms("fail fail", "live open")) == {
        "unpatched": {"exact": 3},
        "patch": {"exact": 1, "live": 1, "unanswered": 1},
    }
