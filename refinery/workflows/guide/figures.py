"""What a trial showed, in words and with the figures as they were measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from refinery.agents.attempt import Attempt
from refinery.model.trace import Trace
from refinery.model.verdict import Arm, ReplayResult, Trial, Verdict
from refinery.replay.judging import PATCHED, UNPATCHED
from refinery.workflows.guide import conversation
from refinery.workflows.guide.pages import Pair

MOST_PAIRS = 5
"""Conversations whose answers are shown side by side."""
VERDICTS = {
    "fixed": "proven",
    "improved": "helps, but not every time",
    "no effect": "does not help",
    "regressed": "makes other conversations worse",
    "unverifiable": "could not be tried out",
}
_TITLES = {
    Verdict.FIXED: "It worked when it was tried out",
    Verdict.IMPROVED: "It helps, but not every time",
    Verdict.NO_EFFECT: "It does not help",
    Verdict.REGRESSED: "It makes other conversations worse",
    Verdict.UNVERIFIABLE: "It could not be tried out",
}
FAILING, PASSING = "failing", "passing"


_NONE_AT_HAND = (
    "No other conversation was at hand to compare with, so I cannot say what the fix does to "
    "others."
)

_UNANSWERED = (
    "With the fix the agent asks something new, and the service that writes its answers could not "
    "be asked from here. An engineer has to set that up once. So nothing is proven."
)
_ALREADY_TITLE = "The agent answers it rightly by now"
_ALREADY = (
    "As the agent is now, it answers this as you said, without the fix: something was changed "
    "since the conversation. So there is nothing a fix could be shown to help with."
)
_UNPROVEN = "The conversations could not be played again as they were, so nothing is proven."


@dataclass(frozen=True, slots=True)
class Told:
    """A trial for people."""

    title: str
    said: tuple[str, ...]
    pairs: tuple[Pair, ...]


def told(trial: Trial, load: Callable[[str], Trace | None]) -> Told:
    """What a trial showed; only what was measured is said."""
    said = [_of_failing(trial), _of_passing(trial)]
    if trial.verdict is Verdict.UNVERIFIABLE and _is_right_already(trial):
        said.insert(0, _ALREADY)
        return Told(_ALREADY_TITLE, tuple(s for s in said if s), tuple(_pairs(trial, load)))
    if trial.verdict is Verdict.UNVERIFIABLE:
        said.insert(0, _UNANSWERED if "nobody could answer" in trial.reason else _UNPROVEN)
    return Told(_TITLES[trial.verdict], tuple(s for s in said if s), tuple(_pairs(trial, load)))


def _is_right_already(trial: Trial) -> bool:
    before = _arm(trial, FAILING, UNPATCHED)
    return before is not None and before.passed == before.total > 0


def _of_failing(trial: Trial) -> str:
    before, after = _arm(trial, FAILING, UNPATCHED), _arm(trial, FAILING, PATCHED)
    if after is None:
        return ""
    count = len({result.trace_id for result in after.results})
    which = "This conversation was" if count == 1 else f"These {count} conversations were"
    now = f"{which} played {after.total} times with the fix: {after.passed} of {after.total} right"
    was = f", {before.passed} of {before.total} before." if before is not None else "."
    return now + was


def _of_passing(trial: Trial) -> str:
    before, after = _arm(trial, PASSING, UNPATCHED), _arm(trial, PASSING, PATCHED)
    if after is None or after.total == 0:
        return _NONE_AT_HAND
    wrong_before = {r.trace_id for r in before.results if not r.passed} if before else set()
    sound = {result.trace_id for result in after.results} - wrong_before
    lost = {r.trace_id for r in after.results if not r.passed} & sound
    others = "1 other conversation" if len(sound) == 1 else f"{len(sound)} other conversations"
    if lost:
        return f"Of {others} that were right before, {len(lost)} came out wrong with the fix."
    verb = "is" if len(sound) == 1 else "are"
    return f"{others}, right before, {verb} still right." if sound else _NONE_AT_HAND


def _pairs(trial: Trial, load: Callable[[str], Trace | None]) -> list[Pair]:
    found = []
    for group in (FAILING, PASSING):
        before, after = _arm(trial, group, UNPATCHED), _arm(trial, group, PATCHED)
        for result in _first_of_each(after.results if after else ()):
            trace = load(result.trace_id)
            was = next(
                (r for r in (before.results if before else ()) if r.trace_id == result.trace_id),
                None,
            )
            if trace is not None and was is not None:
                asked = conversation.title(trace)
                found.append(Pair(asked, _answer(was), _answer(result)))
    return found[:MOST_PAIRS]


def _first_of_each(results: Sequence[ReplayResult]) -> list[ReplayResult]:
    """One result a conversation; of several, one that came out as most did."""
    kept: dict[str, ReplayResult] = {}
    for trace_id in dict.fromkeys(result.trace_id for result in results):
        own = [result for result in results if result.trace_id == trace_id]
        passed = sum(result.passed for result in own) * 2 >= len(own)
        kept[trace_id] = next((r for r in own if r.passed is passed), own[0])
    return list(kept.values())


def _answer(result: ReplayResult) -> str:
    if result.status == "ok":
        text = conversation.result_text(result.output)
        return conversation.shortened(text, 240) or "(no answer)"
    return "(it broke off)" if result.status == "error" else "(no answer could be had)"


def _arm(trial: Trial, group: str, name: str) -> Arm | None:
    return next((arm for arm in trial.arms if (arm.group, arm.name) == (group, name)), None)


def details(attempt: Attempt) -> tuple[str, ...]:
    """The same for an engineer: title, verdict, arms, guard, and the diff."""
    trial, guard, patch = attempt.trial, attempt.guard, attempt.patch
    found = [f"{attempt.hypothesis.hypothesis_id} {attempt.hypothesis.title}"]
    if trial is not None:
        found.append(f"{trial.verdict.value}: {trial.reason} (sandbox: {trial.sandbox})")
        found += [f"{arm.name}, {arm.group}: {arm.passed} of {arm.total}" for arm in trial.arms]
        found += [f"check {check}" for check in trial.checks]
        found += [f"warning: {warning}" for warning in trial.warnings]
    if guard is not None:
        found.append(f"guard: {guard.outcome.value}")
        found += [f"{remark.rule}: {remark.message}" for remark in guard.remarks]
    if patch is not None:
        found += patch.diff.splitlines()
    return tuple(found)
