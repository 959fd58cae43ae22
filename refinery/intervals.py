"""How sure k of n is, said the same way on every floor."""

from math import sqrt

Z = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above."""


def wilson(passed: int, total: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of `passed / total` (Wilson 1927); None when total is 0.

    Written out: importing SciPy takes a second of processor time, more than a report over 100,000
    runs does. The test holds it against SciPy's.
    """
    if total == 0:
        return None
    middle = passed + Z * Z / 2
    half = Z * sqrt(passed * (total - passed) / total + Z * Z / 4)
    whole = total + Z * Z
    low = 0.0 if passed == 0 else (middle - half) / whole
    high = 1.0 if passed == total else (middle + half) / whole
    return low, high
