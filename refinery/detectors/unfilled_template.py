"""A prompt reached the model with a template variable still in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import Hit, find_all
from refinery.detectors._shared.quotes import around, evidence
from refinery.detectors._shared.view import ModelCall, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Json, Run, RunKind, Trace

SPECIFICITY = 2

_STYLES = {
    "double braces": r"\{\{\s*([A-Za-z_][\w.]{0,60})\s*\}\}",
    "percent": r"%\(([A-Za-z_]\w{0,60})\)[sdrf]",
    "dollar": r"\$\{([A-Za-z_]\w{0,60})\}",
    "braces": r"\{([A-Za-z_][\w.]{0,60})\}",
}
_QUOTES = "`'\"/\\<$%@#&=-"
"""A placeholder right behind one of these is being talked about, or part of a path or code."""
_EXPLAINED = ("template", "placeholder", "variable", "format string", "f-string", "for example")
MAX_SIGNALS = 10


@dataclass(frozen=True, slots=True)
class _Leftover:
    text: str
    variable: str
    style: str
    role: str
    line: str


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each variable, at the first model call that was given it unfilled."""
    reported: set[str] = set()
    for model in view(trace).models:
        for left in _leftovers(model):
            if left.text in reported or len(reported) >= MAX_SIGNALS:
                continue
            reported.add(left.text)
            cause = _rendered_by(trace, model, left.text)
            known = _is_known(trace, left.variable)
            sure = left.role == "system" and left.style != "dollar"
            yield Signal(
                detector="unfilled_template",
                title=f"The prompt still holds the template variable {left.text}",
                explanation=(
                    f"The {left.role} message the model was given contains {left.text}: the "
                    "template was not filled in, so the model never saw the value."
                ),
                cause_run_id=cause.run_id,
                symptom_run_id=model.run.run_id,
                evidence=evidence(model.run, left.line, left.text),
                likelihood=Likelihood.LIKELY if sure or known else Likelihood.POSSIBLE,
                root_cause=RootCause.PROMPT,
                facts={
                    "placeholder": left.text,
                    "variable": left.variable,
                    "style": left.style,
                    "role": left.role,
                    "known_input": known,
                },
            )


def _leftovers(model: ModelCall) -> Iterator[_Leftover]:
    """Placeholders in what the program wrote: system messages, and the first user message."""
    first_user = next((m for m in model.given if m.role == "user"), None)
    for message in model.given:
        if message.role != "system" and message is not first_user:
            continue
        text = _without_code(message.text)
        taken: list[tuple[int, int]] = []
        for style, pattern in _STYLES.items():
            for hit in find_all(pattern, text):
                if any(a <= hit.start < b for a, b in taken):
                    continue
                taken.append((hit.start, hit.end))
                line = around(text, hit.start, hit.end)
                if not _is_talked_about(text, hit, line):
                    yield _Leftover(hit.text, hit.groups[0], style, message.role, line)


def _without_code(text: str) -> str:
    """The text with fenced code blanked out, offsets kept."""
    parts = text.split("```")
    return "```".join(
        part if index % 2 == 0 else " " * len(part) for index, part in enumerate(parts)
    )


def _is_talked_about(text: str, hit: Hit, line: str) -> bool:
    before = text[hit.start - 1] if hit.start else " "
    after = text[hit.end : hit.end + 1]
    if before in _QUOTES + "{" or after in ("}", "/", "`", "'", '"', "=", "_"):
        return True
    lowered = line.lower()
    return any(word in lowered for word in _EXPLAINED)


def _rendered_by(trace: Trace, model: ModelCall, placeholder: str) -> Run:
    """The prompt run that left the placeholder, else the model call that was given it."""
    for run in reversed(trace.runs[: model.position]):
        if run.kind is RunKind.PROMPT and placeholder in str(run.outputs)[:200_000]:
            return run
    return model.run


def _is_known(trace: Trace, variable: str) -> bool:
    """Whether some run was given an input of that name, so the value was at hand."""
    name = variable.partition(".")[0]
    return any(isinstance(run.inputs, Mapping) and name in run.inputs for run in trace.runs)


def _told(prompt: str, question: str = "Hi") -> Trace:
    given: list[Json] = [samples.system(prompt), samples.user(question)]
    return samples.trace(samples.model("reply", given, "Hello"))


CLEAN = [
    _told("Greet Ann."),
    _told('Answer as {"name": "…"} and call /users/{id}.'),
    _told("Use `{name}` where the customer's name goes."),
    _told("The placeholder {name} is replaced later."),
    _told("Run this:\n```\nprint(f'{total}')\n```"),
]
FAILING = [
    (_told("Greet {customer_name} politely."), [samples.uid("reply")]),
    (_told("Greet {{ customer }} politely."), [samples.uid("reply")]),
    (_told("Greet %(customer)s politely."), [samples.uid("reply")]),
    (_told("Be polite.", "Question: {question}"), [samples.uid("reply")]),
]
