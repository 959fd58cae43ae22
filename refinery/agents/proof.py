"""Tries the attempts of a fix: shared arms without a patch, then each patch, two at a time.

The best one is made as small as its evidence allows, and confirmed on traces it was not chosen on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from refinery.agents.attempt import Attempt, ranked
from refinery.agents.state import FixState
from refinery.agents.trial_cost import expected
from refinery.codebase.repository import Repository
from refinery.codebase.scan import SourceTree
from refinery.detectors import observe
from refinery.llm.purse import Purse
from refinery.model.patch import FileChange, Patch
from refinery.model.trace import Trace
from refinery.model.verdict import GuardReport, Outcome, Trial, Verdict
from refinery.replay import affected, arms, checks, configure
from refinery.replay.cases import Case, TrialRequest
from refinery.replay.judging import HELPFUL, NO_OP, UNPATCHED
from refinery.replay.live_answers import Exchange
from refinery.replay.minimise import minimise
from refinery.replay.spending import Metered
from refinery.replay.trial import Baseline, arm_name, baseline, confirm, run_trial
from refinery.replay.upstream import Upstream
from refinery.settings import Settings

AT_ONCE = 2
"""Trials that run side by side; each replays in a process of its own."""
NOT_NEEDED = "not tried: a likelier fix was proven first"
AFFECTED_SHARE = 8
"""One of so many replays of a trial may go to each arm's traces that a patch can change."""
SPLIT_FROM = 4
"""Failing traces from which on some are held out to confirm the winner; chosen by us."""


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
    review: Callable[[Patch], GuardReport]
    """What the guard says of a patch."""
    judge: checks.Judge | None = None
    """Who evaluates checks of kind `judge`."""
    purse: Purse = field(default_factory=Purse)
    """What the trials may spend, with the analysis before them."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What the trials showed."""

    attempts: tuple[Attempt, ...]
    exchanges: tuple[Exchange, ...] = ()
    """What live models answered, all arms together."""

    def exchanges_of(self, chosen: Attempt) -> list[Exchange]:
        """Those of the arms without a patch and of one attempt's."""
        plan = chosen.trial.facts.get("plan") if chosen.trial else None
        lane = plan.get("lane") if isinstance(plan, dict) else None
        own = arm_name(str(lane or chosen.hypothesis.hypothesis_id))
        return [e for e in self.exchanges if arms.lane_of(e.lane) in (UNPATCHED, NO_OP, own)]


def run(proof: Proof, attempts: Sequence[Attempt]) -> Proven:
    """Try every attempt the guard does not block; the others come back as they are.

    Raises:
        InputError: a check or the agent's settings are not usable.
        RefusedError: no sandbox holds here.
    """
    provable = [attempt for attempt in attempts if attempt.is_provable]
    if not provable:
        return Proven(tuple(attempts))
    whole = _request(proof, provable)
    shared = replace(whole, held_out=(), held_controls=())
    proof.say(
        f"replaying {len(shared.failing)} failing and {len(shared.controls)} passing traces "
        f"without a patch (sandbox: {shared.agent.tier})"
    )
    tried = _tried(proof, whole, shared, provable)
    by_name = {attempt.hypothesis.hypothesis_id: attempt for attempt in tried}
    done = tuple(by_name.get(a.hypothesis.hypothesis_id, a) for a in attempts)
    asked = shared.agent.upstream
    log = (
        asked.asked.log
        if isinstance(asked, Metered) and isinstance(asked.asked, Upstream)
        else None
    )
    return Proven(done, log.exchanges if log else ())


