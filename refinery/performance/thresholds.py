"""What a component may cost: limits by layer and name, and what measuring says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from refinery.errors import InputError
from refinery.intervals import wilson

MIN_RUNS = 5
"""Fewest runs before anything is said of a component (chosen by us)."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that a threshold may set."""

    column: str
    """SQL over `runs` that it is about."""
    unit: str
    share: float
    """Share of the runs that may lie beyond it."""
    is_least: bool = False


LIMITS: Mapping[str, Limit] = {
    "max_duration_ms": Limit("duration_ms", "ms", 0.10),
    "max_p50_ms": Limit("duration_ms", "ms", 0.50),
    "max_p99_ms": Limit("duration_ms", "ms", 0.01),
    "max_cpu_ms": Limit("cpu_ms", "ms", 0.10),
    "max_memory_mb": Limit("rss_delta_bytes / 1048576", "MB", 0.10),
    "max_io_mb": Limit("io_bytes / 1048576", "MB", 0.10),
    "max_cost_usd": Limit("cost_usd", "USD", 0.10),
    "max_tokens": Limit("total_tokens", "tokens", 0.10),
    "min_success_rate": Limit("status = 'ok'", "", 0.0, is_least=True),
}
"""Limits by name. `max_duration_ms` and all without a percentile in their name hold for the 90th
percentile: at most 10 % of the runs may lie beyond."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit and what it holds for."""

    selector: str
    """`LAYER`, `LAYER/NAME` or `*/NAME`; both parts may have `*`."""
    limit: str
    """A name of `LIMITS`."""
    value: float

    def fits(self, layer: str | None, name: str) -> bool:
        """Whether it holds for a component."""
        wanted_layer, _, wanted_name = self.selector.partition("/")
        return fnmatchcase(layer or "", wanted_layer) and fnmatchcase(name, wanted_name or "*")


@dataclass(frozen=True, slots=True)
class Measured:
    """How many runs lie beyond a limit."""

    beyond: int
    total: int
    observed: float | None
    """The percentile the limit is about, or the rate; None without runs that say it."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that does not hold."""

    threshold: Threshold
    measured: Measured
    is_shown: bool
    """Whether the 95 % interval lies beyond as well; else it may be chance."""
    excess: float
    """How many times the limit is exceeded, at least 1."""


def read(settings: Mapping[str, Mapping[str, float]]) -> list[Threshold]:
    """Thresholds of the settings `[performance.limits.SELECTOR]`.

    Raises:
        InputError: a limit has no such name, or its value cannot be one.
    """
    found = []
    for selector, limits in settings.items():
        for name, value in limits.items():
            if name not in LIMITS:
                raise InputError(
                    f"performance.limits.{selector}: unknown limit {name!r}",
                    hint=f"one of: {', '.join(LIMITS)}",
                )
            if not 0 <= value < float("inf") or (name == "min_success_rate" and value > 1):
                raise InputError(
                    f"performance.limits.{selector}.{name}: {value} cannot be a limit",
                    hint="give a number from 0; a rate is at most 1",
                )
            found.append(Threshold(selector, name, float(value)))
    return found


def strictest(thresholds: list[Threshold], layer: str | None, name: str) -> list[Threshold]:
    """The thresholds that hold for a component, the most precise of each limit."""
    chosen: dict[str, Threshold] = {}
    for one in sorted(thresholds, key=lambda one: _precision(one.selector)):
        if one.fits(layer, name):
            chosen[one.limit] = one
    return list(chosen.values())


def _precision(selector: str) -> tuple[bool, int]:
    return ("/" in selector, len(selector.replace("*", "")))


def breach(threshold: Threshold, measured: Measured) -> Breach | None:
    """The breach of a threshold; None when it holds, or too few runs say anything."""
    limit = LIMITS[threshold.limit]
    if measured.observed is None or measured.total < MIN_RUNS:
        return None
    if limit.is_least:
        if measured.observed >= threshold.value:
            return None
        passed = measured.total - measured.beyond
        interval = wilson(passed, measured.total) or (0.0, 1.0)
        # how many times as many failures as allowed, counting at least one in a hundred
        excess = (1 - measured.observed) / max(1 - threshold.value, 0.01)
        return Breach(threshold, measured, interval[1] < threshold.value, max(1.0, excess))
    if measured.beyond / measured.total <= limit.share:
        return None
    interval = wilson(measured.beyond, measured.total) or (0.0, 1.0)
    excess = measured.observed / threshold.value if threshold.value else float(measured.beyond)
    return Breach(threshold, measured, interval[0] > limit.share, max(1.0, excess))
