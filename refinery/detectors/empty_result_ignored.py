"""A tool or a retriever gave nothing or an error, and the answer speaks as if it had not."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refinery.detectors._shared import samples
from refinery.detectors._shared.actions import is_lookup
from refinery.detectors._shared.documents import of_run
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import around, evidence, first_line, shortened
from refinery.detectors._shared.values import Value, numbers, values
from refinery.detectors._shared.view import Call, ModelCall, View, result_text, says_error, view
from refinery.detectors._shared.wording import asks, denies
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
from refinery.model.trace import Run, RunKind, Trace

SPECIFICITY = 1

_NOTHING = (
    r"(?i)^\s*(?:\[\s*\]|\{\s*\}|null|none|n/a|\"\"|''|no (?:results?|matches|records?|rows|data|"
    r"documents?|entries|items)(?: (?:were |was )?(?:found|available|returned))?\.?|"
    r"(?:\w+ ){0,4}not found\.?|nothing found\.?|0 results?\.?|not available\.?)\s*$"
)
"""A result that as a whole says that there is nothing."""
_MISSING = (
    r"(?i)\b(?:not found|no such|does not exist|could not be found|no results|no matching|"
    r"there is no |unknown (?:user|customer|order|account|id))"
)
"""A short result that says so in a sentence."""
SHORT = 200
"""Characters up to which a sentence counts as the whole result; chosen by us."""


@dataclass(frozen=True, slots=True)
class _Result:
    holder: Run
    name: str
    text: str
    is_nothing: bool
    is_blank: bool = False
    """Whether it is blank and of a tool that may have nothing to say."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each answer that follows a result of nothing and does not admit it."""
    seen = view(trace)
    results = _results(seen)
    places = [at for at, _ in results]
    start = -1
    for model in seen.answers:
        first, end = bisect_right(places, start), bisect_left(places, model.position)
        since = [result for _, result in results[first:end]]
        start = model.position
        if not since or not all(r.is_nothing for r in since):
            continue
        if denies(model.text) or asks(model.text):
            continue
        invented = _invented(seen, model)
        is_blank = any(r.is_blank for r in since)
        if is_blank and not invented:
            continue
        signal = _signal(model, since[-1], invented)
        if signal.evidence:
            yield signal


def _results(seen: View) -> list[tuple[int, _Result]]:
    """Results of tools and retrievers with their place in the trace, in order."""
    found = [
        (
            seen.position(c.run) if c.run else c.position,
            _Result(
                c.holder, c.call.name, c.result, _gave_nothing(c) or _is_blank(c), _is_blank(c)
            ),
        )
        for c in seen.calls
        if c.result is not None and c.holder is not None
    ]
    retrieved = (RunKind.RETRIEVER, RunKind.RERANKER)
    last = seen.models[-1].position if seen.models else 0
    for position, run in enumerate(seen.trace.runs[:last]):
        if run.kind in retrieved and run.outputs is not None:
            text = result_text(run)
            nothing = not of_run(run) and (is_nothing(text) or text.endswith(": []}"))
            found.append((position, _Result(run, run.name or "the retriever", text, nothing)))
    return sorted(found, key=lambda item: item[0])


def _gave_nothing(call: Call) -> bool:
    """Whether a call gave nothing, a blank result left out of a tool that looks nothing up."""
    return call.is_error or (is_nothing(call.result or "") and not _is_blank(call))


def _is_blank(call: Call) -> bool:
    """Whether a result is blank and the tool's name does not say that it looks something up.

    That is no news, unless the answer states a value that stands nowhere else.
    """
    is_empty = not (call.result or "").strip("[]{}\"' \n")
    return is_empty and not call.is_error and not is_lookup(call.call.name)


def is_nothing(text: str) -> bool:
    """Whether a tool's result says that there is nothing, or that it failed."""
    if not text.strip() or (find(_NOTHING, text[:SHORT]) is not None and len(text) <= SHORT):
        return True
    return says_error(text) or (len(text) <= SHORT and find(_MISSING, text) is not None)


def _invented(seen: View, model: ModelCall) -> Sequence[Value]:
    """Values of an answer that stand nowhere in what the model was given."""
    given = "\n".join(m.text for m in model.given)
    said = [*values(model.text), *numbers(model.text)]
    return [v for v in said if v.text.lower() not in given.lower() and v.canonical not in given]


def _signal(model: ModelCall, result: _Result, invented: Sequence[Value]) -> Signal:
    shown = first_line(result.text) or "nothing"
    at = invented[0] if invented else None
    said = around(model.text, at.start, at.start + len(at.text)) if at else first_line(model.text)
    return Signal(
        detector="empty_result_ignored",
        title=f"{shortened(result.name, 40)} gave nothing, and the answer says otherwise",
        explanation=(
            f"{result.name} answered “{shortened(shown, 100)}”, and no other result came before "
            "the answer, which does not mention it"
            + (f" and says {at.text}, which stands nowhere else." if at else ".")
        ),
        cause_run_id=model.run.run_id,
        symptom_run_id=model.run.run_id,
        evidence=_quoted(result, shown, model, said),
        likelihood=Likelihood.LIKELY if at and not result.is_blank else Likelihood.POSSIBLE,
        root_cause=RootCause.MODEL,
        facts={
            "tool": result.name,
            "result": shown[:200],
            "invented": [v.text for v in invented][:5],
        },
    )


def _quoted(result: _Result, shown: str, model: ModelCall, said: str) -> tuple[Evidence, ...]:
    nothing = evidence(result.holder, shown, "[]", '""', "null", result.holder.name or "")
    spoken = evidence(model.run, said, first_line(model.text))
    return (*nothing, *spoken) if nothing and spoken else ()


def _looked_up(result: str, answer: str, tool: str = "find_order") -> Trace:
    question = samples.user("When does my order arrive?")
    asked = samples.model("ask", [question], [samples.asks(tool, "{}", "c1")])
    ran = samples.tool("find", tool, {}, result)
    told = [question, samples.tool_result(result, "c1")]
    return samples.trace(asked, ran, samples.model("reply", told, answer), output=answer)


CLEAN = [
    _looked_up("arrives 2025-05-01", "It arrives on May 1."),
    _looked_up("[]", "I could not find your order."),
    _looked_up("Error: order not found", "Which order number do you mean?"),
    _looked_up("", "I have moved it.", "move_order"),
]
FAILING = [
    (_looked_up("[]", "Your order arrives on May 3, 2025."), [samples.uid("reply")]),
    (_looked_up("Order not found", "It arrives tomorrow."), [samples.uid("reply")]),
    (_looked_up("", "It was measured at 7 degrees.", "measure"), [samples.uid("reply")]),
]
