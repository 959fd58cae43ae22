"""From k of n in each arm to a verdict: never stronger than the evidence, never guessed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from refinery.model.trace import RunStatus, Trace
from refinery.model.verdict import Arm, Fidelity, ReplayResult, Verdict
from refinery.replay.statistics import fisher

FAILING, PASSING = "failing", "passing"
UNPATCHED = "unpatched"
ASKED_AGAIN = "unpatched, asked again"
"""The unpatched code with no recorded model reply: what the live model says today."""
SIGNIFICANT = 0.05
"""Largest p at which a failure that comes and goes counts as fixed."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict and what it rests on."""

    verdict: Verdict
    reason: str
    p_value: float | None = None
    warnings: tuple[str, ...] = ()


def decide(arms: Sequence[Arm], recorded: Mapping[str, Trace], problem: str = "") -> Decided:
    """Judge the arms of one patch.

    Args:
        arms: unpatched and patched, over failing and passing traces.
        recorded: the traces, by id, to see whether a failure was really reproduced.
        problem: why nothing was replayed; empty when something was.
    """
    if problem:
        return Decided(Verdict.UNVERIFIABLE, problem)
    base, tried = (_results(arms, FAILING, is_base=is_base) for is_base in (True, False))
    if not base or not tried:
        return Decided(Verdict.UNVERIFIABLE, "no failing trace was replayed")
    if reason := _not_reproduced(base, recorded):
        return Decided(Verdict.UNVERIFIABLE, reason)
    broken, warnings = _broken_controls(arms)
    fresh, notes = _asked_again(arms, tried)
    base, warnings = fresh or base, (*warnings, *notes)
    p_value = fisher((_passed(tried), len(tried)), (_passed(base), len(base)))
    counts = f"{_of(tried)} failing replays pass with the patch, {_of(base)} without"
    if broken:
        reason = f"{len(broken)} passing traces fail with the patch ({_why(broken[0])}); {counts}"
        return Decided(Verdict.REGRESSED, reason, p_value, warnings)
    open_results = [r for r in (*tried, *_sure_controls(arms)) if r.unanswered]
    if open_results:
        reason = f"{_open_reason(open_results)}; {counts}"
        return Decided(Verdict.UNVERIFIABLE, reason, p_value, warnings)
    if fresh and _passed(fresh) == len(fresh):
        reason = f"asked again, the model does right without the patch too; {counts}"
        return Decided(Verdict.UNVERIFIABLE, reason, p_value, warnings)
    verdict, rest = _compare(base, tried, p_value)
    return Decided(verdict, f"{counts}{_controls(arms)}{rest}", p_value, warnings)


def _compare(
    base: Sequence[ReplayResult], tried: Sequence[ReplayResult], p_value: float | None
) -> tuple[Verdict, str]:
    """The verdict when everything was answered and every control holds."""
    before, after = _passed(base), _passed(tried)
    share_before, share_after = before / len(base), after / len(tried)
    if after == len(tried) and before == 0:
        return Verdict.FIXED, ""
    if after == len(tried) and p_value is not None and p_value < SIGNIFICANT:
        return Verdict.FIXED, f"; the failure comes and goes (p = {p_value:.3f})"
    if share_after > share_before:
        rest = "; the failure comes and goes: repeat more often" if before else ""
        return Verdict.IMPROVED, rest
    if share_after < share_before:
        return Verdict.REGRESSED, ""
    return Verdict.NO_EFFECT, f"; {_why(next(r for r in tried if not r.passed))}"


def _asked_again(
    arms: Sequence[Arm], tried: Sequence[ReplayResult]
) -> tuple[list[ReplayResult], tuple[str, ...]]:
    """What a patched arm with live replies is compared with, and a warning when it is missing.

    Empty when the patched arm was answered from the tape alone, or nothing could be asked again.
    """
    if not any(s.fidelity is Fidelity.LIVE and s.kind == "llm" for r in tried for s in r.steps):
        return [], ()
    fresh = [r for arm in arms if arm.name == ASKED_AGAIN for r in arm.results]
    if fresh and not any(result.unanswered for result in fresh):
        return fresh, ()
    note = "the unpatched code could not be run with live replies: chance is not ruled out"
    return [], (note,)


def _results(arms: Iterable[Arm], group: str, *, is_base: bool) -> list[ReplayResult]:
    return [
        result
        for arm in arms
        if arm.group == group and arm.name != ASKED_AGAIN and (arm.name == UNPATCHED) is is_base
        for result in arm.results
    ]


