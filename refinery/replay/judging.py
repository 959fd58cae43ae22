"""From k of n in each arm to a verdict: never stronger than the evidence, never guessed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from refinery.model.trace import Json, RunStatus, Trace
from refinery.model.verdict import Arm, ReplayResult, Trial, Verdict
from refinery.replay import chance
from refinery.replay.sequential import ALPHA
from refinery.replay.statistics import fisher

FAILING, PASSING = "failing", "passing"
HELD_OUT = "held-out"
"""Stands before the group of arms a patch was confirmed on."""
UNPATCHED, NO_OP, PATCHED = "unpatched", "no-op", "patch"
ASKED_AGAIN = "unpatched, asked again"
"""The unpatched code with no recorded model reply: what the live model says today."""
HELPFUL = (Verdict.FIXED, Verdict.IMPROVED)
"""Verdicts worth an approval, best first."""

Count = tuple[int, int]
"""Passed and total."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What evidence has to reach."""

    level: float = ALPHA
    """Largest p at which an agent that acts by chance counts as changed, see `sequential`."""
    moody: str = ""
    """Why chance may have a part in what the agent does; empty: nothing says so."""
    look: int = 1
    """Which look at the arms this is."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict and what it rests on."""

    verdict: Verdict
    reason: str
    p_value: float | None = None
    warnings: tuple[str, ...] = ()
    is_open: bool = False
    """Whether more replays could lead to another verdict."""
    is_unmoved: bool = False
    """Whether the patched arm does no better so far."""


def decide(
    arms: Sequence[Arm], recorded: Mapping[str, Trace], problem: str = "", bar: Bar | None = None
) -> Decided:
    """Judge the arms of one patch.

    Args:
        arms: unpatched and patched, over failing and passing traces.
        recorded: the traces, by id, to see whether a failure was really reproduced.
        problem: why nothing was replayed; empty when something was.
        bar: what evidence has to reach; None: one look at one patch.
    """
    bar = bar or Bar(moody=chance.in_replays(arms))
    if problem:
        return Decided(Verdict.UNVERIFIABLE, problem)
    base, tried = _results(arms, FAILING, UNPATCHED), _results(arms, FAILING, _tried(arms))
    if not base or not tried:
        return Decided(Verdict.UNVERIFIABLE, "no failing trace was replayed")
    if reason := _not_reproduced(base, recorded):
        # It failed once: when it passes now, chance may have a part that nothing else shows.
        is_open = _passed(base) == len(base) and (bool(bar.moody) or bar.look == 1)
        return Decided(Verdict.UNVERIFIABLE, reason, is_open=is_open, is_unmoved=is_open)
    fresh = _results(arms, FAILING, ASKED_AGAIN)
    before, after = _count_base(fresh) if fresh else _count(base), _count(tried)
    p_value = fisher(after, before)
    counts = f"{_of(tried)} failing replays pass with the patch, {_of(fresh or base)} without"
    broken, warnings = _broken_controls(arms, bar)
    if broken:
        # A single replay of a passing trace may be bad luck; the next look takes more.
        is_open = bool(bar.moody) and bar.look == 1
        reason = f"{broken}; {counts}"
        return Decided(Verdict.REGRESSED, reason, p_value, warnings, is_open=is_open)
    if reason := _open_question(arms, tried):
        return Decided(Verdict.UNVERIFIABLE, f"{reason}; {counts}", p_value, warnings)
    if fresh and before[0] == before[1]:
        decided = _right_anyway(fresh)
    else:
        decided = _compare(before, after, p_value, bar)
    if decided.verdict is Verdict.NO_EFFECT:
        failed = next((r for r in tried if not is_pass(r)), None)
        decided = replace(decided, reason=f"; {_why(failed)}{decided.reason}" if failed else "")
    reason = f"{counts}{_controls(arms)}{decided.reason}"
    return replace(decided, reason=reason, p_value=p_value, warnings=warnings)


def _tried(arms: Sequence[Arm]) -> str:
    """The arm that is judged: the patched one, or without a patch the no-op one."""
    return PATCHED if any(arm.name == PATCHED for arm in arms) else NO_OP


def _count(results: Sequence[ReplayResult]) -> Count:
    return _passed(results), len(results)


def _count_base(fresh: Sequence[ReplayResult]) -> Count:
    """Passes of the unpatched code asked again; what nobody could answer might have passed."""
    return sum(is_pass(r) or r.unanswered for r in fresh), len(fresh)


def _right_anyway(fresh: Sequence[ReplayResult]) -> Decided:
    """The verdict when nothing says that the unpatched code would fail again."""
    unknown = [result for result in fresh if result.unanswered]
    if unknown:
        reason = f"; asked again without the patch, {_open_reason(unknown)}"
        return Decided(Verdict.UNVERIFIABLE, reason)
    reason = "; asked again, the model does right without the patch too"
    return Decided(Verdict.UNVERIFIABLE, reason, is_open=True, is_unmoved=True)


def _open_question(arms: Sequence[Arm], tried: Sequence[ReplayResult]) -> str:
    """Why the replays do not answer the question; empty when they do."""
    unanswered = [r for r in (*tried, *_sure_controls(arms)) if r.unanswered]
    if unanswered:
        return _open_reason(unanswered)
    same = _results(arms, FAILING, NO_OP) if _tried(arms) != NO_OP else []
    base = _results(arms, FAILING, UNPATCHED)
    if same and _passed(same) == len(same) and not _passed(base):
        return f"a patch that only adds a comment passes {_of(same)} as well"
    return ""


