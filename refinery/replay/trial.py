"""A controlled trial of a patch: the same recorded runs, replayed with and without it.

The arms: `unpatched`; `no-op`, the same files with a comment added, which shows that touching
them proves nothing by itself; `patch`; and, when a live model answered the patched arm,
`unpatched, asked again`, the unpatched code with every request asked of the live model, because
a recorded reply repeats and a live one may be lucky.

The arms grow until the question is answered, see `sequential`. The arms without the patch are
needed by every hypothesis and expensive, so `baseline` makes them once and `run_trial` takes
them. All arms use the same list of touched paths, so the same tools and retrievers run for real in
each; give the union over all hypotheses as `touched` to share one baseline between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from refinery import clock
from refinery.codebase.repository import Repository
from refinery.errors import BudgetError, InputError, ReplayError
from refinery.model.trace import Json
from refinery.model.verdict import Arm, Trial
from refinery.replay import arms as made
from refinery.replay import chance, judging, scoring, sequential
from refinery.replay.arms import Growing, Variant
from refinery.replay.cases import Case, Planned, TrialRequest, plan
from refinery.replay.judging import (
    ASKED_AGAIN,
    FAILING,
    NO_OP,
    PATCHED,
    UNPATCHED,
    Bar,
    Decided,
    is_pass,
)
from refinery.replay.spending import Metered, spent_by

MOODY_CONTROLS = 3
"""Replays of each passing trace in each arm once chance was seen."""
MOODY_MOST = 8
"""Passing traces from which on one replay of each in each arm is enough."""
UNMOVED_LOOKS = 2
"""Looks after which a patch that does no better is given up; chosen by us."""

__all__ = ["Baseline", "Case", "TrialRequest", "arm_name", "baseline", "run_trial"]


@dataclass
class Baseline:
    """The arms without the patch; they grow as trials need them."""

    touched: tuple[str, ...]
    """Paths counted as touched when they were run."""
    planned: tuple[Planned, ...] = ()
    first: int = 1
    """Replays of each failing case at the first look."""
    unpatched: Growing | None = None
    asked_again: Growing | None = None
    """None: there is nobody to ask."""
    no_op: Growing | None = None
    """None: no touched file can be changed without changing what it does."""
    moody: str = ""
    """What in the source gives chance a part; empty when nothing does."""
    warnings: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing could be replayed; empty when something was."""

    @property
    def failing(self) -> int:
        """How many failing cases there are."""
        return sum(not one.is_control for one in self.planned)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms at the first look."""
        return tuple(self.upto(self.first, 1)) if not self.problem else ()

    def upto(
        self, failing: int, passing: int, *, is_live: bool = False, is_hopeless: bool = False
    ) -> list[Arm]:
        """The arms with so many replays of each case; the missing ones are run.

        A patched arm in which nothing passes is compared with the unpatched one alone: the others
        can only cast doubt on a success. When a live model answers the patched arm, it is compared
        with the one asked again, and the recorded replies need not be repeated more often.
        """
        assert self.unpatched is not None
        alone = self.first if is_live and self.asked_again else failing
        found = made.of(UNPATCHED, self.unpatched.upto(alone, passing))
        if is_hopeless:
            return found
        if self.no_op is not None:
            found += made.of(NO_OP, self.no_op.upto(self.first, 0))
        if is_live and self.asked_again is not None:
            found += made.of(ASKED_AGAIN, self.asked_again.upto(failing, 0))
        return found


def arm_name(hypothesis_id: str) -> str:
    """What live answers to a patched arm are filed under."""
    return f"{PATCHED} {hypothesis_id}"


def baseline(request: TrialRequest) -> Baseline:
    """Replay all cases without the patch, as often as the first look needs.

    Raises:
        InputError: a check is not valid.
        RefusedError: the sandbox did not start.
    """
    scoring.validate([c for case in (*request.failing, *request.controls) for c in case.checks])
    planned, warnings = plan(request)
    failing = sum(not one.is_control for one in planned)
    if not failing:
        problem = "; ".join(warnings) or "there is no failing trace"
        return Baseline(request.paths, problem=f"nothing can be replayed: {problem}")
    first = max(request.repeats, -(-sequential.first_size(request.patches) // failing))
    try:
        unpatched = Growing(request, tuple(planned), Variant(UNPATCHED, UNPATCHED, is_base=True))
        scored = unpatched.upto(first, 1)
        found = _others(request, unpatched)
        moody = _source_of_chance(request)
    except (BudgetError, InputError, ReplayError) as error:
        return Baseline(request.paths, problem=f"nothing was replayed: {error}")
    warnings += made.changed_controls(UNPATCHED, scored)
    return replace(
        found, planned=tuple(planned), first=first, moody=moody, warnings=tuple(warnings)
    )


def _others(request: TrialRequest, unpatched: Growing) -> Baseline:
    """The arms beside the unpatched one; nothing of them is run yet."""
    failing = tuple(one for one in unpatched.planned if not one.is_control)
    again = None
    if request.agent.upstream is not None and any(one.tape.calls for one in failing):
        variant = Variant(ASKED_AGAIN, UNPATCHED, is_base=True, asks_again=True)
        again = Growing(request, failing, variant)
    repository = Repository.open(request.agent.repository)
    same = made.no_op(repository, request.base_commit, request.paths)
    no_op = Growing(request, failing, Variant(NO_OP, NO_OP, same), unpatched.learnt)
    return Baseline(request.paths, (), 1, unpatched, again, no_op if same else None)


def _source_of_chance(request: TrialRequest) -> str:
    if any(check.kind == "judge" for case in request.failing for check in case.wanted):
        return "a model judges the answers"
    repository = Repository.open(request.agent.repository)
    return chance.in_source(repository, request.base_commit)


def run_trial(request: TrialRequest, base: Baseline | None = None) -> Trial:
    """Try a patch, and confirm it on the traces held out when it helps.

    Args:
        request: what to try.
        base: the arms without the patch when they are known; they are run anew when they are
            missing or were made for fewer touched paths.

    Raises:
        InputError: a check is not valid.
        RefusedError: the sandbox did not start.
    """
    started_s = clock.monotonic_s()
    if base is None or not set(request.paths) <= set(base.touched):
        base = baseline(request)
    progress = _Progress(replace(request, touched=base.touched), base)
    decided = progress.run()
    trial = progress.trial(decided, (clock.monotonic_s() - started_s) * 1000)
    if request.held_out and trial.verdict in judging.HELPFUL:
        return confirm(request, trial)
    return trial


def confirm(request: TrialRequest, trial: Trial) -> Trial:
    """Hold a patch that helps against traces it was not chosen on.

    The verdict stays when these say so too; else it falls to what they say.
    """
    request.say(f"{request.hypothesis_id}: confirming on {len(request.held_out)} held-out traces")
    own = replace(
        request,
        failing=request.held_out,
        controls=request.held_controls,
        held_out=(),
        held_controls=(),
        patches=1,
        touched=tuple(str(path) for path in _listed(trial.facts.get("touched"))),
    )
    return judging.confirmed(trial, run_trial(own))


def _ids(*groups: Sequence[Case]) -> list[Json]:
    return [case.trace.trace_id for cases in groups for case in cases]


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


@dataclass
class _Progress:
    """One trial under way."""

    request: TrialRequest
    base: Baseline
    arms: tuple[Arm, ...] = ()
    warnings: list[str] = field(default_factory=list)
    looks: sequential.Looks = field(default_factory=lambda: sequential.Looks((), 0.0, 0.0))
    ended: str = ""
    """Why no further look was taken."""

    def run(self) -> Decided:
        """Take looks until one answers the question, or none is left."""
        self.warnings = list(self.base.warnings)
        if self.base.problem:
            return self._decide(self.base.problem)
        tried = self._patched()
        self.looks = self._planned_looks()
        decided = self._decide("no look was taken")
        for number, size in enumerate(self.looks.sizes, start=1):
            try:
                self._take(tried, size // self.base.failing, is_first=number == 1)
            except (BudgetError, InputError, ReplayError) as error:
                return self._decide(f"the patched code was not replayed: {error}")
            decided = self._decide("", number)
            self._tell()
            if self._is_over(decided, number):
                break
        if self.ended and decided.is_open:
            return replace(decided, reason=f"{decided.reason} ({self.ended})")
        return decided

    def _patched(self) -> Growing:
        request, base = self.request, self.base
        name = PATCHED if request.patch else NO_OP
        changes = request.patch.changes if request.patch else ()
        lane = arm_name(request.lane or request.hypothesis_id) if request.patch else NO_OP
        learnt = base.unpatched.learnt if base.unpatched else {}
        return Growing(request, base.planned, Variant(name, lane, changes), learnt)

    def _planned_looks(self) -> sequential.Looks:
        """Looks as far as the limit of replays allows."""
        request, base = self.request, self.base
        controls = 2 * self._passing * (len(base.planned) - base.failing)
        aside = base.first * base.failing * (2 if base.no_op else 1) + controls
        most = max(base.first * base.failing, (request.max_runs - aside) // 2)
        looks = sequential.plan(request.patches, base.failing, most)
        kept = tuple(size for size in looks.sizes if size >= base.first * base.failing)
        if kept == looks.sizes:
            return looks
        kept = kept or (base.first * base.failing,)
        return replace(looks, sizes=kept, level=sequential.level(kept, looks.alpha))

    @property
    def _passing(self) -> int:
        """Replays of each passing trace at later looks: one where there are many of them."""
        many = len(self.base.planned) - self.base.failing > MOODY_MOST
        return 1 if many else MOODY_CONTROLS

    def _take(self, tried: Growing, repeats: int, *, is_first: bool) -> None:
        passing = 1 if is_first else self._passing
        scored = tried.upto(repeats, passing)
        own = made.of(tried.variant.name, scored)
        is_live = any(chance.may_be_lucky(result) for arm in own for result in arm.results)
        helped = any(is_pass(r) for arm in own if arm.group == FAILING for r in arm.results)
        others = self.base.upto(repeats, passing, is_live=is_live, is_hopeless=not helped)
        if self.request.patch is None:
            others = [arm for arm in others if arm.name != NO_OP]
        self.arms = (*others, *own)
        self.warnings = [*self.base.warnings, *made.changed_controls(tried.variant.name, scored)]

    def _decide(self, problem: str, number: int = 0) -> Decided:
        traces = {c.trace.trace_id: c.trace for c in self._cases()}
        moody = chance.in_replays(self.arms) or self.base.moody
        return judging.decide(self.arms, traces, problem, Bar(self.looks.level, moody, number))

    def _cases(self) -> tuple[Case, ...]:
        return (*self.request.failing, *self.request.controls)

    def _is_over(self, decided: Decided, number: int) -> bool:
        asked = self.request.agent.upstream
        if not decided.is_open:
            return True
        if isinstance(asked, Metered) and asked.is_used_up:
            self.ended = "the budget is used up"
        elif decided.is_unmoved and number >= UNMOVED_LOOKS:
            self.ended = f"given up after {number} looks"
        elif number == len(self.looks.sizes):
            self.ended = f"the limit of {self.request.max_runs} replays is reached"
        return bool(self.ended)

    def _tell(self) -> None:
        spent = spent_by(self.request.agent.upstream)
        name = self.request.lane or self.request.hypothesis_id
        self.request.say(f"{name}: runs {self._runs}/{self._most}, {spent}")

    @property
    def _runs(self) -> int:
        return sum(arm.total for arm in self.arms)

    @property
    def _most(self) -> int:
        return max(self._runs, self.request.max_runs)

    def trial(self, decided: Decided, duration_ms: float) -> Trial:
        """The trial as it stands."""
        request = self.request
        return Trial(
            hypothesis_id=request.hypothesis_id,
            verdict=decided.verdict,
            reason=decided.reason,
            arms=self.arms,
            sandbox=request.agent.tier,
            p_value=decided.p_value,
            checks=tuple(dict.fromkeys(str(c) for case in request.failing for c in case.wanted)),
            warnings=tuple(dict.fromkeys([*self.warnings, *decided.warnings])),
            duration_ms=duration_ms,
            facts={
                "touched": list(self.base.touched),
                "fidelity": judging.fidelities(self.arms),
                "chance": chance.in_replays(self.arms) or self.base.moody or None,
                "statistics": self._statistics(),
                "plan": self._plan(),
            },
        )

    def _statistics(self) -> Json:
        return {
            "test": "Fisher's exact test, one-sided, group-sequential",
            "p_needed": round(self.looks.level, 6),
            "alpha": round(self.looks.alpha, 6),
            "looks": list(self.looks.sizes),
            "patches": self.request.patches,
            "ended": self.ended or None,
        }

    def _plan(self) -> Json:
        """What is needed to run the trial again as it was, see `cases.as_tried`."""
        request = self.request
        return {
            "patches": request.patches,
            "max_runs": request.max_runs,
            "seed": request.seed,
            "lane": request.lane,
            "runs": self._runs,
            "failing": _ids(request.failing),
            "controls": _ids(request.controls),
            "held_out": [],
        }
