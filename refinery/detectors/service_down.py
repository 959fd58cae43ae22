"""A service the agent needs was down, refused the connection or refused access."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.environment import Weather, outside_failures
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.view import Call, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace

SPECIFICITY = 1

_DOWN = (
    r"(?i)\b50[0235]\b.{0,40}(?:error|gateway|unavailable|server)|"
    r"(?:service|server|host|site) (?:is )?(?:temporarily )?(?:unavailable|down|unreachable)|"
    r"connection (?:refused|reset|aborted|error)|ConnectionError|ConnectError|"
    r"name or service not known|getaddrinfo failed|failed to resolve|no route to host|"
    r"network is unreachable|\b(?:401|403)\b.{0,30}(?:unauthorized|forbidden|client error)|"
    r"overloaded_error|internal server error|bad gateway"
)
_WEATHER = Weather(
    "service_down",
    _DOWN,
    "{name} could not be reached or refused access",
    "{name} did not get through to a service it needs. The service, the network or the access "
    "rights are at fault, not what the agent was told.",
)
MAX_RESULT = 600
"""Characters of a result in which the words of an outage count; chosen by us."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each failed call, and for each tool whose only results say it is down."""
    raised = list(outside_failures(trace, _WEATHER))
    yield from raised
    known = {signal.cause_run_id for signal in raised}
    by_tool: dict[str, list[Call]] = {}
    for call in view(trace).calls:
        if call.result is not None:
            by_tool.setdefault(call.call.name, []).append(call)
    for name, calls in by_tool.items():
        if not all(
            call.is_error and find(_DOWN, (call.result or "")[:MAX_RESULT]) for call in calls
        ):
            continue
        first, last = calls[0], calls[-1]
        run = first.run or first.holder
        if run is None or run.run_id in known:
            continue
        yield Signal(
            detector="service_down",
            title=f"{name[:60]} never got through: every call says the service is down",
            explanation=(
                f"{name} was called {len(calls)} times and answered each time that the service "
                "cannot be reached or refuses access. The model could not have done better."
            ),
            cause_run_id=run.run_id,
            symptom_run_id=(last.run or last.holder or run).run_id,
            evidence=evidence(run, first_line(first.result or ""), (first.result or "")[:80]),
            likelihood=Likelihood.POSSIBLE,
            root_cause=RootCause.ENVIRONMENT,
            facts={"tool": name, "calls": len(calls), "message": (first.result or "")[:300]},
        )


def _looked_up(*results: str) -> Trace:
    question = samples.user("Where is my parcel?")
    runs = []
    for n, result in enumerate(results):
        runs.append(samples.model(f"ask {n}", [question], [samples.asks("track", "{}", f"c{n}")]))
        runs.append(samples.tool(f"track {n}", "track", {}, result))
    return samples.trace(*runs)


def _raised(error_type: str, message: str) -> Trace:
    run = samples.failed(samples.tool("call", "fetch", {"url": "x"}, None), error_type, message)
    return samples.trace(run, error=run.error)


CLEAN = [
    _looked_up("Error: 503 Service Unavailable", "Parcel is in Bonn."),
    _looked_up("The page explains error 503 Service Unavailable."),
    _raised("ValueError", "the url is empty"),
]
FAILING = [
    (_looked_up("Error: 503 Service Unavailable", "Error: connection refused"),
     [samples.uid("track 0")]),
    (_raised("ConnectError", "[Errno 111] Connection refused"), [samples.uid("call")]),
]  # fmt: skip
