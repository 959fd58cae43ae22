"""Finds the smallest part of a patch that does what the whole does.

Delta debugging over hunks (`ddmin`, Zeller and Hildebrandt, IEEE TSE 28, 2002): halves are left
out first, then quarters, down to single hunks, until none can be left out any more. Each part is
tried like the whole, with replays of its own and against the same arms without a patch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from refinery.model.patch import Patch
from refinery.model.trace import Json
from refinery.model.verdict import Trial
from refinery.replay.cases import TrialRequest
from refinery.replay.hunks import Hunk, keep, split
from refinery.replay.judging import HELPFUL
from refinery.replay.trial import Baseline, run_trial

MOST_TRIALS = 24
"""Parts tried of one patch; chosen by us."""


@dataclass(frozen=True, slots=True)
class Smallest:
    """What is left of a patch."""

    patch: Patch
    trial: Trial
    """Of this patch."""
    kept: tuple[Hunk, ...]
    dropped: tuple[Hunk, ...]


def minimise(
    request: TrialRequest, trial: Trial, base: Baseline, allows: Callable[[Patch], bool]
) -> Smallest:
    """Drop hunks as long as the verdict stays as good.

    Args:
        request: the trial's; its patch is the whole.
        trial: of the whole patch, with a verdict worth an approval.
        base: the arms without a patch.
        allows: whether a part may be tried at all, e.g. what the guard says of it.

    Raises:
        RefusedError: the sandbox did not start.
    """
    assert request.patch is not None
    hunks = split(request.patch)
    search = _Search(request, trial, base, allows)
    kept = search.run(hunks) if len(hunks) > 1 and trial.verdict in HELPFUL else hunks
    dropped = tuple(hunk for hunk in hunks if hunk not in kept)
    found = search.best or (request.patch, trial)
    facts: dict[str, Json] = {
        "hunks": [str(hunk) for hunk in kept],
        "dropped": [str(hunk) for hunk in dropped],
        "parts_tried": search.tried,
    }
    told = {**found[1].facts, "minimal": facts}
    return Smallest(found[0], replace(found[1], facts=told), kept, dropped)


@dataclass
class _Search:
    request: TrialRequest
    trial: Trial
    base: Baseline
    allows: Callable[[Patch], bool]
    best: tuple[Patch, Trial] | None = None
    tried: int = 0

    def run(self, hunks: tuple[Hunk, ...]) -> tuple[Hunk, ...]:
        """Leave out ever smaller groups; returns what cannot be left out."""
        parts = 2
        while len(hunks) > 1 and self.tried < MOST_TRIALS:
            rest = next(
                (left for left in _without_one(hunks, parts) if self._holds(left)),
                None,
            )
            if rest is not None:
                hunks, parts = rest, max(parts - 1, 2)
            elif parts < len(hunks):
                parts = min(len(hunks), 2 * parts)
            else:
                break
        return hunks

    def _holds(self, hunks: Sequence[Hunk]) -> bool:
        """Whether a part of the patch does as well as the whole."""
        assert self.request.patch is not None
        part = keep(self.request.patch, hunks)
        if part is None or self.tried >= MOST_TRIALS or not self.allows(part):
            return False
        self.tried += 1
        name = self.request.hypothesis_id
        lane = f"{name} part {self.tried}"
        own = replace(self.request, patch=part, lane=lane, held_out=(), held_controls=())
        trial = run_trial(own, self.base)
        whole = self.trial.verdict
        holds = trial.verdict in HELPFUL and HELPFUL.index(trial.verdict) <= HELPFUL.index(whole)
        left = ", ".join(map(str, hunks))
        self.request.say(f"{name} with {left} alone: {trial.verdict.value}")
        if holds:
            self.best = (part, trial)
        return holds


def _without_one(hunks: Sequence[Hunk], parts: int) -> list[tuple[Hunk, ...]]:
    """The hunks without each of so many groups of about equal size."""
    bounds = [round(number * len(hunks) / parts) for number in range(parts + 1)]
    return [(*hunks[:start], *hunks[end:]) for start, end in pairwise(bounds) if start < end]