def _compare(before: Count, after: Count, p_value: float | None, bar: Bar) -> Decided:
    """The verdict when everything was answered and every control holds."""
    share_before, share_after = before[0] / before[1], after[0] / after[1]
    is_whole = after[0] == after[1]
    if not bar.moody:
        if is_whole and before[0] == 0:
            return Decided(Verdict.FIXED, "; every replay of an arm ends alike")
        if share_after > share_before:
            return Decided(Verdict.IMPROVED, "")
        worse = share_after < share_before
        return Decided(Verdict.REGRESSED if worse else Verdict.NO_EFFECT, "")
    worse_p = fisher(before, after)
    told = f"; p = {p_value or 0:.4f}, needed {bar.level:.4f} since {bar.moody}"
    if p_value is not None and p_value <= bar.level:
        return Decided(Verdict.FIXED if is_whole else Verdict.IMPROVED, told)
    if worse_p is not None and worse_p <= bar.level:
        return Decided(Verdict.REGRESSED, f"; p = {worse_p:.4f} that it does worse by chance")
    if share_after <= share_before:
        # Not one pass: more replays would cost more than they could show.
        return Decided(Verdict.NO_EFFECT, told, is_open=after[0] > 0, is_unmoved=True)
    return Decided(Verdict.UNVERIFIABLE, f"{told}: chance is not ruled out", is_open=True)


def confirmed(trial: Trial, held: Trial) -> Trial:
    """A trial with what traces showed that the patch was not chosen on.

    Args:
        trial: of the traces it was chosen on.
        held: of the others.
    """
    arms = tuple(replace(arm, group=f"{HELD_OUT} {arm.group}") for arm in held.arms)
    is_good = held.verdict in HELPFUL
    verdict = max((trial.verdict, held.verdict), key=HELPFUL.index) if is_good else held.verdict
    how = "confirmed" if is_good else "not confirmed"
    warnings = [f"held-out: {text}" for text in held.warnings if text not in trial.warnings]
    own, other = (_plan(one) for one in (trial, held))
    ids = {name: [*own.get(name, ()), *other.get(name, ())] for name in ("failing", "controls")}
    held_ids = [*other.get("failing", ()), *other.get("controls", ())]
    plan = {**own, **ids, "held_out": held_ids}
    return replace(
        trial,
        verdict=verdict,
        reason=f"{trial.reason}; {how} on held-out traces: {held.reason}",
        arms=(*trial.arms, *arms),
        warnings=(*trial.warnings, *warnings),
        duration_ms=trial.duration_ms + held.duration_ms,
        facts={**trial.facts, "plan": plan, "confirmation": held.facts},
    )


def _results(arms: Iterable[Arm], group: str, name: str) -> list[ReplayResult]:
    return [r for arm in arms if (arm.group, arm.name) == (group, name) for r in arm.results]


def _plan(trial: Trial) -> dict[str, Json]:
    kept = trial.facts.get("plan")
    return kept if isinstance(kept, dict) else {}


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
    base = _by_trace(_results(arms, PASSING, UNPATCHED))
    tried = _by_trace(_results(arms, PASSING, _tried(arms)))
    return {t: found for t, found in tried.items() if all(map(is_pass, base.get(t, [])))}


def _sure_controls(arms: Sequence[Arm]) -> list[ReplayResult]:
    return [result for found in _sound(arms).values() for result in found]


def _broken_controls(arms: Sequence[Arm], bar: Bar) -> tuple[str, tuple[str, ...]]:
    """What passing traces say against the patch, and what to warn of."""
    sound = _sound(arms)
    failed = {
        trace_id: [r for r in found if not r.unanswered and not r.passed]
        for trace_id, found in sound.items()
    }
    unsound = set(_by_trace(_results(arms, PASSING, UNPATCHED))) - set(sound)
    warnings = [
        f"control {trace_id[:18]} fails without the patch already: not counted"
        for trace_id in sorted(unsound)
        if not bar.moody
    ]
    if not sound and not unsound:
        warnings.append("no passing trace was replayed: nothing says that the patch breaks none")
    elif not sound:
        warnings.append("no passing trace passes without the patch in every replay")
    worst = [found for t, found in failed.items() if len(found) == len(sound[t])]
    if not bar.moody or worst:
        broken = worst if bar.moody else [found for found in failed.values() if found]
        if broken:
            why = _why(broken[0][0])
            return f"{len(broken)} passing traces fail with the patch ({why})", tuple(warnings)
        return "", tuple(warnings)
    base, tried = (_results(arms, PASSING, name) for name in (UNPATCHED, _tried(arms)))
    p_value = fisher(_count(base), _count(tried))
    counts = f"{_of(tried)} passing replays pass with the patch, {_of(base)} without"
    if p_value is not None and p_value <= ALPHA:
        return f"{counts} (p = {p_value:.4f})", tuple(warnings)
    if _passed(tried) < _passed(base):
        warnings.append(f"{counts}: within what chance does")
    return "", tuple(warnings)


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