def _tried(
    proof: Proof, whole: TrialRequest, shared: TrialRequest, provable: Sequence[Attempt]
) -> list[Attempt]:
    """Try the attempts by rank, a few at a time, until one is proven: none below could win."""
    with proof.purse.set_aside(expected(shared, proof.judge, judged_only=True)) as is_there:
        if not is_there:
            return [replace(attempt, problem=_beyond(proof)) for attempt in provable]
        base = baseline(shared)
    done: list[Attempt] = []
    waiting, unpaid = list(provable), list[Attempt]()
    while waiting:
        batch, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        tried = _batch(proof, shared, base, batch)
        if tried is None and len(batch) > 1:
            batch, waiting = batch[:1], [*batch[1:], *waiting]
            tried = _batch(proof, shared, base, batch)
        if tried is None:
            unpaid, waiting = [*batch, *waiting], []
        done += tried or ()
        if done and (not waiting or any(_is_proven(attempt) for attempt in done)):
            done = _settle(proof, whole, base, done)
        if any(_is_proven(attempt) for attempt in done):
            break
    return [
        *done,
        *(replace(attempt, problem=NOT_NEEDED) for attempt in waiting),
        *(replace(attempt, problem=_beyond(proof)) for attempt in unpaid),
    ]


def _batch(
    proof: Proof, shared: TrialRequest, base: Baseline, batch: Sequence[Attempt]
) -> list[Attempt] | None:
    """The attempts tried side by side; None when what that is expected to cost is not left."""
    one = expected(shared, proof.judge, first=base.first)
    with proof.purse.set_aside({part: usd * len(batch) for part, usd in one.items()}) as is_there:
        if not is_there:
            return None
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda attempt: _try(proof, shared, base, attempt), batch))


def _beyond(proof: Proof) -> str:
    left, limit = proof.purse.left_usd or 0.0, proof.purse.limit_usd or 0.0
    return (
        f"not tried: a trial is expected to cost more than is left, {left:.4f} of {limit:.4f} USD"
    )


def _is_proven(attempt: Attempt) -> bool:
    is_fixed = attempt.trial is not None and attempt.trial.verdict is Verdict.FIXED
    return is_fixed and attempt.guard is not None and attempt.guard.outcome is Outcome.ALLOW


def _try(proof: Proof, shared: TrialRequest, base: Baseline, attempt: Attempt) -> Attempt:
    name = attempt.hypothesis.hypothesis_id
    trial = run_trial(replace(shared, hypothesis_id=name, patch=attempt.patch), base)
    proof.say(f"{name}: {trial.verdict.value} ({trial.reason})")
    return replace(attempt, trial=_slim(trial))


def _settle(
    proof: Proof, whole: TrialRequest, base: Baseline, tried: Sequence[Attempt]
) -> list[Attempt]:
    """Make the best attempt small and confirm it; when it falls, go on with the next one."""
    found = {attempt.hypothesis.hypothesis_id: attempt for attempt in tried}
    for attempt in ranked(tried):
        settled = _confirmed(whole, _smallest(proof, whole, base, attempt))
        found[settled.hypothesis.hypothesis_id] = settled
        if settled.trial and settled.trial.verdict in HELPFUL:
            break
        proof.say(f"{settled.hypothesis.hypothesis_id}: not confirmed on held-out traces")
    return list(found.values())


def _smallest(proof: Proof, whole: TrialRequest, base: Baseline, attempt: Attempt) -> Attempt:
    assert attempt.trial is not None
    name = attempt.hypothesis.hypothesis_id
    request = replace(
        whole, hypothesis_id=name, patch=attempt.patch, held_out=(), held_controls=()
    )

    def allows(patch: Patch) -> bool:
        return proof.review(patch).outcome is not Outcome.BLOCK

    left = minimise(request, attempt.trial, base, allows)
    if left.dropped:
        dropped = ", ".join(map(str, left.dropped))
        proof.say(f"{name}: holds without {dropped}, which {_is_are(left.dropped)} dropped")
        guard = proof.review(left.patch)
        return replace(attempt, patch=left.patch, guard=guard, trial=_slim(left.trial))
    return replace(attempt, trial=_slim(left.trial))


def _is_are(items: Sequence[object]) -> str:
    return "is" if len(items) == 1 else "are"


def _confirmed(whole: TrialRequest, attempt: Attempt) -> Attempt:
    assert attempt.trial is not None
    if not whole.held_out:
        return attempt
    name = attempt.hypothesis.hypothesis_id
    plan = attempt.trial.facts.get("plan")
    lane = str(plan.get("lane") or "") if isinstance(plan, dict) else ""
    request = replace(whole, hypothesis_id=name, patch=attempt.patch, lane=lane)
    return replace(attempt, trial=_slim(confirm(request, attempt.trial)))


