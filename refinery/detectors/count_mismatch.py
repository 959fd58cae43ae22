"""An answer that counts the things in a tool's result and comes to another number."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from refinery.detectors._shared import samples
from refinery.detectors._shared.patterns import Hit, find_all
from refinery.detectors._shared.quotes import around, evidence
from refinery.detectors._shared.steps import Speaker, Step, steps_of
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Json, Trace

SPECIFICITY = 2

LIMITS: Mapping[str, float] = {"min_things": 4, "near": 0.35}
"""Things in a list from which on a count of it is checked, and how far a number may be off, as a
share of the list's length, to be meant for it; chosen by us."""
LOOK_BACK = 3
"""Results before an answer that are looked at."""
MAX_RESULT = 100_000
MAX_DEPTH = 5
MAX_GROUPS = 12
"""Lists and tables in one result that are looked at."""
MAX_VALUES = 50
"""Different values of one field that are counted."""

_COUNT = (
    r"(?i)\b(?:there (?:are|were)|have|has|found|offers?|total of|currently|all)"
    r"(?: (?:a total of|currently|only|exactly|about|around))?\s+"
    r"(\d{1,4})\s+((?:[\p{L}\-]+[ ]){0,3}?(?:[\p{L}\-]{2,}s|available))\b"
)


@dataclass(frozen=True, slots=True)
class _Group:
    """Several things of one sort in a result."""

    total: int
    counts: frozenset[int]
    """Every number a correct count may come to: all, or all with one value in one field."""
    fields: str
    """Words that name the things or their fields, lower case."""


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """One signal for each answer whose count no list in the results before it comes to."""
    results: list[tuple[Step, list[_Group]]] = []
    for step in steps_of(trace).all:
        if step.speaker is Speaker.TOOL:
            groups = [g for g in _groups(step.text) if g.total >= limits["min_things"]]
            results = [*results, (step, groups)][-LOOK_BACK:]
        elif step.speaker is Speaker.AGENT and results:
            found = _wrong(step.text, results, limits["near"])
            if found is not None:
                yield _signal(step, *found)


def _wrong(
    text: str, results: Sequence[tuple[Step, list[_Group]]], near_share: float
) -> tuple[Hit, Step, _Group] | None:
    """The first count in a text that is near one list's length and fits no list at all."""
    near: tuple[Hit, Step, _Group] | None = None
    for hit in find_all(_COUNT, text[:4_000]):
        number = int(hit.groups[0])
        groups = [(step, group) for step, found in reversed(results) for group in found]
        if any(number in group.counts for _, group in groups):
            continue
        for step, group in groups:
            if abs(number - group.total) <= near_share * group.total:
                near = near or (hit, step, group)
    return near


def _groups(text: str) -> Iterator[_Group]:
    if len(text) > MAX_RESULT or text.lstrip()[:1] not in ("{", "["):
        return
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return
    for number, group in enumerate(_walk(parsed, 0)):
        if number == MAX_GROUPS:
            return
        yield group


def _walk(value: Json, depth: int) -> Iterator[_Group]:
    if depth > MAX_DEPTH or not isinstance(value, Mapping | list):
        return
    inside = list(value.values()) if isinstance(value, Mapping) else list(value)
    things = [item for item in inside if isinstance(item, Mapping)]
    if len(things) >= 2 and len(things) == len(inside):
        yield _group(things)
        return
    for item in inside[:200]:
        yield from _walk(item, depth + 1)


def _group(things: Sequence[Mapping[str, Json]]) -> _Group:
    counts = {len(things)}
    by_field: dict[str, Counter[str]] = {}
    for thing in things:
        for field, item in _fields(thing):
            seen = by_field.setdefault(field, Counter())
            if len(seen) < MAX_VALUES or item in seen:
                seen[item] += 1
    for seen in by_field.values():
        counts.update(seen.values())
        counts.add(len(seen))
    return _Group(len(things), frozenset(counts), " ".join(by_field).lower())


def _fields(thing: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Plain fields of a thing, those of an object inside it included."""
    for key, item in thing.items():
        if isinstance(item, Mapping):
            for inner, deep in item.items():
                if isinstance(deep, str | int | float | bool):
                    yield f"{key}.{inner}", json.dumps(deep)
        elif isinstance(item, str | int | float | bool):
            yield str(key), json.dumps(item)


def _signal(step: Step, hit: Hit, source: Step, group: _Group) -> Signal:
    number = int(hit.groups[0])
    return Signal(
        detector="count_mismatch",
        title=f"the answer counts {number}, the result lists {group.total}",
        explanation=(
            f"The answer says “{hit.text}”. {source.agent} returned {group.total} things, and "
            f"neither all of them nor those that share a value come to {number}."
        ),
        cause_run_id=step.run.run_id,
        symptom_run_id=step.run.run_id,
        evidence=(
            *evidence(step.run, around(step.text, hit.start, hit.end), hit.text),
            *evidence(source.run, source.text[:80]),
        ),
        likelihood=Likelihood.LIKELY,
        root_cause=RootCause.MODEL,
        facts={"stated": number, "listed": group.total, "tool": source.agent},
    )


def _shop(answer: str) -> Trace:
    things = {f"v{n}": {"size": "M" if n % 2 else "L", "available": n != 3} for n in range(10)}
    listed = json.dumps({"name": "Shirt", "variants": things})
    asked = [samples.asks("list_variants", "{}", "c1")]
    question = samples.user("How many shirts can I choose from?")
    return samples.trace(
        samples.model("ask", [question], asked),
        samples.tool("list", "list_variants", {}, listed),
        samples.model("answer", [question, samples.tool_result(listed, "c1")], answer),
    )


CLEAN = [
    _shop("There are 10 shirts in all."),
    _shop("There are 9 available shirts."),
    _shop("There are 5 shirts of size L."),
    _shop("There are 2 sizes."),
]
FAILING = [(_shop("There are 12 available options."), [samples.uid("answer")])]
