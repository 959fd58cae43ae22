"""A conversation as a tree of runs: one agent run, a model call per answer, a tool run per result.

Model calls hold the messages before them in full, as the model saw them. A conversation whose
calls together would hold more than `MAX_INPUT_CHARS` keeps the opening and the newest messages of
each call and says how many were left out.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from refinery.model.messages import Message, ToolCall, parse
from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus, Trace, Usage

NAMESPACE = uuid.UUID("6b1f8f0e-6c1c-5d0b-9b8c-5d1d7c3a2f10")
"""Namespace of the ids made from content; chosen once, never changed."""

STEP_NS = 1_000_000
"""Made-up duration of a run whose source has no times: 1 ms."""

MAX_INPUT_CHARS = 32 * 2**20
"""Characters all model calls of one conversation may hold together (chosen by us: a conversation
of 60 messages holds about 0.5 million)."""

MIN_CALL_CHARS = 64 * 1024
"""Characters one model call may always hold."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a file says of one conversation."""

    messages: tuple[Mapping[str, Json], ...]
    key: str
    """Text that is the same for the same conversation: its ids are made from it."""
    start_ns: int
    name: str = "conversation"
    model: str | None = None
    tools: list[Json] | None = None
    session_id: str | None = None
    user_id: str | None = None
    metadata: dict[str, Json] = field(default_factory=dict)


def to_trace(conversation: Conversation) -> Trace:
    """The trace of a conversation; times are made up, as `metadata.synthetic_times` says."""
    return _Builder(conversation).trace()


