"""A trace as a conversation: model calls, the tool calls they asked for, and what came back.

The same view for every source: runs recorded by LangChain, wrapped vendor clients, and lists of
chat messages. It is built once per trace.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from refinery.model.messages import Message, ToolCall, answer_text, messages_in, messages_out
from refinery.model.trace import Json, Run, RunKind, Trace

MAX_MODEL_CALLS = 1_000
"""Model calls of one trace that are looked at; chosen by us."""
MAX_MESSAGES = 2_000
"""Messages of one request that are looked at: the opening ones and the last ones."""
MAX_ALL_MESSAGES = 100_000
"""Messages of all requests of a trace that are looked at, shared out evenly; a request repeats
the conversation before it, so without this a long conversation takes quadratic time."""
MIN_MESSAGES = 50
"""Messages that are looked at in every request."""
OPENING = 4
"""Messages of a request's beginning that are always looked at: prompt and first question."""
LOOK_AHEAD = 20
"""Later model calls in which the result of a tool call is looked for."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model with what it was given and what it answered."""

    run: Run
    position: int
    """Index of the run in the trace."""
    given: tuple[Message, ...]
    answered: tuple[Message, ...]

    @property
    def text(self) -> str:
        """What the model said, without its tool calls."""
        return "\n".join(m.text for m in self.answered if m.text)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """Tool calls the model asked for."""
        return tuple(call for message in self.answered for call in message.tool_calls)

    @property
    def system(self) -> str:
        """The system prompt; empty when there is none."""
        return "\n".join(m.text for m in self.given if m.role == "system")

    @property
    def last_user(self) -> str:
        """The latest user turn; empty when there is none."""
        return next((m.text for m in reversed(self.given) if m.role == "user"), "")

    @property
    def parameters(self) -> Mapping[str, Json]:
        """Parameters of the call, whether the source kept them apart or in the request body."""
        body = self.run.inputs if isinstance(self.run.inputs, Mapping) else {}
        return {**body, **(self.run.params or {})}


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call: who asked, what ran, what came back."""

    model: ModelCall
    call: ToolCall
    run: Run | None
    """The tool's run; None when the tool was not recorded."""
    result: str | None
    """What the model was told; None when nothing came back."""
    holder: Run | None
    """The run that holds the result verbatim."""
    is_error: bool

    @property
    def position(self) -> int:
        """Index of the run that asked."""
        return self.model.position


@dataclass(frozen=True, slots=True)
class View:
    """The conversation of a trace."""

    trace: Trace
    models: tuple[ModelCall, ...]
    calls: tuple[Call, ...]
    positions: Mapping[str, int]
    """Index of each run in the trace, by run id."""

    @property
    def answers(self) -> tuple[ModelCall, ...]:
        """Model calls that said something and asked for no tool, in order."""
        return tuple(m for m in self.models if m.text.strip() and not m.calls)

    def position(self, run: Run) -> int:
        """Index of a run in the trace."""
        return self.positions.get(run.run_id, 0)

    def user_turns(self) -> tuple[str, ...]:
        """Texts of user messages as the last model calls saw them, oldest first."""
        seen: dict[str, None] = {}
        for model in self.models:
            seen.update((m.text, None) for m in model.given if m.role == "user" and m.text)
        return tuple(seen)


