"""Which attempt is put up for approval."""

from refinery.agents.attempt import Attempt, best, ranked
from refinery.model.codec import decode, encode
from refinery.model.patch import FileChange, Hypothesis, Patch
from refinery.model.verdict import GuardReport, Outcome, Trial, Verdict


def attempt(number: int, verdict: Verdict | None, outcome: Outcome = Outcome.ALLOW) -> Attempt:
    name = f"H{number}"
    hypothesis = Hypothesis(name, "F1", "title", "why", "prompt", (), 0.5)
    changes = (FileChange("a.py", b"x\n", b"y\n"),)
    patch = Patch((), changes, "base", "--- a/a.py\n+++ b/a.py\n-x\n+y\n", "digest")
    trial = Trial(name, verdict, "1 of 1", (), "full") if verdict else None
    return Attempt(hypothesis, patch, GuardReport(outcome, (), "digest"), trial)


def test_nothing_is_chosen_without_an_improvement() -> None:
    tried = [attempt(1, Verdict.NO_EFFECT), attempt(2, Verdict.UNVERIFIABLE), attempt(3, None)]

    assert best(tried) is None


def test_a_proven_fix_wins_over_an_improvement() -> None:
    chosen = best([attempt(1, Verdict.IMPROVED), attempt(2, Verdict.FIXED)])

    assert chosen is not None
    assert chosen.hypothesis.hypothesis_id == "H2"


def test_a_patch_the_guard_allows_wins_over_a_held_one() -> None:
    chosen = best([attempt(1, Verdict.FIXED, Outcome.HOLD), attempt(10, Verdict.FIXED)])

    assert chosen is not None
    assert chosen.hypothesis.hypothesis_id == "H10"


def test_the_higher_rank_wins_among_equals_in_any_order() -> None:
    tried = [attempt(10, Verdict.FIXED), attempt(2, Verdict.FIXED), attempt(3, Verdict.FIXED)]

    assert {best(order).hypothesis.hypothesis_id for order in (tried, tried[::-1])} == {"H2"}


def test_the_likelier_hypothesis_wins_among_fixes() -> None:
    first, tenth = attempt(1, Verdict.FIXED), attempt(10, Verdict.FIXED)

    assert [a.hypothesis.hypothesis_id for a in ranked([tenth, first])] == ["H1", "H10"]


def test_a_blocked_patch_is_not_provable() -> None:
    assert not attempt(1, None, Outcome.BLOCK).is_provable
    assert attempt(1, None, Outcome.HOLD).is_provable


def test_an_attempt_survives_the_checkpoint() -> None:
    original = attempt(1, Verdict.FIXED)

    assert decode(Attempt, encode(original)) == original
