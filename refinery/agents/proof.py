"""Tries the attempts of a fix: one shared unpatched arm, then each patch, two at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from refinery.agents.attempt import Attempt
from refinery.agents.state import FixState
from refinery.codebase.repository import Repository
from refinery.detectors import observe
from refinery.model.trace import Trace
from refinery.model.verdict import Trial
from refinery.replay import checks, configure
from refinery.replay.cases import Case, TrialRequest
from refinery.replay.judging import UNPATCHED
from refinery.replay.live_answers import Exchange
from refinery.replay.trial import Baseline, arm_name, baseline, run_trial
from refinery.replay.upstream import Upstream
from refinery.settings import Settings

AT_ONCE = 2
"""Trials that run side by side; each replays in a process of its own."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the trials of one fix share."""

    repository: Repository
    settings: Settings
    load_trace: Callable[[str], Trace]
    say: Callable[[str], None]
    state: FixState
    categories: tuple[str, ...]
    """Categories of the findings: what a fix must remove when the user named no checks."""
    judge: checks.Judge | None = None
    """Who evaluates checks of kind `judge`."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What the trials showed."""

    attempts: tuple[Attempt, ...]
    exchanges: tuple[Exchange, ...] = ()
    """What live models answered, all arms together."""

    def exchanges_of(self, chosen: str) -> list[Exchange]:
        """Those of the unpatched arms and of one attempt's."""
        arms = (UNPATCHED, arm_name(chosen))
        return [item for item in self.exchanges if item.lane.startswith(arms)]


def run(proof: Proof, attempts: Sequence[Attempt]) -> Proven:
    """Try every attempt the guard does not block; the others come back as they are.

    Raises:
        InputError: a check or the agent's settings are not usable.
        RefusedError: no sandbox holds here.
    """
    provable = [attempt for attempt in attempts if attempt.is_provable]
    if not provable:
        return Proven(tuple(attempts))
    shared = _request(proof, provable)
    proof.say(
        f"replaying {len(shared.failing)} failing and {len(shared.controls)} passing traces "
        f"without a patch (sandbox: {shared.agent.tier})"
    )
    base = baseline(shared)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = pool.map(lambda attempt: _try(proof, shared, base, attempt), provable)
        tried = {attempt.hypothesis.hypothesis_id: attempt for attempt in trials}
    done = tuple(tried.get(a.hypothesis.hypothesis_id, a) for a in attempts)
    asked = shared.agent.upstream
    return Proven(done, asked.log.exchanges if isinstance(asked, Upstream) else ())


def _try(proof: Proof, shared: TrialRequest, base: Baseline, attempt: Attempt) -> Attempt:
    name = attempt.hypothesis.hypothesis_id
    trial = run_trial(replace(shared, hypothesis_id=name, patch=attempt.patch), base)
    proof.say(f"{name}: {trial.verdict.value} ({trial.reason})")
    return replace(attempt, trial=_slim(trial))


def _slim(trial: Trial) -> Trial:
    """The trial without the replayed runs, which would swell every checkpoint."""
    arms = tuple(
        replace(arm, results=tuple(replace(r, replayed=None) for r in arm.results))
        for arm in trial.arms
    )
    return replace(trial, arms=arms)


def _request(proof: Proof, attempts: Sequence[Attempt]) -> TrialRequest:
    """What all trials have in common; every patch's paths count as touched in all of them."""
    state = proof.state
    configured = configure.configure(
        proof.settings, proof.repository.root, allow_unsandboxed=state["unsandboxed"]
    )
    for warning in configured.warnings:
        proof.say(warning)
    touched = {c.path for a in attempts if a.patch for c in a.patch.changes}
    wanted = tuple(checks.parse(text) for text in state["checks"])
    failing = Case(proof.load_trace(state["trace_id"]), wanted, proof.categories)
    labelled = state["control_checks"]
    controls = tuple(
        Case(
            proof.load_trace(trace_id),
            tuple(checks.parse(text) for text in labelled.get(trace_id, ())),
        )
        for trace_id in state["control_ids"]
    )
    return TrialRequest(
        hypothesis_id="",
        patch=None,
        failing=(failing,),
        controls=controls,
        agent=configured.agent,
        base_commit=state["base_commit"],
        repeats=state["repeats"],
        observe=observe,
        judge=proof.judge,
        touched=tuple(sorted(touched)),
    )
