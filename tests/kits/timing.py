"""Times measured on a machine that does other work besides."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Longest wait for what comes at once on a quiet machine; a test that hangs still ends."""


def until(is_true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not within the patience.
    """
    ends = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < ends, f"did not come true within {patience_s:.0f} s"
        time.sleep(0.01)


def soonest(attempt: Callable[[int], float], below_s: float, attempts: int = 5) -> float:
    """The shortest of several measured times, which shows what the code itself needs.

    A single measurement also holds what other processes took meanwhile.

    Args:
        attempt: measures once, in seconds; takes its number, from 0.
        below_s: no further attempt is made after one shorter than this.
        attempts: most of them.
    """
    shortest = float("inf")
    for number in range(attempts):
        shortest = min(shortest, attempt(number))
        if shortest < below_s:
            break
    return shortest
