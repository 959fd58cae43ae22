"""A controlled trial of a patch: the same recorded runs, replayed with and without it.

The unpatched arm is needed by every hypothesis and expensive, so `baseline` runs it once and
`run_trial` takes it. Both arms use the same list of touched paths, so the same tools and
retrievers run for real in both; give the union over all hypotheses as `touched` to share one
baseline between them.

A recorded reply repeats; a live model may answer otherwise each time, patch or no patch. So when
the agent's own model may be asked, the unpatched code also runs with every request asked again
(arm `unpatched, asked again`), and a patched arm with live replies is compared with that one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from refinery import clock
from refinery.errors import InputError, ReplayError
from refinery.model.patch import FileChange
from refinery.model.trace import Json
from refinery.model.verdict import Arm, ReplayResult, Trial
from refinery.replay import canonical, compare, judging, scoring
from refinery.replay.cases import Case, Planned, TrialRequest, plan
from refinery.replay.judging import ASKED_AGAIN, FAILING, PASSING, UNPATCHED
from refinery.replay.program import Code
from refinery.replay.runner import Batch, Replayed, replay
from refinery.replay.session import Rules
from refinery.replay.statistics import wilson

NO_OP, PATCHED = "no-op", "patch"

__all__ = ["Baseline", "Case", "TrialRequest", "arm_name", "baseline", "run_trial"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unpatched arm."""

    touched: tuple[str, ...]
    """Paths counted as touched when it was run."""
    arms: tuple[Arm, ...] = ()
    meaning: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """What recorded model calls really sent, see `session.Rules`."""
    warnings: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing could be replayed; empty when something was."""


@dataclass(frozen=True, slots=True)
class _Variant:
    """The code of one arm."""

    name: str
    changes: tuple[FileChange, ...] = ()
    meaning: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def arm_name(hypothesis_id: str) -> str:
    """What live answers to a patched arm are filed under."""
    return f"{PATCHED} {hypothesis_id}"


def baseline(request: TrialRequest) -> Baseline:
    """Replay all cases without the patch.

    Raises:
        InputError: a check is not valid.
        RefusedError: the sandbox did not start.
    """
    scoring.validate([c for case in (*request.failing, *request.controls) for c in case.checks])
    planned, warnings = plan(request)
    if all(one.is_control for one in planned):
        problem = "; ".join(warnings) or "there is no failing trace"
        return Baseline(request.paths, problem=f"nothing can be replayed: {problem}")
    try:
        arms, meaning, notes = _run(request, planned, _Variant(UNPATCHED))
    except (InputError, ReplayError) as error:
        return Baseline(request.paths, problem=f"nothing was replayed: {error}")
    return Baseline(request.paths, arms, meaning, (*warnings, *notes))


def run_trial(request: TrialRequest, base: Baseline | None = None) -> Trial:
    """Try a patch.

    Args:
        request: what to try.
        base: the unpatched arm when it is known; it is run anew when it is missing or was made
            for fewer touched paths.

    Raises:
        InputError: a check is not valid.
        RefusedError: the sandbox did not start.
    """
    started_s = clock.monotonic_s()
    if base is None or not set(request.paths) <= set(base.touched):
        base = baseline(request)
    request = replace(request, touched=base.touched)
    arms, warnings, problem = base.arms, list(base.warnings), base.problem
    if not problem:
        name = PATCHED if request.patch else NO_OP
        changes = request.patch.changes if request.patch else ()
        try:
            tried, _, notes = _run(
                request, plan(request)[0], _Variant(name, changes, base.meaning)
            )
            arms, warnings = (*arms, *tried), [*warnings, *notes]
        except (InputError, ReplayError) as error:
            problem = f"the patched code was not replayed: {error}"
    traces = {c.trace.trace_id: c.trace for c in (*request.failing, *request.controls)}
    decided = judging.decide(arms, traces, problem)
    return Trial(
        hypothesis_id=request.hypothesis_id,
        verdict=decided.verdict,
        reason=decided.reason,
        arms=arms,
        sandbox=request.agent.tier,
        p_value=decided.p_value,
        checks=tuple(dict.fromkeys(str(c) for case in request.failing for c in case.wanted)),
        warnings=tuple(dict.fromkeys([*warnings, *decided.warnings])),
        duration_ms=(clock.monotonic_s() - started_s) * 1000,
        facts={"touched": list(base.touched), "fidelity": judging.fidelities(arms)},
    )


def _run(
    request: TrialRequest, planned: Sequence[Planned], variant: _Variant
) -> tuple[tuple[Arm, ...], dict[str, dict[str, Json]], list[str]]:
    """Replay and score all cases with one variant of the code.

    Returns its arms, what model calls were learnt to send, and warnings.
    """
    repeated = [one for one in planned for _ in range(request.repeats)]
    asks_again = variant.name == UNPATCHED and request.agent.upstream is not None
    done: list[tuple[Planned, Replayed]] = []
    again: list[tuple[Planned, Replayed]] = []
    for program in dict.fromkeys(one.program for one in repeated):
        members = [one for one in repeated if one.program == program]
        twice = [one for one in members if asks_again and not one.is_control and one.tape.calls]
        found = replay(_batch(request, [*members, *twice], variant, asked_again=len(twice)))
        done += zip(members, found[: len(members)], strict=True)
        again += zip(twice, found[len(members) :], strict=True)
    scored = scoring.score(request, done)
    arms = [*_arms(variant.name, scored), *_arms(ASKED_AGAIN, scoring.score(request, again))]
    learnt = {run_id: sent for _, r in done for run_id, sent in r.learnt.items()}
    return tuple(arms), learnt, _changed_controls(variant.name, scored)


def _batch(
    request: TrialRequest, members: Sequence[Planned], variant: _Variant, *, asked_again: int
) -> Batch:
    first = members[0]
    known = frozenset(
        found
        for change in variant.changes
        for found in canonical.uuids((change.after or b"").decode("utf-8", "replace"))
    )
    rules = Rules(
        is_unchanged=variant.name == UNPATCHED and first.is_unchanged,
        meaning=variant.meaning,
        known=known,
    )
    return Batch(
        agent=request.agent,
        code=Code(request.base_commit, first.dirty_diff, variant.changes),
        tapes=tuple(one.tape for one in members),
        touched=request.paths,
        rules=rules,
        asked_again=asked_again,
        name=variant.name if variant.name == UNPATCHED else arm_name(request.hypothesis_id),
    )


def _arms(name: str, scored: Sequence[tuple[Planned, ReplayResult]]) -> list[Arm]:
    arms = []
    for group, is_control in ((FAILING, False), (PASSING, True)):
        results = tuple(result for one, result in scored if one.is_control is is_control)
        if results:
            passed = sum(judging.is_pass(result) for result in results)
            interval = wilson(passed, len(results))
            arms.append(Arm(name, group, passed, len(results), interval, results))
    return arms


def _changed_controls(name: str, scored: Sequence[tuple[Planned, ReplayResult]]) -> list[str]:
    """A warning that counts controls whose result is not the recorded one."""
    controls = [(one, r) for one, r in scored if one.is_control and r.status == "ok"]
    changed = sum(not compare.is_same_output(one.tape, r.output) for one, r in controls)
    if not changed:
        return []
    return [f"{changed} of {len(controls)} passing replays ({name}) give another result"]
