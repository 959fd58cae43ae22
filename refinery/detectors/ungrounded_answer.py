"""The answer states numbers or identifiers that nothing the model was given contains."""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from refinery.detectors._shared import samples
from refinery.detectors._shared.documents import documents
from refinery.detectors._shared.quotes import around, evidence
from refinery.detectors._shared.values import Value, numbers, values
from refinery.detectors._shared.view import ModelCall, View, result_text, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import RunKind, Trace

SPECIFICITY = 1

MAX_OPERANDS = 200
"""Numbers of the sources from which sums of three are tried."""
SOURCES = (RunKind.TOOL, RunKind.RETRIEVER, RunKind.RERANKER)


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each answer with values from nowhere; silent when nothing was looked up."""
    seen = view(trace)
    if not any(run.kind in SOURCES for run in trace.runs) and not seen.calls:
        return
    looked_up = _looked_up(seen)
    known: set[str] = set()
    for model in seen.answers:
        stated = [value for value in _checkable(model.text) if value.canonical not in known]
        if not stated:
            continue
        sources = _sources(looked_up, model)
        joined = "\n".join(sources).lower()
        made_up = [value for value in stated if not _stands(value, joined, sources)]
        known.update(value.canonical for value in made_up)
        if made_up:
            yield _signal(trace, model, made_up)


def _looked_up(seen: View) -> list[tuple[int, str]]:
    """Results and documents of the trace, each with its place in it."""
    results = [
        (position, result_text(run))
        for position, run in enumerate(seen.trace.runs)
        if run.kind in SOURCES
    ]
    found = documents(seen.trace)
    return results + [(seen.position(d.run), f"{d.text} {dict(d.fields)}") for d in found]


def _sources(looked_up: Sequence[tuple[int, str]], model: ModelCall) -> list[str]:
    """Everything an answer may rest on: what the model was given, and what ran before it."""
    given = [message.text for message in model.given]
    given += [str(call.arguments) for message in model.given for call in message.tool_calls]
    return list(dict.fromkeys([*given, *(t for at, t in looked_up if at < model.position)]))


def _checkable(text: str) -> list[Value]:
    """Values a person would act on; a bare number or a date may be derived, so they are not."""
    found = [v for v in values(text) if v.kind in ("identifier", "email", "url", "money")]
    wider = [v for v in found if v.kind in ("email", "url")]
    return [
        v
        for v in found
        if v in wider or not any(w.start <= v.start < w.start + len(w.text) for w in wider)
        if not _is_example(v)
    ]


def _is_example(value: Value) -> bool:
    """Whether a value only shows what one looks like: `#W0000000`, `user_123`, `a@example.com`."""
    digits = "".join(c for c in value.canonical if c.isdigit())
    made = len(set(digits)) == 1 or digits in "01234567890" or digits in "9876543210"
    return "example." in value.canonical or (value.kind == "identifier" and made)


def _stands(value: Value, joined: str, sources: Sequence[str]) -> bool:
    if value.canonical in joined or value.text.lower() in joined:
        return True
    if value.kind == "identifier":
        plain = value.canonical.replace("-", "").replace("_", "")
        return plain in joined.replace("-", "").replace("_", "").replace(" ", "")
    if value.kind != "money":
        return False
    operands = {number.canonical for text in sources for number in numbers(text)}
    return is_derived(value.canonical, operands)


def is_derived(amount: str, operands: Collection[str]) -> bool:
    """Whether an amount is a multiple or a share of a number at hand, or adds up from three.

    Counted in hundredths; operands of seven digits or more are identifiers, not amounts.
    """
    wanted = _cents(amount)
    known = {c for text in operands if (c := _cents(text)) is not None and 0 < c < 10**8}
    if wanted is None or wanted in known:
        return wanted is not None
    factors = {*range(2, 13), *(c // 100 for c in known if c % 100 == 0 and c <= 10_000)}
    if any(
        abs(wanted - c * k) <= 1 or abs(wanted * 100 - c * k) <= 60 for c in known for k in factors
    ):
        return True
    near = sorted(known)[:MAX_OPERANDS]
    if any({wanted - c, wanted + c, c - wanted} & known for c in known):
        return True
    return any(
        {wanted - a - b, a + b - wanted, wanted + a + b} & known for a, b in combinations(near, 2)
    )


def _cents(text: str) -> int | None:
    whole, _, part = text.partition(".")
    return int(whole or "0") * 100 + int(f"{part}00"[:2]) if len(whole) < 12 else None


def _signal(trace: Trace, model: ModelCall, made_up: Sequence[Value]) -> Signal:
    first = made_up[0]
    sure = any(value.kind != "money" for value in made_up)
    kinds = {"url": "an address", "email": "an e-mail address", "money": "an amount"}
    kind = kinds.get(first.kind, "an identifier")
    return Signal(
        detector="ungrounded_answer",
        title=f"The answer states {kind} found nowhere: {first.text[:60]}",
        explanation=(
            f"The answer states {', '.join(v.text for v in made_up[:3])}. No message, document or "
            "tool result before it contains that"
            + ("." if sure else ", and it is no sum or difference of what they contain.")
        ),
        cause_run_id=model.run.run_id,
        symptom_run_id=model.run.run_id,
        evidence=tuple(
            item
            for value in made_up[:3]
            for item in evidence(
                model.run,
                around(model.text, value.start, value.start + len(value.text)),
                value.text,
            )
        ),
        likelihood=Likelihood.LIKELY if sure else Likelihood.POSSIBLE,
        root_cause=RootCause.MODEL,
        facts={
            "values": [v.text for v in made_up][:10],
            "kinds": sorted({v.kind for v in made_up}),
        },
    )


def _answered(answer: str) -> Trace:
    found = ("The Pro plan is $12 per month, the Team plan $9.", {"title": "Prices"})
    given = [samples.system("Answer from: " + found[0]), samples.user("Price for 2 teams?")]
    return samples.trace(
        samples.retriever("find", "price", found), samples.model("reply", given, answer)
    )


CLEAN = [
    _answered("The Pro plan is $12, the Team plan $9, together $21."),
    _answered("Two teams are $18 per month, a year of one is $108."),
    _answered("I do not know."),
]
FAILING = [
    (_answered("Ask billing@lumen.example about it."), [samples.uid("reply")]),
    (_answered("Your invoice is INV-20931."), [samples.uid("reply")]),
    (_answered("The Pro plan is $47.31."), [samples.uid("reply")]),
]
