"""A call took longer than it was allowed to."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.environment import Weather, outside_failures
from refinery.model.failure import Signal
from refinery.model.trace import Trace

SPECIFICITY = 1

_WEATHER = Weather(
    "timeout",
    r"(?i)time(?:d)?[ _-]?out|deadline ?exceeded|\b(?:504|408)\b.{0,40}(?:gateway|request)",
    "{name} took too long and was given up",
    "{name} did not answer within its time limit. What it was waiting for is slow or down, or "
    "the limit is too short for this request.",
)


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each call that was given up."""
    yield from outside_failures(trace, _WEATHER)


def _given_up(error_type: str, message: str) -> Trace:
    run = samples.failed(samples.tool("call", "fetch", {"url": "x"}, None), error_type, message)
    return samples.trace(run, error=run.error)


CLEAN = [_given_up("ValueError", "the url is empty")]
FAILING = [
    (_given_up("ReadTimeout", "The read operation timed out"), [samples.uid("call")]),
    (_given_up("APITimeoutError", "Request timed out."), [samples.uid("call")]),
]
