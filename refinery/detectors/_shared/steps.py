"""A trace as a row of steps that can be blamed: who spoke, in which order, and to what end.

One shape for a dialogue of a user and an assistant, a group of agents in one chat, and workers
under an orchestrator. A step is a model call, a run that answered without calling a model (an
agent recorded as one run), or a turn of the user between two answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import islice, pairwise

from refinery.detectors._shared.view import Call, ModelCall, Same, View, result_text, view
from refinery.model.messages import ToolCall, answer_text, messages_out
from refinery.model.trace import Run, RunKind, Trace
from refinery.model.walk import strings

MAX_STEPS = 4_000
"""Steps of one trace that are looked at; chosen by us."""
MAX_TEXT = 20_000
"""Characters of one step that are looked at."""
LED_SHARE = 0.9
"""Share of the others' steps that must follow one of the orchestrator's; chosen by us."""
TOOL_SHARE = 0.25
"""Share of an orchestrator's steps that a tool's result may follow at most; chosen by us."""


class Speaker(StrEnum):
    """Who a step belongs to."""

    AGENT = "agent"
    USER = "user"
    TOOL = "tool"


class Shape(StrEnum):
    """How the agents of a trace work together."""

    DIALOGUE = "dialogue"
    """One assistant and a user who speaks again."""
    GROUP = "group"
    """Agents that speak in turn; also one agent alone."""
    ORCHESTRATED = "orchestrated"
    """One agent hands out the work to the others and hears back."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trace."""

    index: int
    """Place among the steps, from 0."""
    run: Run
    """The run that holds it; for a turn of the user, the model call that was given it."""
    speaker: Speaker
    agent: str
    """Name of the agent, `user`, or the tool's name."""
    text: str
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a trace in order and what they add up to."""

    all: tuple[Step, ...]
    shape: Shape
    hub: str | None
    """Name of the orchestrator."""
    request: str
    """What the user first asked for; empty when the trace does not say."""

    @property
    def work(self) -> tuple[Step, ...]:
        """Steps of agents that are not the orchestrator and do not only restate the request."""
        found = (s for s in self.all if s.speaker is Speaker.AGENT and s.agent != self.hub)
        return tuple(step for step in found if not self.is_opening(step))

    @property
    def blamable(self) -> tuple[Step, ...]:
        """Steps that can be the cause: of agents, and of the user once an agent has spoken."""
        return tuple(step for step in self.all if step.speaker is not Speaker.TOOL)

    def is_opening(self, step: Step) -> bool:
        """Whether a step opens the trace by handing on the request."""
        first = next((s for s in self.all if s.speaker is Speaker.AGENT), None)
        return step is first and bool(self.request) and self.request[:2_000] in step.text


def steps_of(trace: Trace) -> Steps:
    """The steps of a trace, oldest first, at most `MAX_STEPS`; read once for all who ask."""
    return _steps(Same(trace))


@lru_cache(maxsize=2)
def _steps(key: Same) -> Steps:
    trace = key.trace
    found = _numbered(trace)
    hub = hub_of(found)
    if hub is not None:
        shape = Shape.ORCHESTRATED
    elif any(step.speaker is Speaker.USER for step in found):
        shape = Shape.DIALOGUE
    else:
        shape = Shape.GROUP
    return Steps(found, shape, hub, _request(trace))


def hub_of(steps: Sequence[Step]) -> str | None:
    """The agent that opens, hands out nearly every piece of work, and calls no tools itself."""
    agents = [step.agent for step in steps if step.speaker is Speaker.AGENT]
    if len(agents) < 4:
        return None
    name = agents[0]
    led = [before == name for before, after in pairwise(agents) if after != name]
    if len(led) < 2 or sum(led) < LED_SHARE * len(led):
        return None
    after = [then.speaker for step, then in pairwise(steps) if step.agent == name]
    return name if after.count(Speaker.TOOL) <= TOOL_SHARE * len(after) else None


def _numbered(trace: Trace) -> tuple[Step, ...]:
    seen = view(trace)
    rows = sorted(_rows(trace, seen), key=lambda row: row[0])[:MAX_STEPS]
    return tuple(
        Step(i, s.run, s.speaker, s.agent, s.text[:MAX_TEXT], s.calls)
        for i, (_, s) in enumerate(rows)
    )


def _rows(trace: Trace, seen: View) -> Iterator[tuple[tuple[int, int], Step]]:
    """Steps with their place: position of the run, then order within it."""
    names = _Names(trace)
    before: dict[str, ModelCall] = {}
    for model in seen.models:
        agent = names.of_model(model)
        earlier = before.get(agent)
        turn = model.given[-1] if model.given else None
        if earlier is not None and turn is not None and _is_reply(turn.role, earlier, model):
            step = Step(0, model.run, Speaker.USER, "user", turn.text)
            yield (model.position, 0), step
        before[agent] = model
        step = Step(0, model.run, Speaker.AGENT, agent, model.text, model.calls)
        yield (model.position, 1), step
    for call in seen.calls:
        if call.result is not None:
            yield (_after(call, seen), 2), _tool_step(call)
    yield from islice(_other_rows(trace, seen, names), MAX_STEPS)


def _is_reply(role: str, earlier: ModelCall, model: ModelCall) -> bool:
    """Whether a model call begins with the user's reply to the agent's earlier answer."""
    said = earlier.text.strip()
    if role != "user" or not said or earlier.calls:
        return False
    return any(m.role == "assistant" and m.text.strip() == said for m in model.given[-3:])


def _after(call: Call, seen: View) -> int:
    return seen.position(call.run) if call.run is not None else call.position


def _tool_step(call: Call) -> Step:
    run = call.run or call.holder or call.model.run
    return Step(0, run, Speaker.TOOL, call.call.name, call.result or "")


def _other_rows(
    trace: Trace, seen: View, names: "_Names"
) -> Iterator[tuple[tuple[int, int], Step]]:
    """Leaf runs that answered without a model call, and tool runs that nobody asked for."""
    taken = {call.run.run_id for call in seen.calls if call.run is not None}
    taken |= {model.run.run_id for model in seen.models}
    for position, run in enumerate(trace.runs):
        if run.run_id in taken or run.run_id in names.parents or run.parent_id is None:
            continue
        if run.kind in (RunKind.TOOL, RunKind.RETRIEVER):
            yield (position, 2), Step(0, run, Speaker.TOOL, run.name or "tool", result_text(run))
        elif run.kind in (RunKind.AGENT, RunKind.CHAIN, RunKind.STEP, RunKind.LLM):
            text = answer_text(run.outputs) if run.outputs is not None else ""
            if text.strip():
                agent = names.of_run(run)
                yield (position, 1), Step(0, run, Speaker.AGENT, agent, text)


class _Names:
    """Names of agents, by the runs around a model call."""

    def __init__(self, trace: Trace) -> None:
        self._by_id = {run.run_id: run for run in trace.runs}
        self.parents = {run.parent_id for run in trace.runs}

    def of_model(self, model: ModelCall) -> str:
        """Who speaks in a model call: its message's name, else the nearest agent above it."""
        named = next((name for m in messages_out(model.run) if (name := m.name)), None)
        return named or self._above(model.run) or "assistant"

    def of_run(self, run: Run) -> str:
        """Who speaks in a run of its own: its message's name, else its own name."""
        named = next((name for m in messages_out(run) if (name := m.name)), None)
        return named or run.name or "agent"

    def _above(self, run: Run) -> str | None:
        """Name of the nearest agent above a run, else of the nearest step below the root."""
        step: str | None = None
        seen: set[str] = set()
        parent = self._by_id.get(run.parent_id or "")
        while parent is not None and parent.parent_id is not None and parent.run_id not in seen:
            seen.add(parent.run_id)
            if parent.kind is RunKind.AGENT and parent.name:
                return parent.name
            if parent.kind in (RunKind.CHAIN, RunKind.STEP) and parent.name:
                step = step or parent.name
            parent = self._by_id.get(parent.parent_id)
        return step


def _request(trace: Trace) -> str:
    root = trace.root
    if root is None:
        return ""
    inputs = root.inputs
    if isinstance(inputs, str):
        return inputs.strip()
    if isinstance(inputs, Mapping) and len(inputs) == 1:
        only = next(iter(inputs.values()))
        if isinstance(only, str):
            return only.strip()
    return next((text.strip() for _, text in strings(inputs) if len(text.strip()) > 20), "")
