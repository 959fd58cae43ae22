"""How documents of the API look: pydantic models, for OpenAPI and for the tests of the answers.

Answers are not passed through them: a trace of 5,000 runs would take several times as long.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Version = Annotated[Literal[1], Field(description="Version of the document's form.")]
Milliseconds = Annotated[float | None, Field(description="Milliseconds, UTC; null: unknown.")]


class Shape(BaseModel):
    """A document or a part of one."""

    model_config = ConfigDict(extra="allow")


class Document(Shape):
    """A whole answer."""

    schema_version: Version


class ErrorBody(Shape):
    """What went wrong, and what to do."""

    code: str
    message: str
    hint: str


class ErrorShape(Document):
    """The answer to what cannot be done."""

    error: ErrorBody


class SessionShape(Document):
    """What the pages need to know first."""

    csrf: str
    version: str
    repository: str | None
    has_model: bool
    store: str


class TraceLine(Shape):
    """One trace of a list."""

    trace_id: str
    name: str
    status: str
    label: str | None
    project: str | None
    source: str
    session_id: str | None
    user_id: str | None
    start_ms: Milliseconds
    end_ms: Milliseconds
    duration_ms: float | None
    runs: int
    errors: int
    tokens: int | None
    cost_usd: float | None
    is_complete: bool
    root_input: str | None
    root_output: str | None


class TracesShape(Document):
    """A page of traces, newest start first."""

    traces: list[TraceLine]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


class RunRow(Shape):
    """One run of a tree, without payloads."""

    run_id: str
    parent_id: str | None
    name: str
    kind: str | None
    native_kind: str | None
    status: str
    start_ms: Milliseconds
    end_ms: Milliseconds
    duration_ms: float | None
    depth: int
    order: int
    model: str | None
    tokens: int | None
    cost_usd: float | None
    error_type: str | None
    error_message: str | None
    evaluations: int


class TraceShape(Document):
    """A trace: its line, its runs in tree order, the findings of the last diagnosis."""

    trace: TraceLine
    runs: list[RunRow]
    findings: list[dict[str, Any]]


class RunShape(Document):
    """One run with all it holds; a value over 256 KiB is `{"$cut": {"bytes", "href"}}`."""

    run_id: str
    trace_id: str
    parent_id: str | None
    name: Any
    kind: str | None
    status: str
    start_ms: Milliseconds
    end_ms: Milliseconds
    duration_ms: float | None
    source: str
    project: str | None
    model: Any
    params: Any
    tools: Any
    usage: dict[str, Any] | None
    tokens: int | None
    cost_usd: float | None
    inputs: Any
    outputs: Any
    messages_in: Any
    messages_out: Any
    tool_calls: Any
    documents: Any
    evaluations: Any
    reasoning: Any
    error: Any
    metadata: Any
    tags: Any
    events: Any
    code: Any
    feedback: Any
