"""The model's answer is not in the form the code asked for or could parse."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from refinery.detectors._shared import samples
from refinery.detectors._shared.failures import Failure, failures, frame, model_behind
from refinery.detectors._shared.patterns import find, find_all
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.view import ModelCall, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Json, Run, RunKind, Trace

SPECIFICITY = 1

_NO_JSON = object()
_PARSER_SAID = (
    r"(?i)outputparser|could not parse|failed to parse|unable to parse|invalid json|"
    r"json ?decode ?error|expecting (?:value|property name|',' delimiter)|not valid json|"
    r"output_parsing_failure|lengthfinishreason"
)
_WANTS_JSON = (
    r"(?i)(?:respond|reply|answer|output|return)(?: only| exclusively| strictly)?"
    r"(?: with| in| as)?(?: only| exclusively)?(?: a| an| one)?(?: single)?(?: valid)? "
    r"json(?: object| array| only| format)?[^.\n]{0,40}(?:\bonly\b|nothing else|no other text)|"
    r"(?:respond|reply|answer|output|return) (?:only|exclusively|strictly) (?:with|in|as)?"
    r"(?: a| an| one)?(?: single)?(?: valid)? ?json"
)
"""A prompt that asks for JSON and nothing else; a mere mention of JSON is no such order."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each answer a parser refused, and for each that is no JSON though ordered."""
    seen = view(trace)
    refused: set[str] = set()
    for failure in failures(trace):
        signal = _refused(trace, failure)
        if signal is not None:
            refused.add(signal.cause_run_id)
            yield signal
    for model in seen.models:
        if model.run.run_id in refused or model.calls or not model.text.strip():
            continue
        order = _order(model)
        if order and not model.run.is_failed and not is_json(model):
            yield _not_json(model, order)


def _refused(trace: Trace, failure: Failure) -> Signal | None:
    """A signal for a parser that failed on what a model wrote before."""
    error, run = failure.origin.error, failure.origin
    if error is None or run.kind in (RunKind.TOOL, RunKind.RETRIEVER, RunKind.LLM):
        return None
    hit = find(_PARSER_SAID, f"{error.type}: {error.message[:4_000]}")
    model = model_behind(trace, run)
    if model is None:
        return None
    call = next((m for m in view(trace).models if m.run.run_id == model.run_id), None)
    written = call.text if call else ""
    if hit is None and run.kind is not RunKind.PARSER:
        key = error.message.strip("'\"") if error.type.endswith("KeyError") else ""
        return _lacking(failure, model, call, key) if call and key else None
    return Signal(
        detector="unparsable_output",
        title=f"{(run.name or 'The parser')[:40]} could not parse the model's answer",
        explanation=(
            f"{run.name or 'A parser'} refused what {model.name or 'the model'} wrote: "
            f"{first_line(error.message)[:200]}"
        ),
        cause_run_id=model.run_id,
        symptom_run_id=run.run_id,
        evidence=(
            *evidence(run, first_line(error.message), error.type),
            *evidence(model, written[:120], first_line(written)),
        ),
        likelihood=Likelihood.CERTAIN if failure.is_fatal else Likelihood.POSSIBLE,
        root_cause=RootCause.MODEL,
        facts={
            "format": "json" if "json" in failure.text else None,
            "parser": run.name,
            "error_type": error.type,
            "message": error.message[:500],
            **frame(error.stack),
        },
    )


def _lacking(failure: Failure, model: Run, call: ModelCall, key: str) -> Signal | None:
    """A signal for an object that lacks a key the program read from it."""
    error, run = failure.origin.error, failure.origin
    bodies = [body for body in map(_parsed, _bodies(call.text.strip())) if isinstance(body, dict)]
    if error is None or not bodies or any(key in body for body in bodies):
        return None
    return Signal(
        detector="unparsable_output",
        title=f"The model's answer lacks “{key[:40]}”, which the program reads",
        explanation=(
            f"{run.name or 'The program'} read “{key[:80]}” from the object that "
            f"{model.name or 'the model'} wrote, and it is not in there."
        ),
        cause_run_id=model.run_id,
        symptom_run_id=run.run_id,
        evidence=(
            *evidence(run, first_line(error.message), error.type),
            *evidence(model, call.text[:120], first_line(call.text)),
        ),
        likelihood=Likelihood.CERTAIN if failure.is_fatal else Likelihood.POSSIBLE,
        root_cause=RootCause.PROMPT,
        facts={
            "format": "json",
            "parser": None,
            "missing_key": key[:200],
            "error_type": error.type,
            "message": error.message[:500],
            **frame(error.stack),
        },
    )