def _passed(results: Iterable[ReplayResult]) -> int:
    return sum(is_pass(result) for result in results)


def is_pass(result: ReplayResult) -> bool:
    """Whether a replay ended, was answered throughout, and holds every check."""
    return result.passed and not result.unanswered


def _of(results: Sequence[ReplayResult]) -> str:
    return f"{_passed(results)} of {len(results)}"


def _why(result: ReplayResult) -> str:
    """What was wrong with one replay, in a few words."""
    missed = next((check for check in result.checks if not check.held), None)
    if missed is None:
        return f"it ended as {result.status}"
    said = missed.detail.partition("\n")[0]
    return f"{missed.check}{': ' + said if said else ''}"[:300]


def _open_reason(results: Sequence[ReplayResult]) -> str:
    """Which step had no answer, for the first of the results."""
    step = next((s for s in results[0].steps if s.fidelity.value == "unanswered"), None)
    what = f"{step.kind} {step.name}: {step.detail}" if step else "a step"
    return f"{len(results)} replays had a step nobody could answer ({what})"


def _not_reproduced(base: Sequence[ReplayResult], recorded: Mapping[str, Trace]) -> str:
    """Why the unpatched arm does not show the recorded failure; empty when it does."""
    unanswered = [result for result in base if result.unanswered]
    if unanswered:
        return f"the unpatched run could not be replayed: {_open_reason(unanswered)}"
    strange = [r for r in base if not r.passed and _is_other_failure(r, recorded)]
    if strange:
        trace_id, how = strange[0].trace_id[:18], strange[0].error or strange[0].status
        return f"the unpatched replay of {trace_id} ends otherwise than recorded: {how}"[:500]
    if _passed(base) == len(base):
        return f"the failure is not reproduced: {_of(base)} unpatched replays pass"
    return ""


def _is_other_failure(result: ReplayResult, recorded: Mapping[str, Trace]) -> bool:
    """Whether a replay failed in another way than its recording, e.g. at import."""
    trace = recorded.get(result.trace_id)
    if trace is None or trace.root is None or result.status == "ok":
        return False
    if trace.status is not RunStatus.ERROR:
        return True
    kind = trace.root.error.type.rpartition(".")[2] if trace.root.error else ""
    return result.status != "error" or not (result.error or "").startswith(kind)


def _by_trace(results: Iterable[ReplayResult]) -> dict[str, list[ReplayResult]]:
    found: dict[str, list[ReplayResult]] = {}
    for result in results:
        found.setdefault(result.trace_id, []).append(result)
    return found


def _sound(arms: Sequence[Arm]) -> dict[str, list[ReplayResult]]:
    """Patched replays of controls that hold without the patch, by trace."""
    base = _by_trace(_results(arms, PASSING, is_base=True))
    tried = _by_trace(_results(arms, PASSING, is_base=False))
    return {t: found for t, found in tried.items() if all(map(is_pass, base.get(t, [])))}


def _sure_controls(arms: Sequence[Arm]) -> list[ReplayResult]:
    return [result for found in _sound(arms).values() for result in found]


def _broken_controls(arms: Sequence[Arm]) -> tuple[list[ReplayResult], tuple[str, ...]]:
    """Patched replays of sound controls that fail for certain, and what to warn of."""
    sound = _sound(arms)
    broken = [r for r in _sure_controls(arms) if not r.unanswered and not r.passed]
    unsound = set(_by_trace(_results(arms, PASSING, is_base=True))) - set(sound)
    warnings = [
        f"control {trace_id[:18]} fails without the patch already: not counted"
        for trace_id in sorted(unsound)
    ]
    if not sound:
        warnings.append("no passing trace was replayed: nothing says that the patch breaks none")
    return broken, tuple(warnings)


def _controls(arms: Sequence[Arm]) -> str:
    held = _sure_controls(arms)
    return f"; {_of(held)} passing replays still pass" if held else ""


def fidelities(arms: Iterable[Arm]) -> dict[str, dict[str, int]]:
    """How often each fidelity occurred, by arm name."""
    counts: dict[str, Counter[str]] = {}
    for arm in arms:
        steps = (step.fidelity.value for result in arm.results for step in result.steps)
        counts.setdefault(arm.name, Counter()).update(steps)
    return {name: dict(sorted(found.items())) for name, found in counts.items()}
