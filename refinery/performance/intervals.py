"""How sure a comparison is: intervals of ratios of medians, tests of two samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

RESAMPLES = 2_000
"""Resamples of a bootstrap interval; the percentile method (Efron 1979)."""
LEVEL = 0.95
"""Confidence of every interval here."""
MIN_VALUES = 5
"""Fewest values on each side before anything is said (chosen by us)."""
SMALLEST_CHANGE = 0.02
"""Differences of medians below 2 % are not called one, however sure (chosen by us)."""


class Finding(StrEnum):
    """What a comparison shows of the second side."""

    FASTER = "faster"
    SLOWER = "slower"
    NONE = "no difference shown"
    TOO_FEW = "too few runs"


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the second side divided by that of the first."""

    value: float | None
    low: float | None
    high: float | None
    """Bounds of the 95 % bootstrap interval; None when there are too few values."""
    finding: Finding


def ratio_of_medians(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Ratio:
    """How much longer the second side takes than the first.

    Args:
        first: values of one side, e.g. milliseconds; not negative.
        second: values of the other.
        seed: of the resampling.
    """
    if len(first) < MIN_VALUES or len(second) < MIN_VALUES:
        return Ratio(_plain_ratio(first, second), None, None, Finding.TOO_FEW)
    import numpy as np

    chance = np.random.default_rng(seed)
    value = _plain_ratio(first, second)
    if value is None:
        return Ratio(None, None, None, Finding.NONE)
    one = _medians(np.asarray(first, dtype=float), chance)
    two = _medians(np.asarray(second, dtype=float), chance)
    ratios = two[one > 0] / one[one > 0]
    if len(ratios) < RESAMPLES * 0.99:
        return Ratio(value, None, None, Finding.NONE)
    low, high = (float(found) for found in np.quantile(ratios, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    return Ratio(value, low, high, _finding(value, low, high))


def _plain_ratio(first: Sequence[float], second: Sequence[float]) -> float | None:
    from statistics import median

    if not first or not second or median(first) <= 0:
        return None
    return float(median(second) / median(first))


def _medians(values: Any, chance: Any) -> Any:
    import numpy as np

    array = np.asarray(values)
    size = len(array)
    found = np.empty(RESAMPLES)
    at_once = max(1, 2_000_000 // size)  # so that a large sample needs no large memory
    for start in range(0, RESAMPLES, at_once):
        count = min(at_once, RESAMPLES - start)
        picks = chance.integers(0, size, (count, size))
        found[start : start + count] = np.median(array[picks], axis=1)
    return found


def _finding(value: float, low: float, high: float) -> Finding:
    if high < 1 and value <= 1 - SMALLEST_CHANGE:
        return Finding.FASTER
    if low > 1 and value >= 1 + SMALLEST_CHANGE:
        return Finding.SLOWER
    return Finding.NONE


def rank_test(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p of the Mann-Whitney U test; None when a side has fewer than `MIN_VALUES`."""
    if len(first) < MIN_VALUES or len(second) < MIN_VALUES:
        return None
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(first, second, alternative="two-sided").pvalue)


def share_test(first: tuple[int, int], second: tuple[int, int]) -> float | None:
    """Two-sided p of Fisher's exact test of two (passed, total); None when a side is empty."""
    if not first[1] or not second[1]:
        return None
    from scipy.stats import fisher_exact

    table = [[first[0], first[1] - first[0]], [second[0], second[1] - second[0]]]
    return float(fisher_exact(table).pvalue)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """P values for as many tests, by Holm's method (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    found = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, p_values[at] * (len(p_values) - rank)))
        found[at] = highest
    return found
