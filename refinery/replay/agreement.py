"""How well a judge agrees with people's labels, beyond chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from refinery.intervals import wilson

FEWEST_LABELS = 10
"""Labelled runs below which no judge counts as measured (chosen by us: with fewer, the interval
of any kappa covers both chance and perfection)."""
KAPPA_GOOD = 0.6
"""Kappa from which a judge counts as good: `substantial` agreement (Landis and Koch 1977)."""
KAPPA_LEAST = 0.4
"""Kappa below which a measured judge is not used: less than `moderate` agreement (ibid.)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a judge says what people said."""

    agreed: int
    total: int
    interval: tuple[float, float] | None
    """95 % Wilson interval of agreed/total; None when there are no labels."""
    kappa: float | None
    """Cohen's kappa; None when one side says the same of every run, so that chance is all."""
    kappa_interval: tuple[float, float] | None
    """95 % interval of kappa by its large-sample standard error; None also when kappa is 0 because
    one side says the same of every run."""

    @property
    def standing(self) -> str:
        """`good`, `weak` (too few labels, or moderate agreement) or `refused`."""
        if self.total < FEWEST_LABELS or self.kappa is None:
            return "weak"
        if self.kappa < KAPPA_LEAST:
            return "refused"
        return "good" if self.kappa >= KAPPA_GOOD else "weak"

    def told(self) -> str:
        """The measure in words."""
        if not self.total:
            return "no labelled runs to measure it on"
        text = f"agrees with {self.agreed} of {self.total} labels"
        if self.kappa is not None:
            text += f", kappa {self.kappa:.2f}"
        if self.kappa_interval is not None:
            low, high = self.kappa_interval
            text += f" [{low:.2f}, {high:.2f}]"
        if self.total < FEWEST_LABELS:
            text += f"; fewer than {FEWEST_LABELS} labels prove little"
        return text


def agreement(pairs: Sequence[tuple[bool, bool]]) -> Agreement:
    """Agreement of two raters on the same runs (Cohen 1960, formulas 1 and 7).

    Args:
        pairs: what the label says and what the judge says, one a run.
    """
    total = len(pairs)
    agreed = sum(label is said for label, said in pairs)
    if not total:
        return Agreement(0, 0, None, None, None)
    observed = agreed / total
    labels, said = (sum(pair[i] for pair in pairs) / total for i in (0, 1))
    expected = labels * said + (1 - labels) * (1 - said)
    if labels in (0.0, 1.0) or said in (0.0, 1.0):
        # One side never varies: kappa is 0 by its formula, or undefined when both do not.
        kappa = 0.0 if labels not in (0.0, 1.0) else None
        return Agreement(agreed, total, wilson(agreed, total), kappa, None)
    kappa = (observed - expected) / (1 - expected)
    error = math.sqrt(observed * (1 - observed) / (total * (1 - expected) ** 2))
    interval = (max(kappa - 1.96 * error, -1.0), min(kappa + 1.96 * error, 1.0))
    return Agreement(agreed, total, wilson(agreed, total), kappa, interval)
