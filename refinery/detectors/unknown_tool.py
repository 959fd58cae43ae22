"""A model called a tool it was never offered."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.schemas import offered_tools
from refinery.detectors._shared.view import Call, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace

SPECIFICITY = 2

_REFUSED = (
    r"(?i)is not a valid tool|\btool [`'\"]?[\w.\-]{1,80}[`'\"]? (?:was )?not found|"
    r"\bunknown (?:tool|function|action)\b|no (?:such )?(?:tool|function) (?:named|called)|"
    r"\b(?:tool|function) [`'\"]?[\w.\-]{1,80}[`'\"]? (?:does not exist|is not defined)"
)
"""How frameworks say that there is no such tool."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each call of a tool that was not offered."""
    seen = view(trace)
    for call in seen.calls:
        offered = offered_tools(call.model)
        refused = call.result is not None and find(_REFUSED, call.result[:500]) is not None
        missing = offered is not None and call.call.name not in offered
        if not call.call.name or not (missing or refused) or (offered and not missing):
            continue
        ran = call.run is not None and not call.is_error and not refused
        corrected = any(
            later.position > call.position and later.call.name != call.call.name
            for later in seen.calls
        )
        quoted = evidence(call.model.run, f'"{call.call.name}"', call.call.name)
        if refused and call.holder is not None and call.result:
            quoted += evidence(call.holder, first_line(call.result))
        yield Signal(
            detector="unknown_tool",
            title=f"The model called a tool that does not exist: {call.call.name[:60]}",
            explanation=_explained(call, offered),
            cause_run_id=call.model.run.run_id,
            symptom_run_id=(call.holder or call.model.run).run_id,
            evidence=quoted,
            likelihood=Likelihood.POSSIBLE if ran or corrected else Likelihood.CERTAIN,
            root_cause=RootCause.MODEL,
            facts={"tool": call.call.name, "offered": sorted(offered or ())[:50]},
        )


def _explained(call: Call, offered: dict[str, object] | None) -> str:
    if offered is None:
        return f"The model called {call.call.name}, and was told that there is no such tool."
    names = ", ".join(sorted(offered)[:10])
    return f"The model called {call.call.name}; it was offered {names}."


def _called(name: str, result: str | None = None) -> Trace:
    tools = [samples.offered("look_up", {"key": {"type": "string"}})]
    asked = samples.model(
        "ask", [samples.user("Find it")], [samples.asks(name, "{}", "c1")], tools=tools
    )
    told = [samples.user("Find it"), samples.tool_result(result or "", "c1")]
    return samples.trace(asked, samples.model("reply", told, "Sorry, I cannot.", tools=tools))


CLEAN = [_called("look_up", "found")]
FAILING = [
    (
        _called("lookup", "lookup is not a valid tool, try one of [look_up]."),
        [samples.uid("ask")],
    ),
    (_called("lookup"), [samples.uid("ask")]),
]
