"""Failures that come from outside the agent: one way to find and tell them."""

from collections.abc import Iterator
from dataclasses import dataclass

from refinery.detectors._shared.failures import Failure, failures
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace


@dataclass(frozen=True, slots=True)
class Weather:
    """One kind of outside failure."""

    detector: str
    pattern: str
    """RE2, on the type and message of an error."""
    title: str
    explanation: str


def outside_failures(trace: Trace, weather: Weather) -> Iterator[Signal]:
    """One signal for each error of the kind: certain when it ended the trace, else possible."""
    for failure in failures(trace):
        error = failure.origin.error
        if error is None or not _fits(failure, weather):
            continue
        name = failure.origin.name or "A call"
        got_over = " A later attempt went through." if failure.is_recovered else ""
        yield Signal(
            detector=weather.detector,
            title=weather.title.format(name=name[:40]),
            explanation=weather.explanation.format(name=name[:80]) + got_over,
            cause_run_id=failure.origin.run_id,
            symptom_run_id=failure.top.run_id,
            evidence=evidence(failure.origin, first_line(error.message), error.type),
            likelihood=Likelihood.CERTAIN if failure.is_fatal else Likelihood.POSSIBLE,
            root_cause=RootCause.ENVIRONMENT,
            facts={
                "error_type": error.type,
                "message": error.message[:300],
                "recovered": failure.is_recovered,
            },
        )


def _fits(failure: Failure, weather: Weather) -> bool:
    error = failure.origin.error
    return (
        error is not None
        and find(weather.pattern, f"{error.type}: {error.message[:2_000]}") is not None
    )
