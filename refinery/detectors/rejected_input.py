"""A tool refused or did not know a value exactly as the user gave it."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.values import values
from refinery.detectors._shared.view import Call, ModelCall, View, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace
from refinery.model.walk import strings

SPECIFICITY = 2

_REFUSES = (
    r"(?i)not found|no (?:such|match|record|result|user|order|account|booking|customer)|"
    r"does ?n[o']t exist|do not exist|unknown|invalid|not recogni[sz]ed|not valid|no longer valid"
)
MAX_RESULT = 600
"""Characters of a result in which a refusal counts; chosen by us."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each value of the user that a tool refused and no later call got through."""
    seen = view(trace)
    reported: set[str] = set()
    for call in seen.calls:
        text = call.result or ""
        if not call.is_error or find(_REFUSES, text[:MAX_RESULT]) is None:
            continue
        given = _from_user(seen, call)
        if given is None or given[0].lower() in reported or _works_later(seen, call, given[0]):
            continue
        value, holder = given
        reported.add(value.lower())
        run = call.run or call.holder or call.model.run
        yield Signal(
            detector="rejected_input",
            title=f"{call.call.name[:60]} does not know “{value[:40]}”, which the user gave",
            explanation=(
                f"The user wrote “{value[:80]}”, the model passed it on unchanged, and "
                f"{call.call.name} refused it. The value itself is wrong, or it is not in there."
            ),
            cause_run_id=holder.run.run_id,
            symptom_run_id=run.run_id,
            evidence=(*evidence(holder.run, value), *evidence(run, first_line(text), text[:80])),
            likelihood=Likelihood.POSSIBLE,
            root_cause=RootCause.INPUT,
            facts={"tool": call.call.name, "value": value[:200], "message": text[:300]},
        )


def _from_user(seen: View, call: Call) -> tuple[str, ModelCall] | None:
    """A value of the arguments that the user wrote, with the first model call that saw it."""
    for _, argument in strings(call.call.arguments):
        for value in values(argument[:2_000]):
            if value.kind not in ("identifier", "email"):
                continue
            for model in seen.models:
                if model.position > call.position:
                    break
                if any(m.role == "user" and value.text in m.text for m in model.given):
                    return value.text, model
    return None


def _works_later(seen: View, refused: Call, value: str) -> bool:
    """Whether some call with the value was answered without an error."""
    return any(
        not call.is_error and call.result is not None and value in text
        for call in seen.calls
        if call is not refused
        for _, text in strings(call.call.arguments)
    )


def _ordered(number: str, *results: str) -> Trace:
    question = samples.user("Please cancel my order W2378156.")
    runs = []
    for n, result in enumerate(results):
        asked = [samples.asks("get_order", f'{{"order_id": "{number}"}}', f"c{n}")]
        runs.append(samples.model(f"ask {n}", [question], asked))
        runs.append(samples.tool(f"get {n}", "get_order", {"order_id": number}, result))
    return samples.trace(*runs)


CLEAN = [
    _ordered("W2378156", "W2378156: shipped"),
    _ordered("W2378156", "Error: order not found", "W2378156: shipped"),
    _ordered("W9999999", "Error: order not found"),
]
FAILING = [(_ordered("W2378156", "Error: order not found"), [samples.uid("ask 0")])]
