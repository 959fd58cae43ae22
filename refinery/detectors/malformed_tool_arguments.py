"""A model called a tool with arguments that are no JSON or do not fit the tool's schema."""

import json
from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.schemas import Misfit, misfits, offered_tools
from refinery.detectors._shared.view import Call, View, view
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
from refinery.model.trace import Trace

SPECIFICITY = 2

_REFUSED = (
    r"(?i)validation errors? for |missing \d+ required (?:positional|keyword)|"
    r"got an unexpected keyword argument|invalid arguments? for tool|"
    r"error invoking tool .{0,100} with kwargs|arguments? .{0,60} (?:is|are) not valid json|"
    r"does not match (?:the )?(?:expected )?schema|failed to parse (?:tool )?arguments"
)
"""How tools and frameworks say that arguments did not fit."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each call whose arguments do not fit; the model that wrote it caused it."""
    seen = view(trace)
    for call in seen.calls:
        misfit = _misfit(call)
        if misfit is None or not (quoted := _evidence(call, misfit)):
            continue
        holder = call.run or call.holder or call.model.run
        yield Signal(
            detector="malformed_tool_arguments",
            title=f"{call.call.name or 'A tool'} was called with unusable arguments",
            explanation=(
                f"The model called {call.call.name or 'a tool'} with arguments that do not fit: "
                f"{misfit.message}."
            ),
            cause_run_id=call.model.run.run_id,
            symptom_run_id=holder.run_id,
            evidence=quoted,
            likelihood=_likelihood(seen, call, misfit),
            root_cause=RootCause.MODEL,
            facts={
                "tool": call.call.name,
                "argument": misfit.argument,
                "rule": misfit.rule,
                "message": misfit.message,
                "value": misfit.value if isinstance(misfit.value, str | int | float) else None,
            },
        )


def _misfit(call: Call) -> Misfit | None:
    """The first thing wrong with a call's arguments; None when nothing is."""
    if call.call.is_malformed:
        return Misfit("", "json", "the arguments are not valid JSON", call.call.arguments)
    schema = (offered_tools(call.model) or {}).get(call.call.name)
    if schema is not None:
        found = next(misfits(call.call.arguments, schema), None)
        if found is not None:
            return found
    if call.is_error and call.result:
        hit = find(_REFUSED, call.result[:4_000])
        if hit is not None:
            line = next(part for part in call.result.splitlines() if hit.text in part)
            return Misfit("", "refused", f"the tool refused them: {line.strip()[:160]}")
    return None


def _likelihood(seen: View, call: Call, misfit: Misfit) -> Likelihood:
    """Certain when the call failed and was not corrected; a tolerated misfit is only possible."""
    went_wrong = call.is_error or call.result is None or misfit.rule == "json"
    corrected = any(
        other.position > call.position
        and other.call.name == call.call.name
        and not other.is_error
        and _misfit(other) is None
        for other in seen.calls
    )
    return Likelihood.CERTAIN if went_wrong and not corrected else Likelihood.POSSIBLE


def _evidence(call: Call, misfit: Misfit) -> tuple[Evidence, ...]:
    run, arguments = call.model.run, call.call.arguments
    written = arguments if isinstance(arguments, str) else ""
    spellings = [
        json.dumps(arguments, ensure_ascii=False, separators=s, default=str)
        for s in ((",", ":"), (", ", ": "))
    ]
    value = misfit.value if isinstance(misfit.value, str) else ""
    asked = evidence(run, written, *spellings, value, call.call.name)
    said: tuple[Evidence, ...] = ()
    if call.holder is not None and call.result and call.is_error:
        said = evidence(call.holder, first_line(call.result))
    return (*asked, *said)


_BOOK = samples.offered("book", {"seats": {"type": "integer"}, "day": {"type": "string"}}, "seats")


def _booked(arguments: str, result: str = "booked", again: str | None = None) -> Trace:
    runs = [
        samples.model(
            "ask", [samples.user("Two seats")], [samples.asks("book", arguments, "c1")],
            tools=[_BOOK],
        ),
        samples.tool("book", "book", {}, result),
    ]  # fmt: skip
    if again is not None:
        asked = [samples.asks("book", again, "c2")]
        runs.append(samples.model("retry", [samples.user("Two")], asked, tools=[_BOOK]))
        runs.append(samples.tool("second", "book", {}, "booked"))
    return samples.trace(*runs)


CLEAN = [_booked('{"seats": 2}'), _booked('{"seats": 2, "note": "window"}')]
FAILING = [
    (_booked('{"seats": "two"}', "Error: seats must be a number"), [samples.uid("ask")]),
    (_booked('{"seats": 2', "Error: bad JSON"), [samples.uid("ask")]),
    (_booked("{}", "Error: seats is required", again='{"seats": 2}'), [samples.uid("ask")]),
]