class _Builder:
    """Walks the messages once and collects the runs they show."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.trace_id = str(uuid.uuid5(NAMESPACE, conversation.key))
        self.root_order = f"{_stamp(conversation.start_ns)}{self.trace_id}"
        self.runs: list[Run] = []
        self.calls: list[tuple[ToolCall, str]] = []
        """Calls not answered yet and the run that asked for each."""
        sizes = [_size(message) for message in conversation.messages]
        self.ends = list(accumulate(sizes, initial=0))
        answers = sum(_role(message) == "assistant" for message in conversation.messages)
        whole = answers * self.ends[-1] <= MAX_INPUT_CHARS
        share = max(MIN_CALL_CHARS, MAX_INPUT_CHARS // max(1, answers))
        self.room = self.ends[-1] if whole else share

    def trace(self) -> Trace:
        """Runs in tree order: the root, then what it did in the order of the messages."""
        for index, raw in enumerate(self.conversation.messages):
            found = list(parse(raw))
            if any(message.role == "assistant" for message in found):
                self._model_call(index, raw, found)
            for message in found:
                if message.role == "tool":
                    self._tool_result(message)
        return Trace(self.trace_id, (self._root(), *self.runs), source="messages")

    def _root(self) -> Run:
        said = [m for raw in self.conversation.messages for m in parse(raw)]
        questions = [{"role": "user", "content": m.text} for m in said if m.role == "user"]
        answers = [m.text for m in said if m.role == "assistant" and m.text]
        return Run(
            run_id=self.trace_id,
            trace_id=self.trace_id,
            name=self.conversation.name,
            kind=RunKind.AGENT,
            dotted_order=self.root_order,
            start_ns=self.conversation.start_ns,
            end_ns=self.conversation.start_ns + (len(self.runs) + 1) * STEP_NS,
            status=RunStatus.OK,
            inputs={"messages": questions},
            outputs={"output": answers[-1] if answers else None},
            session_id=self.conversation.session_id,
            user_id=self.conversation.user_id,
            metadata={"synthetic_times": True, **self.conversation.metadata},
        )

    def _model_call(self, index: int, raw: Mapping[str, Json], found: list[Message]) -> None:
        before, left_out = self._before(index)
        run_id, common = self._next()
        run = Run(
            **common,
            name=self.conversation.model or "assistant",
            kind=RunKind.LLM,
            status=RunStatus.OK,
            inputs={"messages": before},
            outputs={"messages": [raw]},
            model_requested=self.conversation.model,
            tools=self.conversation.tools,
            usage=_usage(raw.get("usage")),
            metadata={"messages_left_out": left_out} if left_out else None,
        )
        self.runs.append(run)
        self.calls += [(call, run_id) for message in found for call in message.tool_calls]

    def _tool_result(self, message: Message) -> None:
        call, asked_by = self._answered(message)
        failed = message.is_error or is_error_text(message.text)
        metadata = {"tool_call_id": message.tool_call_id, "asked_by": asked_by}
        _, common = self._next()
        run = Run(
            **common,
            name=message.name or (call.name if call else None) or "tool",
            kind=RunKind.TOOL,
            status=RunStatus.ERROR if failed else RunStatus.OK,
            error=RunError("", message.text) if failed else None,
            inputs=call.arguments if call else None,
            outputs={"output": message.text},
            metadata={key: value for key, value in metadata.items() if value} or None,
        )
        self.runs.append(run)

    def _answered(self, message: Message) -> tuple[ToolCall | None, str | None]:
        """The call a result belongs to: by id, else the oldest open one of that tool's name."""
        for by_id in (True, False):
            for item in self.calls:
                call = item[0]
                same_id = message.tool_call_id and call.call_id == message.tool_call_id
                if same_id if by_id else message.name in (None, call.name):
                    self.calls.remove(item)
                    return item
        return None, None

    def _before(self, index: int) -> tuple[list[Json], int]:
        """Messages a model call was given, and how many of them did not fit."""
        messages = self.conversation.messages
        if self.ends[index] <= self.room:
            return list(messages[:index]), 0
        opening = 1 if self.ends[1] <= self.room // 2 else 0
        room = self.room - self.ends[opening]
        first = next(
            (i for i in range(opening, index) if self.ends[index] - self.ends[i] <= room), index
        )
        return [*messages[:opening], *messages[first:index]], first - opening

    def _next(self) -> tuple[str, dict[str, Any]]:
        """Id and the fields every run below the root has."""
        number = len(self.runs) + 1
        run_id = str(uuid.uuid5(uuid.UUID(self.trace_id), str(number)))
        start_ns = self.conversation.start_ns + number * STEP_NS
        return run_id, {
            "run_id": run_id,
            "trace_id": self.trace_id,
            "parent_id": self.trace_id,
            "dotted_order": f"{self.root_order}.{_stamp(start_ns)}{run_id}",
            "start_ns": start_ns,
            "end_ns": start_ns + STEP_NS,
        }


def is_error_text(text: str) -> bool:
    """Whether a tool's result says it failed: it begins as error messages begin."""
    start = text.lstrip()[:40].casefold()
    if start.startswith(("traceback (most recent", "exception:")):
        return True
    return start.startswith("error") and not start[5:6].isalnum()


def _role(message: Mapping[str, Json]) -> str:
    return next((m.role for m in parse(message) if m.role == "assistant"), "")


def _size(message: Mapping[str, Json]) -> int:
    """About how many characters a message holds."""
    return sum(len(text) for text in _texts(message)) + 40


def _texts(value: Json) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, Sequence):
            waiting.extend(item)


def _usage(value: Json) -> Usage | None:
    """Usage as OpenAI and Anthropic write it beside a message."""
    if not isinstance(value, Mapping):
        return None

    def count(*names: str) -> int | None:
        found = (value.get(name) for name in names)
        return next((v for v in found if isinstance(v, int) and not isinstance(v, bool)), None)

    usage = Usage(
        input=count("prompt_tokens", "input_tokens"),
        output=count("completion_tokens", "output_tokens"),
        total=count("total_tokens"),
    )
    return usage if usage != Usage() else None


def _stamp(ns: int) -> str:
    """A time as LangSmith's dotted order writes it, `YYYYMMDDTHHMMSSffffffZ`."""
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(ns // 10**9, tz=UTC).replace(microsecond=ns // 1000 % 10**6)
    return moment.strftime("%Y%m%dT%H%M%S%f") + "Z"
