"""A provider turned a call away because of its rate or quota."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.environment import Weather, outside_failures
from refinery.model.failure import Signal
from refinery.model.trace import Trace

SPECIFICITY = 1

_WEATHER = Weather(
    "rate_limit",
    r"(?i)rate.?limit|too many requests|\b429\b|quota|resource.?exhausted|"
    r"tokens per (?:min|day)|throttl|overloaded_error|\b529\b",
    "{name} was turned away by a rate limit",
    "The provider refused {name} because too much was asked of it in too short a time, or the "
    "quota is used up. The agent's own logic is not at fault; how it retries may be.",
)


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each call that a limit ended."""
    yield from outside_failures(trace, _WEATHER)


def _refused(error_type: str, message: str) -> Trace:
    run = samples.failed(samples.model("call", [samples.user("Hi")], ""), error_type, message)
    return samples.trace(run, error=run.error)


CLEAN = [_refused("ValueError", "seats must be positive")]
FAILING = [
    (_refused("RateLimitError", "Error code: 429 - Too many requests"), [samples.uid("call")]),
    (_refused("", "You exceeded your current quota"), [samples.uid("call")]),
]
