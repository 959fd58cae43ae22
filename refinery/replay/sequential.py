"""When a comparison of two arms may end, so that looking often does not let chance in.

Both arms are looked at several times while they grow, and each look could be the lucky one. The
test is Fisher's, one-sided, with one nominal level for all looks (Pocock, Biometrika 64, 1977).
That level is chosen so that two arms of the same code are told apart at any look, of any of the
patches tried, with a probability of at most `ALPHA`. The probability is computed exactly: over
all paths of the two counts, at the worst common rate of passing (Barnard, Biometrika 34, 1947;
group-sequential designs: Jennison and Turnbull, 2000, chapter 12). Several patches share it
equally (Bonferroni). Stopping early because a patch does not help only lowers it.

Traces that pass at different rates are counted together in equal numbers. Counts of unequal
chances spread less than those of equal ones (Hoeffding, Ann. Math. Stat. 27, 1956).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ALPHA = 0.05
"""Most often a patch that changes nothing may be told from the unpatched code."""
GROWTH = 2.0
"""How much longer the arms are at each look than at the one before; chosen by us."""
FEWEST = 4
"""Fewest replays of an arm: fewer would not show that an agent is moody."""
MOST = 60
"""Most replays of an arm; keeps the computation of the level under a second."""
_FIRST_SHARE = 1 / 3
"""Part of the level that the first look may use up, where separation alone decides."""
_REACHED = 0.6
"""Part of the share of a patch that its level is at least, for up to 100 patches (computed)."""
_RATES = 49
_HALVINGS = 14


@dataclass(frozen=True, slots=True)
class Looks:
    """When the arms are compared, and how small p must be."""

    sizes: tuple[int, ...]
    """Replays of one arm at each look, growing."""
    level: float
    """Largest p of Fisher's test that ends the comparison, the same at each look."""
    alpha: float
    """Share of `ALPHA` this patch has."""


def first_size(patches: int) -> int:
    """Replays of an arm at the first look.

    Two arms of n replays that behave alike are separated, all failing against all passing, with
    a probability of at most 4^-n. It is large enough for separated arms to reach the level.
    """
    alpha = ALPHA / max(1, patches)
    size = FEWEST
    while 4.0**-size > alpha * _FIRST_SHARE or 1 / math.comb(2 * size, size) > alpha * _REACHED:
        size += 1
    return size


def plan(patches: int, cases: int, most: int) -> Looks:
    """The looks at one of several patches.

    Args:
        patches: how many are tried on the same traces.
        cases: traces replayed; an arm holds the same number of replays of each.
        most: replays an arm may have.
    """
    cases, most = max(1, cases), min(MOST, most)
    size = max(1, -(-first_size(patches) // cases)) * cases
    sizes = [size]
    while True:
        size = max(size + cases, round(size * GROWTH / cases) * cases)
        if size > most:
            break
        sizes.append(size)
    alpha = ALPHA / max(1, patches)
    return Looks(tuple(sizes), level(tuple(sizes), alpha), alpha)


@lru_cache(maxsize=64)
def level(sizes: tuple[int, ...], alpha: float) -> float:
    """The largest level, to about 1 part in 10,000, that keeps the error at most `alpha`."""
    low, high = 0.0, alpha
    if error(sizes, high) <= alpha:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if error(sizes, middle) <= alpha else (low, middle)
    return low


def error(sizes: tuple[int, ...], nominal: float) -> float:
    """How often two arms that behave alike are told apart at some look, at the worst rate.

    Counts as told apart: p of at most `nominal` at any look, and full separation at the first.
    """
    import numpy

    rates = [(number + 1) / (_RATES + 1) for number in range(_RATES)]
    ends = [_told_apart(size, nominal, is_first=not at) for at, size in enumerate(sizes)]
    worst = 0.0
    for rate in rates:
        alive: Any = numpy.ones((1, 1))
        told, before = 0.0, 0
        for size, end in zip(sizes, ends, strict=True):
            steps = _steps(before, size, rate)
            alive = steps.T @ alive @ steps
            told += float(alive[end].sum())
            alive = numpy.where(end, 0.0, alive)
            before = size
        worst = max(worst, told)
    return worst


@lru_cache(maxsize=256)
def _told_apart(size: int, nominal: float, *, is_first: bool) -> Any:
    """For k passes with and k without a patch, whether the look ends the comparison."""
    end = _p_values(size) <= nominal
    if is_first:
        end = end.copy()
        end[size, 0] = True
    return end


@lru_cache(maxsize=64)
def _p_values(size: int) -> Any:
    """Fisher's one-sided p for every pair of counts of two arms of equal size."""
    import numpy
    from scipy.stats import hypergeom

    better = numpy.arange(size + 1)[:, None]
    base = numpy.arange(size + 1)[None, :]
    return hypergeom.sf(better - 1, 2 * size, better + base, size)


@lru_cache(maxsize=1024)
def _steps(before: int, size: int, rate: float) -> Any:
    """Probability of going from each count of `before` replays to each count of `size`."""
    import numpy
    from scipy.stats import binom

    more = numpy.arange(size + 1)[None, :] - numpy.arange(before + 1)[:, None]
    return binom.pmf(more, size - before, rate)
