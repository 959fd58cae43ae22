"""Two retrieved documents on one subject say different things, and the answer follows one."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from refinery.detectors._shared import samples
from refinery.detectors._shared.documents import Document, documents, same_subject, terms
from refinery.detectors._shared.patterns import find, find_all
from refinery.detectors._shared.quotes import around, evidence, shortened
from refinery.detectors._shared.values import Value, numbers
from refinery.detectors._shared.view import view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Run, Trace

SPECIFICITY = 2
MAX_COMPARED = 30
"""Documents that are compared with each other."""
MIN_SHARED = 3
"""Words two sentences must share, and half of the shorter one's, to be about the same thing."""
_WEIGHS = (
    r"(?i)contradict|conflict|differ(?:s|ent)?\b|inconsisten|disagree|discrepan|whereas|"
    r"on the other hand|one (?:source|document) says|widerspr"
)


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each answer that takes one of two contradicting values without a word."""
    found = [d for d in documents(trace) if d.text.strip()][:MAX_COMPARED]
    clashes = [clash for one, two in combinations(found, 2) if (clash := _clash(one, two))]
    if not clashes:
        return
    seen = view(trace)
    for model in seen.answers:
        if find(_WEIGHS, model.text):
            continue
        said = {value.canonical for value in numbers(model.text)}
        for (one, left), (two, right) in clashes:
            taken = left.canonical in said
            is_given = seen.position(two.run) < model.position
            if is_given and taken != (right.canonical in said):
                yield _signal(model.run, (one, left), (two, right), left if taken else right)
                break


_Side = tuple[Document, Value]


def _clash(one: Document, two: Document) -> tuple[_Side, _Side] | None:
    """Values in which two undated or equally old documents contradict each other."""
    if one.text == two.text or not same_subject(one, two):
        return None
    dates = [dict(document.dates()) for document in (one, two)]
    if all(dates) and dates[0] != dates[1]:
        return None  # the newer one is right: that is `stale_document`
    for left_words, left in _statements(one.text):
        for right_words, right in _statements(two.text):
            shared = left_words & right_words
            least = min(len(left_words), len(right_words))
            if len(shared) >= max(MIN_SHARED, (least + 1) // 2) and left != right:
                pair = _only(left, right), _only(right, left)
                if pair[0] is not None and pair[1] is not None:
                    return (one, pair[0]), (two, pair[1])
    return None


def _statements(text: str) -> list[tuple[frozenset[str], tuple[Value, ...]]]:
    """Sentences with exactly one number: their words and that number."""
    found: list[tuple[frozenset[str], tuple[Value, ...]]] = []
    for hit in find_all(r"[^.!?\n]{8,400}(?:\.\d[^.!?\n]{0,200})?", text[:20_000]):
        held = tuple(numbers(hit.text))
        if len(held) == 1:
            found.append((terms(hit.text), held))
    return found[:60]


def _only(mine: Sequence[Value], other: Sequence[Value]) -> Value | None:
    theirs = {value.canonical for value in other}
    return next((value for value in mine if value.canonical not in theirs), None)


def _signal(answer: Run, one: _Side, two: _Side, taken: Value) -> Signal:
    (first, left), (second, right) = one, two
    return Signal(
        detector="contradictory_documents",
        title=f"two documents disagree ({left.text} or {right.text}); the answer takes "
        f"{shortened(taken.text, 20)}",
        explanation=(
            f"Two documents on one subject were retrieved: one says {left.text}, the other "
            f"{right.text}, and nothing tells which is right. The answer takes {taken.text} "
            "without a word about the other."
        ),
        cause_run_id=first.run.run_id,
        symptom_run_id=answer.run_id,
        evidence=(
            *evidence(first.run, _sentence(first.text, left), left.text),
            *evidence(second.run, _sentence(second.text, right), right.text),
            *evidence(answer, taken.text),
        ),
        likelihood=Likelihood.POSSIBLE,
        root_cause=RootCause.CONTEXT,
        facts={"values": [left.text, right.text], "taken": taken.text},
    )


def _sentence(text: str, value: Value) -> str:
    at = text.find(value.text)
    return around(text, at, at + len(value.text)) if at >= 0 else value.text


def _asked(one: str, two: str, answer: str) -> Trace:
    found = samples.retriever(
        "find", "refund", (one, {"title": "Refunds"}), (two, {"title": "Refunds"})
    )
    return samples.trace(found, samples.model("say", [samples.user("How long?")], answer))


_ONE = "Refunds of annual plans are paid within 14 days."
_TWO = "Refunds of annual plans are paid within 30 days."

CLEAN = [
    _asked(_ONE, _ONE, "Within 14 days."),
    _asked(_ONE, _TWO, "The documents differ: 14 days in one, 30 days in the other."),
    _asked(_ONE, "Refunds of monthly plans need the form R 7.", "Within 14 days."),
]
FAILING = [(_asked(_ONE, _TWO, "You get it within 14 days."), [samples.uid("find")])]
