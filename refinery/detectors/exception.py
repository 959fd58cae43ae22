"""A run ended with an error that reached the caller, or that nobody got over."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.failures import Failure, failures, frame
from refinery.detectors._shared.quotes import evidence, first_line, shortened
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
from refinery.model.trace import Run, RunKind, Trace

SPECIFICITY = 0

_ENVIRONMENT = (
    "connection",
    "connecterror",
    "unreachable",
    "name resolution",
    "authentication",
    "api key",
    "api_key",
    "unauthorized",
    "permission denied",
    "service unavailable",
    "overloaded",
    "internal server error",
)
"""Words of errors that come from outside the agent, lower case."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each error, from the deepest failing run up to the highest it ended."""
    for failure in failures(trace):
        if failure.is_recovered:
            continue
        error = failure.origin.error
        if error is None or _is_an_answer(failure):
            continue
        quoted = _evidence(failure)
        if not quoted:
            continue
        where = failure.origin.name or "a run"
        kind = error.type or "an error"
        ended = (
            "It ended the whole trace."
            if failure.is_fatal
            else "It was handled further up, and the trace went on."
        )
        yield Signal(
            detector="exception",
            title=f"{shortened(where, 40)} failed: {shortened(first_line(error.message) or kind)}",
            explanation=(
                f"{where} raised {kind} and did not produce its result. {ended} It is the "
                "deepest run that failed; the runs above it only passed the error on."
            ),
            cause_run_id=failure.origin.run_id,
            symptom_run_id=failure.top.run_id,
            evidence=quoted,
            likelihood=Likelihood.CERTAIN if failure.is_fatal else Likelihood.POSSIBLE,
            root_cause=_root_cause(failure.origin, failure.text),
            facts={
                "error_type": error.type,
                "message": error.message[:500],
                **frame(error.stack),
            },
        )


def _is_an_answer(failure: Failure) -> bool:
    """Whether a tool told the model of a problem, in words, and the agent went on with it."""
    error = failure.origin.error
    told = error is not None and not error.type and not error.stack
    return told and not failure.is_fatal and failure.origin.kind is RunKind.TOOL


def _evidence(failure: Failure) -> tuple[Evidence, ...]:
    error = failure.origin.error
    if error is None:
        return ()
    said = evidence(failure.origin, first_line(error.message), error.type)
    line = str(frame(error.stack).get("frame_line", ""))
    return (*said, *(evidence(failure.origin, line) if line else ()))


def _root_cause(run: Run, text: str) -> RootCause:
    if any(word in text for word in _ENVIRONMENT):
        return RootCause.ENVIRONMENT
    if run.kind is RunKind.TOOL:
        return RootCause.TOOL
    return RootCause.CONTEXT if run.kind is RunKind.RETRIEVER else RootCause.ORCHESTRATION


_STACK = """Traceback (most recent call last):
  File "/app/agent.py", line 12, in charge
    return total / seats
ZeroDivisionError: division by zero
"""
_BROKEN = samples.failed(
    samples.tool("charge", "charge", {"seats": 0}, None),
    "ZeroDivisionError",
    "division by zero",
    _STACK,
)
_ERROR = _BROKEN.error

CLEAN = [
    samples.trace(
        samples.failed(samples.tool("find", "find", {}, None), "", "Error: no such user")
    ),
    samples.trace(samples.tool("charge", "charge", {"seats": 2}, "ok"), output="done"),
    samples.trace(
        _BROKEN, samples.tool("again", "charge", {"seats": 1}, "charged"), output="charged"
    ),
    samples.trace(samples.failed(samples.tool("ask", "ask", {}, None), "GraphInterrupt", "()")),
]
FAILING = [(samples.trace(_BROKEN, error=_ERROR), [samples.uid("charge")])]