def _slim(trial: Trial) -> Trial:
    """The trial without the replayed runs, which would swell every checkpoint."""
    slim = tuple(
        replace(arm, results=tuple(replace(r, replayed=None) for r in arm.results))
        for arm in trial.arms
    )
    return replace(trial, arms=slim)


def _request(proof: Proof, attempts: Sequence[Attempt]) -> TrialRequest:
    """What all trials have in common; every patch's paths count as touched in all of them."""
    state = proof.state
    configured = configure.configure(
        proof.settings, proof.repository.root, allow_unsandboxed=state["unsandboxed"]
    )
    for warning in configured.warnings:
        proof.say(warning)
    agent = configured.agent
    if agent.upstream is not None:
        agent = replace(agent, upstream=Metered(agent.upstream, proof.purse))
    failing = split(_failing(proof))
    controls = _controls(proof, attempts)
    held = controls[: len(controls) // 2] if failing[1] else ()
    return TrialRequest(
        hypothesis_id="",
        patch=None,
        failing=failing[0],
        held_out=failing[1],
        controls=controls[len(held) :],
        held_controls=held,
        agent=agent,
        base_commit=state["base_commit"],
        repeats=state["repeats"],
        observe=observe,
        judge=proof.judge,
        touched=tuple(sorted({c.path for a in attempts if a.patch for c in a.patch.changes})),
        patches=len(attempts),
        max_runs=state["max_runs"],
        seed=state["seed"],
        say=proof.say,
    )


def _failing(proof: Proof) -> list[Case]:
    """The failing traces; each is held against its own checks, or the first one's."""
    state = proof.state
    own = {state["trace_id"]: state["checks"], **state["failing_checks"]}
    return [
        Case(
            proof.load_trace(trace_id),
            tuple(checks.parse(text) for text in own.get(trace_id) or ()),
            proof.categories,
        )
        for trace_id in state["failing_ids"]
    ]


def split(cases: Sequence[Case]) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Those a patch is chosen on, and those it is confirmed on: every second, when enough."""
    if len(cases) < SPLIT_FROM:
        return tuple(cases), ()
    return tuple(cases[::2]), tuple(cases[1::2])


@dataclass(frozen=True, slots=True)
class Choice:
    """How passing traces are chosen."""

    root: Path
    """Of the repository."""
    changes: tuple[FileChange, ...]
    """What all patches change."""
    most: int
    """`replay.max_controls`."""
    max_runs: int
    seed: int


def choose_controls(choice: Choice, pool: Sequence[Trace]) -> tuple[list[str], str]:
    """Ids of the passing traces to replay: those the patches can change and some others.

    Also says how many there were, in words.
    """
    touch = affected.touch(SourceTree(choice.root), choice.changes, pool)
    most = max(choice.most, choice.max_runs // AFFECTED_SHARE) if choice.most else 0
    chosen = affected.choose(touch, pool, most=most, controls=choice.most, seed=choice.seed)
    room = max(choice.most - len(chosen.affected), choice.most // 4)
    ids = [*chosen.affected, *chosen.control[:room]]
    through, others = len(chosen.affected), len(ids) - len(chosen.affected)
    return ids, (
        f"{through + chosen.left_out} of {len(pool)} passing traces went through what is "
        f"changed: {through} of them and {others} others are replayed"
    )


def _controls(proof: Proof, attempts: Sequence[Attempt]) -> tuple[Case, ...]:
    """Passing traces some patch can change, and some of the others, drawn at random."""
    state = proof.state
    pool = {trace_id: proof.load_trace(trace_id) for trace_id in state["control_ids"]}
    choice = Choice(
        root=proof.repository.root,
        changes=tuple(change for a in attempts if a.patch for change in a.patch.changes),
        most=proof.settings.values.replay.max_controls,
        max_runs=state["max_runs"],
        seed=state["seed"],
    )
    ids, told = choose_controls(choice, list(pool.values()))
    if len(pool) > len(ids):
        proof.say(told)
    labelled = state["control_checks"]
    return tuple(
        Case(pool[i], tuple(checks.parse(text) for text in labelled.get(i, ()))) for i in ids
    )
