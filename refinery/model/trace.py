"""What happened: runs, the tree they form, and what people said of them."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Anything `json` can write: null, booleans, numbers, strings, lists, string-keyed objects."""

TIMELESS_SOURCES = frozenset({"messages"})
"""Sources that hold no times: those of their runs are made up to keep an order, and are no
durations (`metadata.synthetic_times`)."""


class RunKind(StrEnum):
    """What sort of work a run did."""

    AGENT = "agent"
    CHAIN = "chain"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVER = "retriever"
    EMBEDDING = "embedding"
    PROMPT = "prompt"
    PARSER = "parser"
    RERANKER = "reranker"
    GUARDRAIL = "guardrail"
    EVALUATOR = "evaluator"
    STEP = "step"
    EVENT = "event"


class RunStatus(StrEnum):
    """How a run ended; an interrupt or an abandoned stream is `cancelled`, not an error."""

    OK = "ok"
    ERROR = "error"
    RUNNING = "running"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RunError:
    """The error that ended a run."""

    type: str
    """Class name, e.g. `ValueError`; empty when unknown."""
    message: str
    stack: str = ""
    """Python traceback text as recorded; empty when unknown."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call; None means unknown, never zero."""

    input: int | None = None
    """Tokens read, cached ones included."""
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True)
class CodeReference:
    """The source a run executed."""

    module: str | None = None
    qualname: str | None = None
    file: str | None = None
    """Path relative to the repository root with forward slashes; absolute when outside it."""
    line: int | None = None
    """First line of the definition, from 1."""
    commit: str | None = None
    """Full hash of HEAD when the run was recorded."""
    dirty: bool | None = None
    """Whether tracked files differed from `commit`."""
    variant: str | None = None
    """SHA-256 of the source text of the definition."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One item a step judged, e.g. a candidate that passed or failed its filters."""

    item_id: str
    item: Json = None
    filters: Json = None
    qualified: bool | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One span of work inside a trace; None means the source did not say."""

    run_id: str
    """UUID string, unique over all traces."""
    trace_id: str
    """`run_id` of the root run."""
    name: str | None = None
    kind: RunKind | None = None
    parent_id: str | None = None
    dotted_order: str | None = None
    """LangSmith's sort key `YYYYMMDDTHHMMSSffffffZ<run id>`, joined by dots from the root;
    lexical order is tree order."""
    native_kind: str | None = None
    """The kind in the source's own words."""
    start_ns: int | None = None
    """Nanoseconds since the Unix epoch, UTC."""
    end_ns: int | None = None
    """Nanoseconds since the Unix epoch, UTC; None while the run is running."""
    status: RunStatus | None = None
    error: RunError | None = None
    inputs: Json = None
    outputs: Json = None
    provider: str | None = None
    model_requested: str | None = None
    model_responded: str | None = None
    params: dict[str, Json] | None = None
    """Parameters of a model call, e.g. temperature, max_tokens, stop, tool_choice."""
    tools: list[Json] | None = None
    """Tool schemas offered to the model, as sent."""
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    cost_source: str | None = None
    """`reported` by the source or `estimated` from a price table."""
    first_token_ns: int | None = None
    reasoning: str | None = None
    evaluations: list[Evaluation] | None = None
    session_id: str | None = None
    """Thread or conversation."""
    user_id: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Json] | None = None
    code: CodeReference | None = None
    layer: str | None = None
    """`tool`, `workflow`, `step`, `node` or `function`, when instrumented by hand."""
    metrics: dict[str, float] | None = None
    """`cpu_ms`, `wall_ms`, `rss_bytes`, `io_bytes`."""
    events: list[Json] | None = None
    links: list[Json] | None = None
    attachments: list[Json] | None = None
    raw_ref: str | None = None
    """Where the original bytes are kept."""

    @property
    def is_failed(self) -> bool:
        """Whether the run ended with an error."""
        return self.status is RunStatus.ERROR

    @property
    def duration_ms(self) -> float | None:
        """Wall time in milliseconds; None while running or when times are unknown."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Trace:
    """The tree of runs under one root, in tree order (see `Run.dotted_order`)."""

    trace_id: str
    runs: tuple[Run, ...]
    source: str = "unknown"
    """The adapter or recorder it came from, e.g. `langchain`, `messages`, `langsmith`."""
    project: str | None = None

    @property
    def root(self) -> Run | None:
        """The run without a parent; the earliest run when the root never arrived."""
        by_id = next((run for run in self.runs if run.run_id == self.trace_id), None)
        orphan = next((run for run in self.runs if run.parent_id is None), None)
        return by_id or orphan or (self.runs[0] if self.runs else None)

    @property
    def is_complete(self) -> bool:
        """Whether the root is present and every run has ended."""
        root = any(run.parent_id is None for run in self.runs)
        return root and all(run.end_ns is not None for run in self.runs)

    @property
    def status(self) -> RunStatus:
        """Status of the root run."""
        root = self.root
        return (root.status if root else None) or RunStatus.UNKNOWN

    @property
    def owner(self) -> str | None:
        """The one user the trace is of; None: nobody's, or not one user's alone.

        Every run whose parent is not in the trace names that user, and no run names another: what
        stands in a run that names nobody may come from others.
        """
        ids = {run.run_id for run in self.runs}
        top = {run.user_id for run in self.runs if run.parent_id not in ids}
        named = {run.user_id for run in self.runs if run.user_id is not None}
        return named.pop() if len(named) == 1 and top == named else None

    def run(self, run_id: str) -> Run | None:
        """The run of that id; None when the trace has none."""
        return next((run for run in self.runs if run.run_id == run_id), None)


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One line of a trace list."""

    trace_id: str
    name: str
    status: RunStatus
    runs: int
    errors: int
    """Number of failed runs."""
    start_ns: int | None
    end_ns: int | None
    source: str
    project: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    total_tokens: int | None = None
    """Summed over leaf model calls; None when no run reported usage."""
    label: str | None = None
    """`pass`, `fail` or None, as last said by a person or a source."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person or a program said of a run or a whole trace."""

    feedback_id: str
    trace_id: str
    key: str
    """What is judged, e.g. `label`, `correctness`."""
    run_id: str | None = None
    """None: the whole trace."""
    score: float | None = None
    value: Json = None
    comment: str | None = None
    correction: Json = None
    source: str = "human"
    """`human`, `llm`, `code` or `api`."""
    created_ns: int = 0


@dataclass(frozen=True, slots=True)
class Label:
    """What a trace should have been, as said with `refinery label`."""

    outcome: str
    """`pass` or `fail`."""
    expectation: str | None = None
    """The right behaviour in words."""
    checks: tuple[str, ...] = field(default=())
    """Checks as written on the command line, `KIND[@FIELD]:VALUE`."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """How the traced program was started, kept in the root run's `metadata["refinery"]`."""

    kind: str
    """`callable` (a `module:qualname` with one argument) or `command`."""
    target: str
    """`module:qualname`, or the command line as one shell-quoted string."""
    argument: Json = None
    """The one argument of a callable."""
    repository: str | None = None
    """Absolute path of the repository root at recording time."""
    commit: str | None = None
    dirty_diff: str | None = None
    """`git diff --binary HEAD` of tracked files at recording time; None when clean."""
    python: str | None = None
    """Absolute path of the interpreter."""
