"""How sure k of n is, said the same way on every floor."""


def wilson(passed: int, total: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of `passed / total` (Wilson 1927); None when total is 0."""
    if total == 0:
        return None
    from scipy.stats import binomtest

    interval = binomtest(passed, total).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)
