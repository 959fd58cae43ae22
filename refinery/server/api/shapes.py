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
    has_meaning: bool
    store: str
    scope: dict[str, Any] | None


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
    is_cut: bool = Field(description="Whether only the first 20,000 runs are shown.")
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


class NameLine(Shape):
    """A project, user or session, and its traces."""

    name: str
    traces: int
    errors: int
    first_ms: Milliseconds
    last_ms: Milliseconds


class ProjectsShape(Document):
    """Projects, the one with the latest trace first."""

    projects: list[NameLine]


class UsersShape(Document):
    """Users, the one with the latest trace first."""

    users: list[NameLine]


class SessionsShape(Document):
    """Sessions, the one with the latest trace first."""

    sessions: list[NameLine]


class FeedbackShape(Document):
    """Feedback as it was kept."""

    feedback: dict[str, Any]


class LabelShape(Document):
    """A label as it was kept."""

    trace_id: str
    label: dict[str, Any]


class DeletedShape(Document):
    """How many traces were deleted."""

    deleted: int


class HitLine(Shape):
    """A place in a run."""

    run_id: str
    where: str
    snippet: str


class HitsShape(Document):
    """Places of one trace, in tree order."""

    hits: list[HitLine]
    is_cut: bool


class FoundShape(Document):
    """Conversations that fit, best first, as `refinery search --json`."""

    query: str
    results: list[dict[str, Any]]
    arms: list[Literal["text", "meaning"]]
    embedder: str
    indexed: int | None
    waiting: int
    notes: list[str]


class DiffShape(Document):
    """Two traces aligned, as `refinery diff --json`."""

    left: str
    right: str
    same: bool
    counts: dict[str, int]
    first: dict[str, Any] | None
    rows: list[dict[str, Any]]


class ChangesShape(Document):
    """Changes, newest first, as `refinery history --json`."""

    changes: list[dict[str, Any]]


class ChangeShape(Document):
    """A change; its diff is null when the commit is gone, its receipt when none is kept."""

    change: dict[str, Any]
    diff: str | None
    receipt: dict[str, Any] | None


class ActionShape(Document):
    """What was done or would be, as `refinery rollback --json`."""

    change: dict[str, Any]
    diff: str
    dry_run: bool


class Figures(Shape):
    """How some traces or calls did."""

    count: int
    errors: int
    error_rate: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    tokens: int | None
    cost_usd: float | None


class Bucket(Figures):
    """The same for a span of time."""

    start_ms: float
    end_ms: float


class Group(Figures):
    """The same for a name, project or model; the largest also tell their course over time."""

    name: str
    buckets: list[Bucket]


class PerformanceShape(Document):
    """Figures in all, by group and over time; `is_cut`: only the newest `read` were looked at."""

    group: str
    groups: list[Group]
    total: Figures
    buckets: list[Bucket]
    read: int
    is_cut: bool


class OrderedShape(Document):
    """An order that was taken."""

    job_id: str


class ProgressLine(Shape):
    """What a job said."""

    at_ms: float
    text: str


class JobLine(Shape):
    """A job."""

    job_id: str
    kind: str
    trace_id: str
    options: dict[str, Any]
    state: Literal["queued", "running", "awaiting_approval", "done", "failed", "cancelled"]
    progress: list[ProgressLine]
    result: dict[str, Any] | None = Field(description="The command's `--json` document.")
    error: dict[str, Any] | None
    approval: dict[str, Any] | None
    session_id: str | None
    reason: str | None
    created_ms: float
    ended_ms: float | None


class JobShape(Document, JobLine):
    """One job."""


class JobsShape(Document):
    """Jobs, newest first."""

    jobs: list[JobLine]


class GuideShape(Document):
    """A session of the guide and its present page."""

    session_id: str
    step: str
    trace_id: str | None
    over: bool
    remark: str
    page: dict[str, Any]


class GuideLine(Shape):
    """One session of a list."""

    session_id: str
    trace_id: str | None
    expectation: str | None
    updated_ms: float
    over: bool


class GuidesShape(Document):
    """Sessions of the guide."""

    sessions: list[GuideLine]


class MeaningShape(Document):
    """What a word means."""

    text: str
