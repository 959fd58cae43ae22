"""One hypothesis on its way: its patch, what the guard says of it, and what its trial showed."""

from collections.abc import Iterable
from dataclasses import dataclass

from refinery.model.patch import Hypothesis, Patch
from refinery.model.verdict import GuardReport, Outcome, Trial, Verdict

_VERDICT_ORDER = (Verdict.FIXED, Verdict.IMPROVED)
"""Verdicts worth an approval, best first."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How far one hypothesis came."""

    hypothesis: Hypothesis
    patch: Patch | None = None
    guard: GuardReport | None = None
    trial: Trial | None = None
    problem: str | None = None
    """Why it went no further; None when it was tried."""

    @property
    def is_provable(self) -> bool:
        """Whether there is a patch the guard does not block."""
        allowed = self.guard is not None and self.guard.outcome is not Outcome.BLOCK
        return self.patch is not None and allowed


def best(attempts: Iterable[Attempt]) -> Attempt | None:
    """The attempt to put up for approval; None when no trial showed an improvement."""
    return next(iter(ranked(attempts)), None)


def ranked(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts whose trial showed an improvement, best first.

    A better verdict wins, then a patch the guard does not hold, then the likelier hypothesis by
    its rank (which weighs the size of the change already), so that the order in which trials
    finish does not matter.
    """

    def rank(attempt: Attempt) -> tuple[int, int, int, str]:
        trial, guard = attempt.trial, attempt.guard
        verdict = _VERDICT_ORDER.index(trial.verdict) if trial else len(_VERDICT_ORDER)
        held = int(guard is not None and guard.outcome is Outcome.HOLD)
        number = attempt.hypothesis.hypothesis_id
        return verdict, held, len(number), number

    return sorted((a for a in attempts if a.trial and a.trial.verdict in _VERDICT_ORDER), key=rank)
