"""Asks one recorded model call again, with something changed; nothing of the agent is run.

This is how a decision of the TimeMachine, or any recorded call of a program that cannot be
started, is replayed: its messages, tools and parameters go through the model router, which
speaks every vendor's API, so that any model may be tried.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from refinery import clock
from refinery.errors import BudgetError, InputError, ModelError
from refinery.llm.router import Model, ModelChoice, connect
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace, Usage
from refinery.model.verdict import Fidelity, ReplayResult, StepFidelity
from refinery.model.walk import of_kind
from refinery.replay import recorded_call
from refinery.replay.configure import endpoints
from refinery.replay.recorded_call import Conversation
from refinery.replay.spending import Spent
from refinery.replay.variation import Variation, find_step
from refinery.replay.varying import Recorded
from refinery.workflows.what_if_outcome import Cell
from refinery.workflows.wiring import Workspace

_AT_ONCE = 4
"""Calls under way at the same time; chosen by us."""


@dataclass(frozen=True, slots=True)
class OneCall:
    """How far asking may go."""

    max_requests: int
    """Most calls."""
    budget_usd: float | None
    """Most money, where the price of the model is known."""
    base_url: str | None
    """Endpoint; None: the agent's own of that vendor, else the vendor's."""


@dataclass(frozen=True, slots=True)
class Alone:
    """What asking showed."""

    call: Run
    before: Trace
    """The recorded call as a trace of its own, to compare with."""
    cells: tuple[Cell, ...]
    spent: Spent
    warnings: tuple[str, ...]


def ask_alone(
    workspace: Workspace,
    trace: Trace,
    variations: Sequence[Variation],
    limits: OneCall,
    say: Callable[[str], None],
) -> Alone:
    """Ask one model call of a trace again, once for each variation.

    Args:
        workspace: whose settings say how models are reached.
        trace: holds the call.
        variations: all at the same step; without one, the trace must hold one call only.
        limits: how far asking may go.
        say: is told what is going on.

    Raises:
        InputError: there are several calls and none was chosen, the call has no messages, or a
            model cannot be named.
        CredentialsError: the endpoint needs a key, or refused it.
    """
    call = _chosen(trace, variations)
    places = Recorded.of(trace).places.get(call.run_id)
    asked = [recorded_call.varied(call, variation, places) for variation in variations]
    reached = [_choice(workspace, call, one, limits) for one in variations]
    say(f"asking {call.name or 'the model'} again, {len(asked)} times; nothing else is run")
    models = {choice: connect(choice) for choice in dict.fromkeys(reached)}
    left = iter(range(limits.max_requests))

    def one(number: int) -> tuple[Cell, float | None]:
        if next(left, None) is None:
            why = "the budget of live model requests is used up"
            return _unanswered(call, variations[number], why), 0.0
        return _asked(models[reached[number]], call, variations[number], asked[number])

    with ThreadPoolExecutor(1 if limits.budget_usd is not None else _AT_ONCE) as pool:
        found = list(pool.map(one, range(len(asked))))
    costs = [cost for _, cost in found]
    live = sum(cell.live for cell, _ in found)
    spent = Spent(live, sum(cost or 0.0 for cost in costs), costs.count(None))
    warnings = [note for item in asked for note in item.notes]
    if len(trace.runs) > 1:
        warnings.insert(0, "only this one call was asked again: nothing after it was re-run")
    before = Trace(call.run_id, (replace(call, trace_id=call.run_id, parent_id=None),))
    cells = tuple(cell for cell, _ in found)
    return Alone(call, before, cells, spent, tuple(dict.fromkeys(warnings)))


def _chosen(trace: Trace, variations: Sequence[Variation]) -> Run:
    """The call that is asked again."""
    calls = of_kind(trace, RunKind.LLM)
    named = {at for one in variations if (at := one.at or one.start)}
    named |= {s.step for one in variations for s in one.settings if s.step != "root"}
    if len(named) > 1:
        raise InputError("only one call can be asked alone", hint="name one step with --at")
    if named:
        return find_step(trace, named.pop(), RunKind.LLM)
    if len(calls) == 1:
        return calls[0]
    if not calls:
        raise InputError(
            f"trace {trace.trace_id} holds no model call", hint="nothing can be asked"
        )
    listed = ", ".join(f"{run.name or 'call'} {run.run_id[:13]}" for run in calls[:8])
    raise InputError(
        f"trace {trace.trace_id} does not say how its program is started, and holds {len(calls)} "
        "model calls",
        hint=f"choose one with --at: {listed}; or set [agent] entrypoint to replay them all",
    )


def _choice(workspace: Workspace, call: Run, variation: Variation, limits: OneCall) -> ModelChoice:
    """Which model is asked, where, and with which key."""
    own, _ = endpoints(workspace.settings)
    name = variation.model or call.model_requested or call.model_responded
    vendor = variation.vendor or (call.provider if call.provider in own else None)
    if vendor is None:
        configured = [known for known, endpoint in own.items() if endpoint]
        vendor = configured[0] if len(configured) == 1 else None
    if vendor is None and name and name.startswith(("gpt-", "o1", "o3", "o4")):
        vendor = "openai"
    if vendor is None and name and name.startswith("claude"):
        vendor = "anthropic"
    if not name or vendor is None:
        raise InputError(
            f"the recording does not say which vendor's model {name or 'it'} is",
            hint="name it: --model openai:NAME or --model anthropic:NAME",
        )
    endpoint = own.get(vendor)
    values = workspace.settings.values
    base, key = limits.base_url, endpoint.key if endpoint else None
    if base is None and endpoint is not None:
        base = endpoint.base_url
    if endpoint is None:
        base = base or values.model_base_url
        key = values.model_api_key.get_secret_value() if values.model_api_key else None
    log = workspace.home / "model-calls.jsonl"
    return ModelChoice(f"{vendor}:{name}", base, key, limits.budget_usd, log)


def _asked(
    model: Model, call: Run, variation: Variation, asked: Conversation
) -> tuple[Cell, float | None]:
    """Ask once; the answer as a trace of one run, and what it cost."""
    vendor = model.spec.partition(":")[0]
    started = clock.now_ns()
    runnable = model.bind_call(asked.tools, asked.params_for(vendor))
    try:
        reply, usage = model.call(runnable, asked.langchain(), asked.extra_bytes, "what if")
    except (ModelError, BudgetError) as error:
        return _unanswered(call, variation, str(error)), 0.0
    ended = clock.now_ns()
    cost = model.cost(usage)
    told = f"varied: {variation.label}" if variation.label != "nothing" else "asked again"
    reported = reply.usage_metadata
    run_id = clock.new_uuid()
    run = replace(
        call,
        run_id=run_id,
        trace_id=run_id,
        parent_id=None,
        dotted_order=None,
        start_ns=started,
        end_ns=ended,
        status=RunStatus.OK,
        error=None,
        inputs=asked.inputs,
        outputs=_outputs(reply),
        provider=vendor,
        model_requested=model.spec.partition(":")[2],
        model_responded=_responded(reply),
        params={**(call.params or {}), **asked.changed_params} or None,
        usage=Usage(usage.input, usage.output, usage.input + usage.output) if reported else None,
        cost_usd=Decimal(f"{cost:.9f}") if cost is not None and reported else None,
        cost_source="estimated" if cost is not None and reported else None,
        first_token_ns=None,
        evaluations=None,
        metrics=None,
        metadata={"refinery": {"varied": told}},
        events=None,
        raw_ref=None,
    )
    step = StepFidelity(call.name or "model", "llm", Fidelity.LIVE, call.run_id, told)
    result = ReplayResult(
        call.trace_id, "ok", run.outputs, None, (step,), duration_ms=(ended - started) / 1e6
    )
    return Cell(variation, result, Trace(run_id, (run,), "replay")), cost


def _unanswered(call: Run, variation: Variation, why: str) -> Cell:
    step = StepFidelity(call.name or "model", "llm", Fidelity.UNANSWERED, call.run_id, why)
    return Cell(variation, ReplayResult(call.trace_id, "unanswered", None, why, (step,)))


def _outputs(reply: Any) -> dict[str, Json]:
    """An answer as a message any reader of traces understands."""
    calls = [
        {"name": wish["name"], "args": wish["args"], "id": wish["id"], "type": "tool_call"}
        for wish in reply.tool_calls
    ]
    message: dict[str, Json] = {"role": "assistant", "content": str(reply.text)}
    if calls:
        message["tool_calls"] = calls
    about = reply.response_metadata
    reason = about.get("finish_reason") or about.get("stop_reason")
    return {"messages": [message], **({"finish_reason": reason} if reason else {})}


def _responded(reply: Any) -> str | None:
    about: Mapping[str, Any] = reply.response_metadata
    name = about.get("model_name") or about.get("model")
    return name if isinstance(name, str) else None
