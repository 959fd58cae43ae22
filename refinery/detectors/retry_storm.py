"""The same step failed with the same inputs and error again and again."""

import json
from collections.abc import Iterator, Mapping

from refinery.detectors._shared import samples
from refinery.detectors._shared.failures import Failure, failures
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Run, Trace

SPECIFICITY = 2

LIMITS: Mapping[str, float] = {"failures": 3}
"""Equal failures from which on we speak of a storm; the default of many SDKs is two retries."""


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each step that failed the same way at least `failures` times."""
    groups: dict[tuple[str, str, str, str], list[Failure]] = {}
    for failure in failures(trace):
        error = failure.origin.error
        if error is not None:
            asked = json.dumps(failure.origin.inputs, sort_keys=True, default=str)[:10_000]
            key = (failure.origin.name or "", error.type, first_line(error.message)[:80], asked)
            groups.setdefault(key, []).append(failure)
    for (name, kind, message, _), group in groups.items():
        if len(group) < limits["failures"]:
            continue
        first, last = group[0], group[-1]
        fatal = any(failure.is_fatal for failure in group)
        quoted = [e for failure in group[:6] for e in evidence(failure.origin, message, kind)]
        yield Signal(
            detector="retry_storm",
            title=f"{name[:40] or 'A step'} failed {len(group)} times with the same error",
            explanation=(
                f"{name or 'A step'} was tried {len(group)} times and failed the same way each "
                "time: trying again does not help, or the pauses between attempts are too short."
            ),
            cause_run_id=first.origin.run_id,
            symptom_run_id=last.top.run_id,
            evidence=tuple(quoted),
            likelihood=_likelihood(group, fatal),
            root_cause=RootCause.ENVIRONMENT,
            facts={"attempts": len(group), "error_type": kind, "message": message},
        )


def _likelihood(group: list[Failure], fatal: bool) -> Likelihood:
    if fatal:
        return Likelihood.CERTAIN
    return Likelihood.POSSIBLE if group[-1].is_recovered else Likelihood.LIKELY


def _attempts(count: int, fatal: bool) -> Trace:
    runs: list[Run] = [
        samples.failed(
            samples.tool(f"attempt {n}", "fetch", {"url": "x"}, None),
            "ConnectError",
            "connection refused",
        )
        for n in range(count)
    ]
    return samples.trace(*runs, error=runs[-1].error if fatal else None)


CLEAN = [_attempts(2, fatal=True)]
FAILING = [(_attempts(3, fatal=False), [samples.uid("attempt 0")])]
