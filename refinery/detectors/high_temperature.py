"""A task that needs the same answer every time ran at a temperature that varies it."""

import json
from collections.abc import Iterator, Mapping

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.view import ModelCall, View, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Json, Trace

SPECIFICITY = 0

LIMITS: Mapping[str, float] = {"temperature": 0.3}
"""Temperature up to which answers hardly vary; vendors advise 0 to 0.3 for extraction."""
_STRICT_TASK = (
    r"(?i)\b(?:extract|classif|categori[sz]e|label each|parse the|convert [^.\n]{0,30} to json)"
)


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each strict task whose results differed, or could not be used."""
    seen = view(trace)
    low = limits["temperature"]
    for model in seen.models:
        temperature = model.parameters.get("temperature")
        if not isinstance(temperature, int | float) or isinstance(temperature, bool):
            continue
        if temperature <= low or not _is_strict(model):
            continue
        other = _differing(seen, model)
        if other is None and not _is_unusable(model):
            continue
        effect = (
            "The same request got another answer elsewhere in the trace."
            if other is not None
            else "Its tool arguments are not valid JSON."
        )
        yield Signal(
            detector="high_temperature",
            title=f"A task that needs one right answer ran at temperature {temperature}",
            explanation=f"The temperature is {temperature}, above {low:g}. {effect}",
            cause_run_id=model.run.run_id,
            symptom_run_id=(other or model).run.run_id,
            evidence=(
                *evidence(model.run, f'"temperature": {json.dumps(temperature)}'),
                *(evidence(other.run, first_line(other.text)) if other else ()),
            ),
            likelihood=Likelihood.POSSIBLE,
            root_cause=RootCause.MODEL,
            facts={"parameter": "temperature", "value": temperature},
        )


def _is_strict(model: ModelCall) -> bool:
    wanted = model.parameters.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind in ("json_object", "json_schema") or model.calls:
        return True
    return find(_STRICT_TASK, model.system[:5_000] or model.last_user[:5_000]) is not None


def _differing(seen: View, model: ModelCall) -> ModelCall | None:
    """A later call with the same messages and another answer."""
    for other in seen.models:
        if other.position <= model.position or other.given != model.given or not model.given:
            continue
        if _said(other) != _said(model):
            return other
    return None


def _said(model: ModelCall) -> tuple[str, list[tuple[str, Json]]]:
    """The answer without what differs anyway: the ids of its calls."""
    return model.text.strip(), [(call.name, call.arguments) for call in model.calls]


def _is_unusable(model: ModelCall) -> bool:
    return any(call.is_malformed for call in model.calls)


def _twice(temperature: float, first: str, second: str) -> Trace:
    given = [samples.system("Classify the mood as good or bad."), samples.user("Meh.")]
    params = {"temperature": temperature}
    runs = [
        samples.model(f"call {n}", given, text, params=params)
        for n, text in enumerate((first, second))
    ]
    return samples.trace(*runs)


CLEAN = [_twice(0.0, "good", "bad"), _twice(1.0, "bad", "bad")]
FAILING = [(_twice(1.0, "good", "bad"), [samples.uid("call 0")])]