def _not_json(model: ModelCall, order: str) -> Signal:
    return Signal(
        detector="unparsable_output",
        title="JSON was asked for and the answer is not JSON",
        explanation=(
            "The request orders an answer in JSON and nothing else; the answer cannot be parsed "
            "as JSON, even with a code fence taken off and its stop sequence put back."
        ),
        cause_run_id=model.run.run_id,
        symptom_run_id=model.run.run_id,
        evidence=(
            *evidence(model.run, order),
            *evidence(model.run, model.text[:120], first_line(model.text)),
        ),
        likelihood=Likelihood.LIKELY,
        root_cause=RootCause.MODEL,
        facts={"format": "json", "parser": None, "instruction": order},
    )


def _order(model: ModelCall) -> str:
    """What orders JSON, verbatim: the response format or a sentence of the prompt; else empty."""
    wanted = model.parameters.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind in ("json_object", "json_schema"):
        return str(kind)
    for text in (model.system[:20_000], model.last_user[:20_000]):
        hit = find(_WANTS_JSON, text)
        if hit is not None:
            return hit.text
    return ""


def is_json(model: ModelCall) -> bool:
    """Whether an answer is JSON, given its prefill, its stop sequences and a code fence.

    A stop sequence is never part of the answer, so a missing closing fence or brace that *is*
    one counts as written.
    """
    last = model.given[-1] if model.given else None
    prefill = last.text if last is not None and last.role == "assistant" else ""
    text = model.text.strip()
    for start in dict.fromkeys(("", prefill)):
        for end in ("", *_stops(model)):
            if any(_parses(body) for body in _bodies(f"{start}{text}{end}".strip())):
                return True
    return False


def _stops(model: ModelCall) -> list[str]:
    stop: Json = model.parameters.get("stop") or model.parameters.get("stop_sequences") or []
    items = [stop] if isinstance(stop, str) else stop
    return [s for s in items if isinstance(s, str)][:8] if isinstance(items, list) else []


def _bodies(text: str) -> Iterator[str]:
    """The text itself and what stands in its code fences, an open one included."""
    yield text
    for hit in find_all(r"(?s)```[a-zA-Z]*\s*(.*?)(?:```|$)", text):
        yield hit.groups[0]


def _parses(text: str) -> bool:
    return _parsed(text) is not _NO_JSON


def _parsed(text: str) -> Json:
    """The value a text is the JSON of; `_NO_JSON` when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_JSON


def _wrote(answer: str, prompt: str = "Respond only with JSON.", **fields: Json) -> Trace:
    given = [samples.system(prompt), samples.user("Who signed?")]
    return samples.trace(samples.model("write", given, answer, **fields), output=answer)


def _program(answer: str, kind: str, message: str) -> Trace:
    """A program that asks a model itself and fails on its answer."""
    read = Run(samples.uid("read"), "", "read", RunKind.CHAIN)
    broken = samples.failed(read, kind, message)
    asked = samples.model("write", [samples.user("Who signed?")], answer)
    return samples.trace(broken, replace(asked, parent_id=broken.run_id), error=broken.error)


def _refused_by_parser(answer: str) -> Trace:
    parser = Run(samples.uid("parse"), "", "JsonOutputParser", RunKind.PARSER)
    broken = samples.failed(parser, "OutputParserException", "Invalid json output: Well, Ann")
    written = samples.model("write", [samples.user("Who signed?")], answer)
    return samples.trace(written, broken, error=broken.error)


CLEAN = [
    _wrote('{"name": "Ann"}'),
    _wrote('```json\n{"name": "Ann"}\n```'),
    _wrote('```json\n{"name": "Ann"}', params={"stop": ["```"]}),
    _wrote('{"name": "Ann"', params={"stop": "}"}),
    _wrote("Ann signed.", prompt="You may use the JSON below."),
    _program('{"name": "Ann"}', "KeyError", "'name'"),
    _program("Ann.", "KeyError", "'name'"),
]
FAILING = [
    (_wrote("Ann signed it."), [samples.uid("write")]),
    (_wrote("Ann", prompt="", params={"response_format": {"type": "json_object"}}),
     [samples.uid("write")]),
    (_refused_by_parser("Well, Ann"), [samples.uid("write")]),
    (_program("Ann.", "json.decoder.JSONDecodeError", "Expecting value: line 1"),
     [samples.uid("write")]),
    (_program('{"who": "Ann"}', "KeyError", "'name'"), [samples.uid("write")]),
]  # fmt: skip
