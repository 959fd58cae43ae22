"""Every field of a trace that an attacker can write into, and how the words are put there."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from refinery import clock
from refinery.model.trace import Evaluation, Json, Run, RunError, RunKind, Trace

Poison = Callable[[Run, str], Run]


def poisoned(trace: Trace, name: str, words: str) -> Trace:
    """The trace under a new identity, with the words in one field (a key of `FIELDS`)."""
    kind, change = FIELDS[name]
    fresh = {run.run_id: clock.new_uuid() for run in trace.runs}
    chosen = next((run for run in trace.runs if run.kind is kind), trace.runs[0])
    runs = []
    for run in trace.runs:
        changed = change(run, words) if run is chosen else run
        order = run.dotted_order or ""
        for old, new in fresh.items():
            order = order.replace(old, new)
        runs.append(
            replace(
                changed,
                run_id=fresh[run.run_id],
                trace_id=fresh[trace.trace_id],
                parent_id=fresh.get(run.parent_id) if run.parent_id else None,
                dotted_order=order or None,
            )
        )
    return replace(trace, trace_id=fresh[trace.trace_id], runs=tuple(runs))


def _in(value: Json, words: str) -> Json:
    """The value with the words after its longest text."""
    texts = sorted(_paths(value), key=lambda pair: len(pair[1]))
    return _set(value, texts[-1][0], f"{texts[-1][1]}\n{words}") if texts else words


def _paths(
    value: Json, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _paths(item, (*path, place))


def _set(value: Json, path: tuple[str | int, ...], text: str) -> Json:
    if not path:
        return text
    key, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, str(key): _set(value[str(key)], rest, text)}
    assert isinstance(value, list) and isinstance(key, int)
    return [_set(item, rest, text) if place == key else item for place, item in enumerate(value)]


def _error(run: Run, words: str) -> Run:
    return replace(run, error=RunError("ToolError", words, f"Traceback\n{words}"))


FIELDS: Mapping[str, tuple[RunKind, Poison]] = {
    "root inputs": (RunKind.CHAIN, lambda r, w: replace(r, inputs=_in(r.inputs, w))),
    "root outputs": (RunKind.CHAIN, lambda r, w: replace(r, outputs=_in(r.outputs, w))),
    "root name": (RunKind.CHAIN, lambda r, w: replace(r, name=w)),
    "session": (RunKind.CHAIN, lambda r, w: replace(r, session_id=w)),
    "user": (RunKind.CHAIN, lambda r, w: replace(r, user_id=w)),
    "tags": (RunKind.CHAIN, lambda r, w: replace(r, tags=[*(r.tags or []), w])),
    "metadata": (
        RunKind.CHAIN,
        lambda r, w: replace(r, metadata={**(r.metadata or {}), "note": w, w[:60]: 1}),
    ),
    "root error": (RunKind.CHAIN, _error),
    "retrieved text": (RunKind.RETRIEVER, lambda r, w: replace(r, outputs=_in(r.outputs, w))),
    "retriever query": (RunKind.RETRIEVER, lambda r, w: replace(r, inputs=_in(r.inputs, w))),
    "retriever name": (RunKind.RETRIEVER, lambda r, w: replace(r, name=w)),
    "retriever error": (RunKind.RETRIEVER, _error),
    "model messages": (RunKind.LLM, lambda r, w: replace(r, inputs=_in(r.inputs, w))),
    "model reply": (RunKind.LLM, lambda r, w: replace(r, outputs=_in(r.outputs, w))),
    "model reasoning": (RunKind.LLM, lambda r, w: replace(r, reasoning=w)),
    "model name": (RunKind.LLM, lambda r, w: replace(r, model_responded=w)),
    "model parameters": (RunKind.LLM, lambda r, w: replace(r, params={"stop": [w]})),
    "tool schema": (
        RunKind.LLM,
        lambda r, w: replace(r, tools=[{"name": "pay", "description": w}, *(r.tools or [])]),
    ),
    "model error": (RunKind.LLM, _error),
    "evaluations": (
        RunKind.LLM,
        lambda r, w: replace(r, evaluations=[Evaluation(w, w, {w: w}, True, w)]),
    ),
    "events": (RunKind.LLM, lambda r, w: replace(r, events=[{"name": w, "message": w}])),
    "links": (RunKind.LLM, lambda r, w: replace(r, links=[{"name": w}])),
    "attachments": (RunKind.LLM, lambda r, w: replace(r, attachments=[{"name": w}])),
}
"""Every field an attacker can write into: the kind of run, and how the words are put there."""
