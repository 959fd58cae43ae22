"""The runs of a counterfactual replay as they really were: with the requests that were sent.

A recorder inside the agent notes what the agent asked, before the gateway changes it. Which run
a changed request belongs to is known by its content.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from refinery import clock
from refinery.model.trace import Json, Run, RunKind
from refinery.model.verdict import Fidelity, StepFidelity
from refinery.replay import canonical
from refinery.replay.canonical import Canonical, Fresh
from refinery.replay.tape import Tape
from refinery.replay.varying import CONVERSATION, Varied, replaced_texts

T = TypeVar("T")
_RECORDED = (Fidelity.EXACT, Fidelity.NORMALISED, Fidelity.STUBBED)
_MODEL_NAMES = ("model", "model_name")


def as_sent(
    runs: Sequence[Run], varied: Sequence[Varied], tape: Tape, steps: Sequence[StepFidelity]
) -> list[Run]:
    """The runs, model calls with what was sent in place of what was asked.

    Each says in `metadata.refinery` what was changed (`varied`), and which recorded call
    answered it (`answered_by`) when the recording did.

    Args:
        runs: recorded in the replay.
        varied: requests that were changed, in order.
        tape: what the replay was answered from.
        steps: what each request was given.
    """
    fresh = Fresh(tape.start_ns, frozenset(tape.known), clock.now_ns())
    changed = [(canonical.of_request(one.asked, fresh), one) for one in varied]
    given = {s.recorded_run_id for s in steps if s.fidelity in _RECORDED}
    served = [(call.request, call) for call in tape.calls if call.run_id in given]
    found = {run.run_id: run for run in runs}
    calls = [run for run in runs if run.kind is RunKind.LLM]
    for run in sorted(calls, key=lambda call: call.start_ns or 0):
        asked = canonical.of_run(run, fresh)
        if one := _taken(changed, asked):
            found[run.run_id] = _sent(run, one)
        elif call := _taken(served, asked):
            found[run.run_id] = _noted(run, "answered_by", call.run_id)
    return list(found.values())


def _taken(waiting: list[tuple[Canonical, T]], asked: Canonical) -> T | None:
    """What waits first with an equal request, which then waits no longer."""
    for number, (form, one) in enumerate(waiting):
        if asked.exact == form.exact or asked.normalised == form.normalised:
            del waiting[number]
            return one
    return None


def _noted(run: Run, name: str, said: str) -> Run:
    kept = (run.metadata or {}).get("refinery")
    ours = {**(kept if isinstance(kept, Mapping) else {}), name: said}
    return replace(run, metadata={**(run.metadata or {}), "refinery": ours})


def _sent(run: Run, varied: Varied) -> Run:
    asked, sent = varied.asked.body, varied.sent.body
    changed = {
        name: sent[name]
        for name in sent
        if name not in CONVERSATION and sent[name] != asked.get(name)
    }
    return replace(
        _noted(run, "varied", varied.told),
        model_requested=varied.sent.model if "model" in changed else run.model_requested,
        params=_with_fields(run.params, changed, is_open=True),
        inputs=_with_conversation(_with_fields(run.inputs, changed, is_open=False), varied),
    )


def _with_fields(value: Json, changed: Mapping[str, Json], *, is_open: bool) -> Json:
    """An object with changed fields; only an open one gets fields it lacks."""
    if not isinstance(value, Mapping):
        return value
    result = dict(value)
    for name, new in changed.items():
        for key in _MODEL_NAMES if name == "model" else (name,):
            if key in value or (is_open and name != "model"):
                result[key] = new
    return result


def _with_conversation(inputs: Json, varied: Varied) -> Json:
    asked, sent = varied.asked, varied.sent
    if all(asked.body.get(name) == sent.body.get(name) for name in CONVERSATION):
        return inputs
    if len(asked.messages) == len(sent.messages):
        pairs = zip(asked.messages, sent.messages, strict=True)
        texts = {one.text: other.text for one, other in pairs if one.text != other.text}
        changed = replaced_texts(inputs, texts)
        if texts and changed != inputs:
            return changed
    rest = inputs if isinstance(inputs, Mapping) else {}
    own = {name: value for name, value in rest.items() if name not in CONVERSATION}
    return {**own, **{name: sent.body[name] for name in CONVERSATION if name in sent.body}}
