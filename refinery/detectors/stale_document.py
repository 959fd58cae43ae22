"""The answer rests on a retrieved document although a newer one on the same subject was found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from refinery.detectors._shared import samples
from refinery.detectors._shared.documents import (
    Document,
    date_key,
    documents,
    same_subject,
    terms,
)
from refinery.detectors._shared.patterns import find_all
from refinery.detectors._shared.quotes import around, evidence, shortened
from refinery.detectors._shared.values import Value, numbers, values
from refinery.detectors._shared.view import ModelCall, View, final_text, view
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
from refinery.model.trace import Json, Run, Trace

SPECIFICITY = 2
MAX_ANSWERS = 10
"""Last answers of a trace that are compared with the documents."""
LEAST_TEXT = 12
"""Characters of a document that is taken out of a question; fewer may be the question's own."""
_ABOUT_THE_PAST = ("previous", "former", "history", "used to", "in the past", "back then", "older")


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two documents on one subject, and the words of the answer only the older one has."""

    key: str
    older: Document
    older_date: str
    newer: Document
    newer_date: str
    shared: tuple[str, ...]
    """Text in the answer that stands in the older document and not in the newer one."""
    is_value: bool
    """Whether what is shared is a number, a date or an identifier, not just words."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each answer that rests on an outdated document."""
    found = documents(trace)
    outdated = _outdated_ones(found)
    if not outdated:
        return
    seen = view(trace)
    for run, text, asked in _answers(seen):
        question = _without_documents(asked, found)
        at = len(trace.runs) if run is trace.root else seen.position(run)
        pair = _used(outdated, seen, at, text, question)
        if pair is not None and (signal := _signal(run, text, pair)) is not None:
            yield signal


_Newer = tuple[tuple[str, str, str], Document]
"""A newer document on the same subject, with the key and the dates that say so."""


def _outdated_ones(found: Sequence[Document]) -> list[tuple[Document, list[_Newer]]]:
    """Documents with the newer ones on the same subject; documents without any are left out."""
    dated = [(document, dates) for document in found if (dates := document.dates())]
    return [
        (older, newer_ones)
        for older, dates in dated
        if (
            newer_ones := [
                (keyed, newer)
                for newer, other_dates in dated
                if newer is not older
                and (keyed := date_key(dates, other_dates)) is not None
                and newer.is_current
                and same_subject(older, newer)
                and not _is_future(keyed[0], keyed[2], newer.run)
            ]
        )
    ]


def _answers(seen: View) -> Iterator[tuple[Run, str, str]]:
    """Answers of the model with the question they answer; without a model, the root's result."""
    spoken: Sequence[ModelCall] = seen.answers[-MAX_ANSWERS:]
    for model in spoken:
        yield model.run, model.text, model.last_user
    root = seen.trace.root
    if not spoken and root is not None:
        yield root, final_text(seen.trace), ""


def _without_documents(asked: str, found: Sequence[Document]) -> str:
    """What was asked, without documents and tags that a program wrote around the question."""
    if not any(document.text in asked for document in found if document.text):
        return asked
    for document in found:
        if len(document.text) >= LEAST_TEXT:
            asked = asked.replace(document.text, " ")
    for tag in list(find_all(r"<[^<>]{1,300}>", asked)):
        asked = asked.replace(tag.text, " ")
    return asked


def _used(
    outdated: Sequence[tuple[Document, list[_Newer]]],
    seen: View,
    at: int,
    answer: str,
    question: str,
) -> _Pair | None:
    """The first outdated document an answer rests on, beside the newest on its subject."""
    lowered = question.lower()
    if any(word in lowered for word in _ABOUT_THE_PAST):
        return None
    for older, all_newer in outdated:
        newer_ones = [item for item in all_newer if seen.position(item[1].run) < at]
        if seen.position(older.run) >= at or not newer_ones:
            continue
        if any(keyed[1][:4] in question for keyed, _ in newer_ones):
            continue
        (key, older_date, newer_date), newer = max(newer_ones, key=lambda item: item[0][2])
        newer_texts = [document.text for _, document in newer_ones]
        shared, is_value = _rests_on(answer, older.text, newer_texts, question)
        if shared:
            return _Pair(key, older, older_date, newer, newer_date, shared, is_value)
    return None


