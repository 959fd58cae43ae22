"""Finds the first bad one of a line by halving it, asking as little as possible.

Knows nothing of commits: positions are numbers, and what stands there is asked for. One that
cannot be judged is left out, as `git bisect skip` does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """What was found at one position."""

    GOOD = "good"
    BAD = "bad"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, slots=True)
class Halved:
    """Where the change lies."""

    last_good: int
    """-1: before the line."""
    first_bad: int
    """First position known to be bad."""

    @property
    def candidates(self) -> range:
        """Positions that may be the first bad one; several when some cannot be judged."""
        return range(self.last_good + 1, self.first_bad + 1)


def halve(size: int, judge: Callable[[int], Standing]) -> Halved:
    """Halve a line that is good before its first position and bad at its last.

    Args:
        size: positions of the line, at least 1.
        judge: says what stands at a position; asked at most once of each, never of the last.
    """
    low, high = -1, size - 1
    skipped: set[int] = set()
    while True:
        open_ones = [at for at in range(low + 1, high) if at not in skipped]
        if not open_ones:
            return Halved(low, high)
        middle = (low + high) / 2
        at = min(open_ones, key=lambda position: abs(position - middle))
        found = judge(at)
        if found is Standing.UNTESTABLE:
            skipped.add(at)
        elif found is Standing.GOOD:
            low = at
        else:
            high = at


def first_testable(size: int, judge: Callable[[int], Standing]) -> int | None:
    """The oldest position found that can be judged; None: none was.

    Steps double, so that a long line of others is passed quickly; the last position is looked at.

    Args:
        size: positions of the line.
        judge: as for `halve`.
    """
    at, step = 0, 1
    while size > 0:
        if judge(at) is not Standing.UNTESTABLE:
            return at
        if at == size - 1:
            break
        at, step = min(at + step, size - 1), step * 2
    return None