class Same:
    """A trace as a cache key: equal only to itself."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __hash__(self) -> int:
        return id(self.trace)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.trace is self.trace


def view(trace: Trace) -> View:
    """The conversation of a trace; all detectors share one."""
    return _view(Same(trace))


@lru_cache(maxsize=2)
def _view(key: Same) -> View:
    trace = key.trace
    positions = {run.run_id: index for index, run in enumerate(trace.runs)}
    models = tuple(_model_calls(trace))
    return View(trace, models, tuple(_calls(trace, models)), positions)


def _model_calls(trace: Trace) -> Iterator[ModelCall]:
    """Model runs in tree order; one that merely wraps another model run is left out."""
    wrappers = {run.parent_id for run in trace.runs if run.kind is RunKind.LLM}
    found = [
        (position, run)
        for position, run in enumerate(trace.runs)
        if run.kind is RunKind.LLM and run.run_id not in wrappers
    ][:MAX_MODEL_CALLS]
    room = max(MIN_MESSAGES, min(MAX_MESSAGES, MAX_ALL_MESSAGES // max(1, len(found))))
    for position, run in found:
        answered = tuple(m for m in messages_out(run) if m.role == "assistant")
        yield ModelCall(run, position, messages_in(_shortened(run, room)), answered)


def _shortened(run: Run, room: int) -> Run:
    """The run with at most so many messages in its inputs: the opening and the last ones."""
    inputs = run.inputs
    if isinstance(inputs, list):
        return replace(run, inputs=_ends(inputs, room)) if len(inputs) > room else run
    if not isinstance(inputs, Mapping):
        return run
    long = {k: _ends(v, room) for k, v in inputs.items() if isinstance(v, list) and len(v) > room}
    return replace(run, inputs={**inputs, **long}) if long else run


def _ends(items: list[Json], room: int) -> list[Json]:
    return [*items[:OPENING], *items[OPENING - room :]]


def _calls(trace: Trace, models: tuple[ModelCall, ...]) -> Iterator[Call]:
    ran = _ToolRuns(trace)
    for index, model in enumerate(models):
        for call in model.calls:
            run = ran.take(model.position, call)
            told = _told(call, models[index + 1 : index + 1 + LOOK_AHEAD])
            yield _joined(model, call, run, told)


def _joined(
    model: ModelCall, call: ToolCall, run: Run | None, told: tuple[Run, Message] | None
) -> Call:
    """A call with the result of its run, or else what a later request says came back."""
    is_error = (run is not None and run.is_failed) or (told is not None and told[1].is_error)
    if run is not None:
        text = result_text(run)
        return Call(model, call, run, text, run, is_error or says_error(text))
    if told is not None:
        return Call(model, call, None, told[1].text, told[0], is_error or says_error(told[1].text))
    return Call(model, call, None, None, None, False)


class _ToolRuns:
    """The tool runs of a trace, each taken once by the call it answers.

    Every run stands in three queues in tree order. Calls come in tree order too, so what a queue
    has passed is never looked at again: the work is linear in the number of runs.
    """

    def __init__(self, trace: Trace) -> None:
        self._by_id: dict[tuple[str, ...], deque[int]] = {}
        self._by_arguments: dict[tuple[str, ...], deque[int]] = {}
        self._by_name: dict[tuple[str, ...], deque[int]] = {}
        self._runs = trace.runs
        self._taken: set[int] = set()
        for position, run in enumerate(trace.runs):
            if run.kind is RunKind.TOOL:
                self._add(position, run)

    def _add(self, position: int, run: Run) -> None:
        name = run.name or ""
        call_id = call_id_of(run)
        if call_id:
            self._by_id.setdefault((name, call_id), deque()).append(position)
        arguments = _key(arguments_of(run))
        self._by_arguments.setdefault((name, arguments), deque()).append(position)
        self._by_name.setdefault((name,), deque()).append(position)

    def take(self, after: int, call: ToolCall) -> Run | None:
        """The tool run that answers a call: by its id, else the next one with its arguments."""
        queues = (
            self._by_id.get((call.name, call.call_id)) if call.call_id else None,
            self._by_arguments.get((call.name, _key(call.arguments))),
            self._by_name.get((call.name,)),
        )
        for queue in queues:
            while queue:
                position = queue.popleft()
                if position > after and position not in self._taken:
                    self._taken.add(position)
                    return self._runs[position]
        return None


def _key(arguments: Json) -> str:
    """A value as a key: equal for equal values, whatever the order of their fields."""
    try:
        return json.dumps(arguments, sort_keys=True, default=str)
    except (TypeError, ValueError):  # keys of several types, a value that holds itself
        return repr(arguments)


def _told(call: ToolCall, later: tuple[ModelCall, ...]) -> tuple[Run, Message] | None:
    """The result of a call as the next model call that mentions it was given it."""
    if call.call_id is None:
        return None
    for model in later:
        for message in reversed(model.given):
            if message.role == "tool" and message.tool_call_id == call.call_id:
                return model.run, message
    return None


def call_id_of(run: Run) -> str | None:
    """The id of the call a tool run answers, wherever the source keeps it."""
    outputs = next((m.tool_call_id for m in messages_out(run) if m.role == "tool"), None)
    kept = outputs or (run.metadata or {}).get("tool_call_id")
    if kept is None and isinstance(run.inputs, Mapping):
        kept = run.inputs.get("tool_call_id", run.inputs.get("id"))
    return kept if isinstance(kept, str) else None


def arguments_of(run: Run) -> Json:
    """Arguments of a tool run; an input of one string that is JSON is parsed."""
    inputs = run.inputs
    if isinstance(inputs, Mapping) and set(inputs) == {"input"}:
        inputs = inputs["input"]
    if isinstance(inputs, str):
        try:
            return json.loads(inputs)
        except (ValueError, RecursionError):
            return inputs
    return inputs


def result_text(run: Run) -> str:
    """What a tool run answered, as text; its error message when it failed without outputs."""
    if run.outputs is None and run.error is not None:
        return run.error.message
    told = next((m.text for m in messages_out(run) if m.role == "tool"), None)
    return told if told is not None else answer_text(run.outputs)


ERROR_STARTS = ("error", "exception", "traceback", "toolexception", "invalid request")
"""How the text of a failed tool call begins, lower case."""


def says_error(text: str) -> bool:
    """Whether the text of a tool's result begins like an error."""
    return text.lstrip(" \n\t\"'{[").lower().startswith(ERROR_STARTS)


def final_text(trace: Trace) -> str:
    """What a person would read as the trace's answer; empty when there is none."""
    root = trace.root
    return answer_text(root.outputs) if root else ""