def _is_future(key: str, date: str, run: Run) -> bool:
    """Whether a document was not in force yet when it was found."""
    if run.start_ns is None or not any(word in key.lower() for word in ("effective", "valid")):
        return False
    today = datetime.fromtimestamp(run.start_ns // 10**9, tz=UTC).date().isoformat()
    return date[:10] > today


def _rests_on(
    answer: str, older: str, newer: Sequence[str], question: str
) -> tuple[tuple[str, ...], bool]:
    """What the answer has from the older text alone; empty when it uses the newer one too."""
    asked = _marks(question).keys()
    said, old = _marks(answer), _marks(older)
    new = {mark for text in newer for mark in _marks(text)}
    only_old = (said.keys() & old.keys()) - new - asked
    only_new = (said.keys() & new) - old.keys() - asked
    if only_old and not only_new:
        return tuple(
            said[mark].text for mark in sorted(only_old, key=lambda m: said[m].start)
        ), True
    if only_old or only_new:
        return (), False
    words = terms(answer) - terms(question)
    new_words = {word for text in newer for word in terms(text)}
    from_old = (words & terms(older)) - new_words
    from_new = (words & new_words) - terms(older)
    return (tuple(sorted(from_old)), False) if len(from_old) >= 2 and not from_new else ((), False)


@lru_cache(maxsize=1_000)
def _marks(text: str) -> Mapping[str, Value]:
    """Values of a text by canonical spelling; the first place of each counts."""
    found: dict[str, Value] = {}
    for value in (*numbers(text), *values(text)):
        found.setdefault(value.canonical, value)
    return found


def _signal(run: Run, answer: str, pair: _Pair) -> Signal | None:
    cause, older, newer = pair.older.run, pair.older, pair.newer
    quoted = _evidence(run, answer, pair)
    if len({item.quote for item in quoted}) < 2:
        return None
    given = f"dated {pair.older_date} ({pair.key})" if pair.key else f"dated {pair.older_date}"
    return Signal(
        detector="stale_document",
        title=f"The answer rests on an outdated document: {shortened(older.label)}",
        explanation=(
            f"The answer says {', '.join(pair.shared[:3])}, which stands in the document "
            f"{given} and not in the one on the same subject dated {pair.newer_date}, "
            f"which was found as well."
        ),
        cause_run_id=cause.run_id,
        symptom_run_id=run.run_id,
        evidence=quoted,
        likelihood=Likelihood.LIKELY if pair.is_value else Likelihood.POSSIBLE,
        root_cause=RootCause.CONTEXT,
        facts={
            "date_key": pair.key or None,
            "documents": _listed(pair),
            "older_index": older.index,
            "newer_index": newer.index,
            "older_position": older.index + 1,
            "newer_position": newer.index + 1,
            "older_date": pair.older_date,
            "newer_date": pair.newer_date,
            "newer_run_id": newer.run.run_id,
            "k": older.of,
        },
    )


def _listed(pair: _Pair) -> Json:
    pairs = ((pair.older, pair.older_date), (pair.newer, pair.newer_date))
    return [{"title": document.label, "date": date} for document, date in pairs]


def _evidence(run: Run, answer: str, pair: _Pair) -> tuple[Evidence, ...]:
    """What the answer says, where the older document says it, and both dates."""
    shared = pair.shared[0]
    at = answer.find(shared)
    marks = _marks(pair.older.text)
    mark = next((v for v in marks.values() if v.canonical in _marks(shared)), None)
    lowered = pair.older.text.lower()
    start = mark.start if mark else max(lowered.find(shared.lower()), 0)
    length = len(mark.text) if mark else len(shared)
    said = around(answer, max(at, 0), max(at, 0) + len(shared))
    stands = around(pair.older.text, start, start + length)
    return (
        *evidence(run, said, shared),
        *evidence(pair.older.run, stands, pair.older.text[start : start + length]),
        *evidence(pair.older.run, pair.older_date, pair.older_date[:10]),
        *evidence(pair.newer.run, pair.newer_date, pair.newer_date[:10]),
    )


def _in_prompt(answer: str) -> Trace:
    """Documents handed on inside the user's message."""
    old, new = ("Parking costs 28 euros.", "2022-01-10"), ("Parking costs 41 euros.", "2026-01-05")
    shown = "".join(f'<document published="{day}">{text}</document>' for text, day in (old, new))
    given = [samples.user(f"{shown}\nQuestion: What is the price?")]
    pair = [(text, {"published": day, "title": "Parking"}) for text, day in (old, new)]
    found = samples.retriever("find", "price", *pair)
    return samples.trace(found, samples.model("reply", given, answer), output=answer)


def _asked(old_first: bool, answer: str, question: str = "What does Pro cost?") -> Trace:
    old = ("The Pro plan is $12 per month.", {"title": "Prices", "updated": "2024-02-01"})
    new = ("The Pro plan is $15 per month.", {"title": "Prices", "updated": "2025-03-01"})
    pair = (old, new) if old_first else (new, old)
    given = [samples.system("Answer from the documents."), samples.user(question)]
    return samples.trace(
        samples.retriever("find", question, *pair),
        samples.model("reply", given, answer),
        output=answer,
    )


CLEAN = [
    _asked(True, "It costs $15 per month."),
    _asked(True, "It went from $12 to $15 per month."),
    _asked(True, "It cost $12 then.", "What did Pro cost in 2024?"),
    _asked(False, "I do not know."),
    _in_prompt("It is 41 euros."),
]
FAILING = [
    (_asked(True, "The Pro plan costs $12 per month."), [samples.uid("find")]),
    (_asked(False, "The Pro plan costs $12 per month."), [samples.uid("find")]),
    (_in_prompt("It is 28 euros."), [samples.uid("find")]),
]
