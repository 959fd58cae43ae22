"""A tool was called with an identifier that nothing before the call contains."""

from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.values import Value, values
from refinery.detectors._shared.view import Call, View, result_text, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import RunKind, Trace
from refinery.model.walk import strings

SPECIFICITY = 1

FREE_TEXT = 80
"""Characters from which on an argument is prose, whose identifiers may be the model's own."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each call with an identifier from nowhere."""
    seen = view(trace)
    known: set[str] = set()
    for call in seen.calls:
        found = _invented(seen, call)
        if found is None or found[1].canonical in known:
            continue
        name, value = found
        known.add(value.canonical)
        holder = call.holder or call.model.run
        failed = call.is_error and call.result is not None
        yield Signal(
            detector="invented_argument",
            title=f"{call.call.name} was given an identifier from nowhere: {value.text[:50]}",
            explanation=(
                f"The model called {call.call.name} with {name or 'an argument'} = {value.text}. "
                "No message, document or tool result before the call contains it"
                + (", and the tool refused it." if failed else ".")
            ),
            cause_run_id=call.model.run.run_id,
            symptom_run_id=holder.run_id,
            evidence=(
                *evidence(call.model.run, value.text),
                *(evidence(holder, first_line(call.result or "")) if failed else ()),
            ),
            likelihood=Likelihood.LIKELY if failed else Likelihood.POSSIBLE,
            root_cause=RootCause.MODEL,
            facts={"tool": call.call.name, "argument": name, "value": value.text},
        )


def _invented(seen: View, call: Call) -> tuple[str, Value] | None:
    """The first identifier of a call that stands nowhere before it, with its argument's path."""
    if not call.model.given:
        return None
    joined = ""
    for path, text in strings(call.call.arguments):
        if len(text) > FREE_TEXT:
            continue
        for value in values(text):
            if value.kind not in ("identifier", "email"):
                continue
            joined = joined or _known(seen, call)
            plain = value.canonical.replace("-", "").replace("_", "")
            if plain not in joined and not _is_spelled_out(plain, joined):
                return path, value
    return None


def _is_spelled_out(plain: str, joined: str) -> bool:
    """Whether an identifier is made of parts that were said, e.g. `credit_card` and `9513926`."""
    digits = "".join(c for c in plain if c.isdigit())
    return digits in joined and digits != ""


def _known(seen: View, call: Call) -> str:
    """All text before a call, lower case, without spaces and joints."""
    parts = [message.text for message in call.model.given]
    parts += [str(c.arguments) for m in call.model.given for c in m.tool_calls]
    data = (RunKind.TOOL, RunKind.RETRIEVER, RunKind.RERANKER)
    parts += [result_text(r) for r in seen.trace.runs[: call.position] if r.kind in data]
    return "".join(parts).lower().translate({ord(c): None for c in " -_#\n"})


def _called(order: str, user_says: str) -> Trace:
    asked = [samples.asks("cancel", f'{{"order": "{order}"}}', "c1")]
    return samples.trace(samples.model("ask", [samples.user(user_says)], asked))


CLEAN = [
    _called("W100200", "Cancel order #w100200"),
    _called("order_100200", "Cancel my order 100 200"),
]
FAILING = [(_called("W100200", "Cancel my order"), [samples.uid("ask")])]
