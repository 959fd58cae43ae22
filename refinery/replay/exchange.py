"""One model call, apart from any vendor's wire format: the request and the reply."""

from dataclasses import dataclass, field
from enum import StrEnum

from refinery.model.messages import Message, ToolCall
from refinery.model.trace import Json, Usage


class Api(StrEnum):
    """The HTTP interfaces that are understood."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_RESPONSES = "openai.responses"
    ANTHROPIC = "anthropic.messages"
    OPENAI_EMBEDDINGS = "openai.embeddings"
    """Answered from the tape only; no reply of it can be written."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a program asked a model, as read from the body it sent."""

    api: Api
    model: str
    messages: tuple[Message, ...]
    """In order; the system prompt is a message of role `system`, wherever the vendor puts it."""
    tools: tuple[Json, ...]
    """Tool schemas as sent."""
    params: dict[str, Json]
    """Everything of the body but model, messages, tools and streaming."""
    stream: bool
    body: dict[str, Json] = field(repr=False)
    """The body as sent."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model answered; only the first choice is kept."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    """None: unknown. `input` includes cached tokens, as everywhere in the model."""
    finish_reason: str | None = None
    """`stop`, `tool_calls`, `length` or `content_filter`; None: follows from the tool calls."""
    model: str | None = None
    """Name of the model that answered; None: the one asked for."""

    @property
    def reason(self) -> str:
        """Why the reply ended: the stated reason, else what its content says."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")
