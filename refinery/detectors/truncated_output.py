"""The model's answer was cut off by the token limit."""

from collections.abc import Iterator, Mapping

from refinery.detectors._shared import samples
from refinery.detectors._shared.quotes import evidence
from refinery.detectors._shared.view import ModelCall, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Json, Trace

SPECIFICITY = 2

_REASON_KEYS = ("finish_reason", "stop_reason", "done_reason", "finishReason", "reason")
_CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "token_limit")
"""What vendors call it, lower case."""
_LIMITS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "num_predict",
    "max_new_tokens",
    "maxOutputTokens",
)
LIMITS: Mapping[str, float] = {"short_tokens": 16}
"""A limit this low is set on purpose, e.g. for a yes or no; chosen by us."""
MAX_DEPTH = 12


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each model call that ended at its token limit."""
    for model in view(trace).models:
        found = _cut_reason(model.run.outputs, 0)
        if found is None:
            continue
        key, reason = found
        parameter, value = _limit(model)
        short = isinstance(value, int) and value <= limits["short_tokens"]
        limit = f" ({parameter} = {value})" if parameter else ""
        yield Signal(
            detector="truncated_output",
            title=f"The answer was cut off by the token limit{limit}",
            explanation=(
                "The model stopped because it ran out of the tokens it was allowed to write, "
                f"not because it was done{limit}. What follows works on half an answer."
            ),
            cause_run_id=model.run.run_id,
            symptom_run_id=model.run.run_id,
            evidence=evidence(model.run, f'"{key}": "{reason}"', f'"{key}":"{reason}"', reason)
            + (evidence(model.run, model.text[-80:]) if model.text else ()),
            likelihood=Likelihood.POSSIBLE if short else Likelihood.CERTAIN,
            root_cause=RootCause.MODEL,
            facts={
                "parameter": parameter or "max_tokens",
                "value": value,
                "reason": reason,
                "written": model.run.usage.output if model.run.usage else None,
            },
        )


def _cut_reason(value: Json, depth: int) -> tuple[str, str] | None:
    """Key and value of a stop reason that means the limit; None when there is none."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        for key in _REASON_KEYS:
            reason = value.get(key)
            if isinstance(reason, str) and reason.lower() in _CUT:
                return key, reason
    items = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for item in list(items)[:200]:
            found = _cut_reason(item, depth + 1)
            if found is not None:
                return found
    return None


def _limit(model: ModelCall) -> tuple[str | None, int | None]:
    for name in _LIMITS:
        value = model.parameters.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return name, value
    return None, None


def _answered(reason: str, limit: int = 64) -> Trace:
    choice = {"message": {"role": "assistant", "content": "The three"}, "finish_reason": reason}
    run = samples.model(
        "write", [samples.user("List them")], "", outputs={"choices": [choice]},
        params={"max_tokens": limit},
    )  # fmt: skip
    return samples.trace(run)


CLEAN = [_answered("stop"), _answered("tool_calls")]
FAILING = [(_answered("length"), [samples.uid("write")])]
