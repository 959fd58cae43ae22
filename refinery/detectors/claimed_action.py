"""The answer claims an action that no successful tool call performed."""

import json
from collections.abc import Collection, Iterator, Sequence

from refinery.detectors._shared import samples
from refinery.detectors._shared.actions import Claim, claims, may_do
from refinery.detectors._shared.quotes import around, evidence, first_line
from refinery.detectors._shared.view import Call, ModelCall, View, view
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Run, RunKind, Trace

SPECIFICITY = 1


def detect(trace: Trace) -> Iterator[Signal]:
    """One signal for each answer with a claim that nothing in the trace bears out."""
    seen = view(trace)
    has_tools = bool(seen.calls) or any(run.kind is RunKind.TOOL for run in trace.runs)
    told: set[str] = set()
    for model in seen.models:
        before = [c for c in seen.calls if c.position < model.position]
        for claim in claims(model.text):
            done, failed = _performed(seen, model, claim, before)
            if done or claim.verb in told or _said_before(model, claim):
                continue
            told.add(claim.verb)
            yield _signal(model, claim, failed, has_tools)
            break


def _performed(
    seen: View, model: ModelCall, claim: Claim, before: Sequence[Call]
) -> tuple[bool, Call | None]:
    """Whether something before (or in) the answer may have done it; else the call that failed."""
    failed: Call | None = None
    for call in before:
        if may_do(claim.verb, call.call.name, _spelled(call)):
            if not call.is_error:
                return True, None
            failed = call
    if any(may_do(claim.verb, call.name) for call in model.calls):
        return True, None
    called = {call.run.run_id for call in before if call.run is not None}
    others = (r for r in seen.trace.runs[: model.position] if _is_code(r, called))
    return any(may_do(claim.verb, run.name or "") for run in others), failed


def _is_code(run: Run, called: Collection[str]) -> bool:
    """Whether a run is a step the program took by itself, which may act without a tool call."""
    own = run.kind is not RunKind.LLM and run.run_id not in called
    return own and run.parent_id is not None and not run.is_failed


def _spelled(call: Call) -> str:
    return json.dumps(call.call.arguments, ensure_ascii=False, default=str)[:2_000]


def _said_before(model: ModelCall, claim: Claim) -> bool:
    """Whether the answer only passes on what a tool said (or, of others' deeds, anybody)."""
    roles = ("tool",) if claim.is_own else ("tool", "user", "system")
    return any(claim.verb in m.text.lower() for m in model.given if m.role in roles)


def _signal(model: ModelCall, claim: Claim, failed: Call | None, has_tools: bool) -> Signal:
    sentence = around(model.text, claim.start, claim.start + len(claim.text))
    quoted = evidence(model.run, sentence, claim.text)
    if failed is not None and failed.holder is not None and failed.result:
        quoted += evidence(failed.holder, first_line(failed.result))
    tried = f" {failed.call.name} was tried and failed." if failed else ""
    return Signal(
        detector="claimed_action",
        title=f"The answer claims an action that no tool call performed ({claim.verb})",
        explanation=(
            f"The answer says “{claim.text}”, but no successful call before it could have done "
            f"that.{tried}"
        ),
        cause_run_id=model.run.run_id,
        symptom_run_id=model.run.run_id,
        evidence=quoted,
        likelihood=Likelihood.LIKELY if has_tools else Likelihood.POSSIBLE,
        root_cause=RootCause.MODEL,
        facts={
            "verb": claim.verb,
            "claim": claim.text[:200],
            "failed_tool": failed.call.name if failed else None,
        },
    )


def _asked_to_cancel(tool_name: str, result: str, answer: str) -> Trace:
    question = samples.user("Please cancel order 7.")
    asked = samples.model("ask", [question], [samples.asks(tool_name, '{"id": 7}', "c1")])
    ran = samples.tool("run", tool_name, {"id": 7}, result)
    told = [question, samples.tool_result(result, "c1")]
    return samples.trace(asked, ran, samples.model("reply", told, answer), output=answer)


CLEAN = [
    _asked_to_cancel("cancel_order", "ok", "I have cancelled order 7."),
    _asked_to_cancel("get_order", "open", "Once I have cancelled it, you get a refund."),
    _asked_to_cancel("get_order", "open", "Shall I cancel order 7?"),
]
FAILING = [
    (_asked_to_cancel("get_order", "open", "I have cancelled order 7."), [samples.uid("reply")]),
    (
        _asked_to_cancel(
            "cancel_order", "Error: locked", "Your order 7 has been successfully cancelled."
        ),
        [samples.uid("reply")],
    ),
]
