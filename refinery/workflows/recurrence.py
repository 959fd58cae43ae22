"""Whether a fixed failure has returned, told while conversations keep coming in.

Looking after every conversation must not let chance in. Two quantities are kept, both bets that
win nothing on average while what they bet against is true:

- against "the fix holds" (at most `tolerated` of the conversations fail): a mixture of likelihood
  ratios over failure rates above it and over the conversation the failure came back with. By
  Ville's inequality (Ville, Étude critique de la notion de collectif, 1939) it ever reaches
  1/alpha with a probability of at most alpha, however often one looks and whenever one stops;
- against "it still fails" (at least half as often as before the fix): the same the other way.

The ratio is Wald's (Ann. Math. Stat. 16, 1945), the mixture over rates Robbins' (Ann. Math. Stat.
41, 1970); the mixture over starting points keeps a late return from being drowned by a long good
run (compare Lorden, Ann. Math. Stat. 42, 1971).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

ALPHA = 0.05
"""Most often a fix that holds is said to have failed, over its whole life."""
BETA = 0.05
"""Most often a failure that is still there is said to be gone."""
TOLERATED = 0.05
"""Share of failing conversations a fix that holds may still have; chosen by us."""
SUSPECTED = 0.8
"""Failure rate suspected before anything was measured; chosen by us."""
_GRID = 40
"""Failure rates the mixture is spread over."""


class Standing(StrEnum):
    """What the conversations since a change say of it."""

    OPEN = "too early to tell"
    HOLDS = "holds"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Plan:
    """The stated errors of a watch."""

    before: float = SUSPECTED
    """Failure rate before the fix, 0 to 1."""
    tolerated: float = TOLERATED
    alpha: float = ALPHA
    beta: float = BETA

    @property
    def still(self) -> float:
        """The failure rate from which on the failure counts as still there."""
        return min(0.95, max(3 * self.tolerated, self.before / 2))


@dataclass(frozen=True, slots=True)
class Watched:
    """What a stream of conversations came to."""

    standing: Standing
    seen: int
    failed: int
    evidence: float
    """Against the fix, at its highest; `1/alpha` decides."""
    decided_after: int | None
    """Conversations until the standing was reached; None while it is open."""


def watch(failures: Iterable[bool], plan: Plan | None = None) -> Watched:
    """Judge a stream of conversations since a change, oldest first.

    Args:
        failures: whether each conversation failed; read no further than the return.
        plan: the stated errors; default: the constants of this module.
    """
    plan = plan or Plan()
    against_fix, against_failure = _Against(plan), _StillThere(plan)
    seen = failed = 0
    highest = 1.0
    held_after: int | None = None
    for is_failure in failures:
        seen += 1
        failed += is_failure
        highest = max(highest, against_fix.add(is_failure=is_failure))
        if highest >= 1 / plan.alpha:
            return Watched(Standing.RETURNED, seen, failed, highest, seen)
        is_gone = against_failure.add(is_failure=is_failure) >= 1 / plan.beta
        held_after = seen if is_gone and held_after is None else held_after
    standing = Standing.OPEN if held_after is None else Standing.HOLDS
    return Watched(standing, seen, failed, highest, held_after)


class _Against:
    """The bet against "the fix holds"."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rates = _weighted(plan.tolerated, 1.0, plan.before)
        self._begun = [0.0] * len(self._rates)
        """For each rate: bets of all starting points so far, each with its weight."""
        self._number = 0
        self._waiting = 1.0
        """Weight of the starting points to come."""

    def add(self, *, is_failure: bool) -> float:
        """The bet's value after one more conversation."""
        self._number += 1
        weight = 0.5 if self._number == 1 else 0.5 / (self._number * (self._number - 1))
        self._waiting = max(0.0, self._waiting - weight)
        value = self._waiting
        for at, (rate, share) in enumerate(self._rates):
            ratio = _ratio(rate, self._plan.tolerated, is_failure=is_failure)
            self._begun[at] = (self._begun[at] + weight) * ratio
            value += share * self._begun[at]
        return value


class _StillThere:
    """The bet against "it still fails"."""

    def __init__(self, plan: Plan) -> None:
        self._still = plan.still
        self._rates = _weighted(0.0, plan.still, 0.0)
        self._bets = [share for _, share in self._rates]

    def add(self, *, is_failure: bool) -> float:
        """The bet's value after one more conversation."""
        for at, (rate, _) in enumerate(self._rates):
            self._bets[at] *= _ratio(rate, self._still, is_failure=is_failure)
        return math.fsum(self._bets)


def _ratio(rate: float, null: float, *, is_failure: bool) -> float:
    return rate / null if is_failure else (1 - rate) / (1 - null)


def _weighted(low: float, high: float, favoured: float) -> list[tuple[float, float]]:
    """Rates with their shares of the bet: half on the favoured one, half spread evenly."""
    step = (high - low) / _GRID
    spread = [low + (at + 0.5) * step for at in range(_GRID)]
    if not low <= favoured <= high or favoured == low > 0:
        return [(rate, 1 / _GRID) for rate in spread]
    return [(favoured, 0.5), *((rate, 0.5 / _GRID) for rate in spread)]
