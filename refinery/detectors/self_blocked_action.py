"""An action failed because the agent itself had changed the thing before, in the wrong order."""

import json
from collections.abc import Iterator

from refinery.detectors._shared import samples
from refinery.detectors._shared.actions import is_change
from refinery.detectors._shared.patterns import find
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.values import values
from refinery.detectors._shared.view import Call, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Trace

SPECIFICITY = 2

_STATE = (
    r"(?i)\bnon-\w+|cannot be|can ?not|can['\x{2019}]t be|not allowed|already|no longer|"
    r"\bstatus\b|\bstate\b|locked|closed|not (?:pending|open|active|editable|modifiable|eligible)"
)
"""How tools say that a thing is in a state that forbids the action."""


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each refused change of a thing that an earlier change had locked."""
    calls = [call for call in view(trace).calls if is_change(call.call.name)]
    for index, call in enumerate(calls):
        if not call.is_error or not call.result or find(_STATE, call.result[:500]) is None:
            continue
        things = _things(call)
        earlier = next(
            (
                c
                for c in calls[:index]
                if not c.is_error and things & _things(c) and _could_lock(c, call.result)
            ),
            None,
        )
        if earlier is None or earlier.holder is None or call.holder is None:
            continue
        thing = sorted(things & _things(earlier))[0]
        yield Signal(
            detector="self_blocked_action",
            title=f"{call.call.name} was refused after {earlier.call.name} had changed {thing}",
            explanation=(
                f"{earlier.call.name} changed {thing} first; after that {call.call.name} was "
                f"refused: “{first_line(call.result)[:160]}”. Done in the other order, or "
                "together, both might have worked."
            ),
            cause_run_id=earlier.model.run.run_id,
            symptom_run_id=call.holder.run_id,
            evidence=(
                *evidence(earlier.model.run, thing, earlier.call.name),
                *evidence(call.holder, first_line(call.result)),
            ),
            likelihood=Likelihood.LIKELY,
            root_cause=RootCause.ORCHESTRATION,
            facts={"first": earlier.call.name, "second": call.call.name, "thing": thing},
        )


def _could_lock(earlier: Call, refusal: str) -> bool:
    """Whether an earlier change may have led to the state a refusal speaks of.

    A refusal that says `non-pending` was caused by it only if the thing was pending before, as
    the name of the earlier call says.
    """
    wanted = find(r"(?i)\bnon-(\w+)", refusal[:500])
    return wanted is None or wanted.groups[0].lower() in earlier.call.name.lower()


def _things(call: Call) -> set[str]:
    """Identifiers among a call's arguments, without those of people and payments."""
    arguments = call.call.arguments
    if not isinstance(arguments, dict):
        return set()
    kept = {k: v for k, v in arguments.items() if not find(r"(?i)user|customer|payment|card", k)}
    spelled = json.dumps(kept, ensure_ascii=False, default=str)
    return {v.text for v in values(spelled) if v.kind == "identifier"}


def _changed(first_result: str, second_result: str, thing: str = "W100200") -> Trace:
    order = '{"order_id": "W100200"}'
    other = json.dumps({"order_id": thing})
    return samples.trace(
        samples.model(
            "one", [samples.user("Hi")], [samples.asks("modify_pending_items", order, "a")]
        ),
        samples.tool("items", "modify_pending_items", {"order_id": "W100200"}, first_result),
        samples.model("two", [samples.user("Hi")], [samples.asks("modify_address", other, "b")]),
        samples.tool("address", "modify_address", {"order_id": thing}, second_result),
    )


_LOCKED = "Error: non-pending order cannot be modified"
CLEAN = [
    _changed("ok", "ok"),
    _changed(_LOCKED, _LOCKED),
    _changed("ok", _LOCKED, thing="W300400"),
]
FAILING = [(_changed("ok", _LOCKED), [samples.uid("one")])]
