"""What went wrong: signals of detectors, findings drawn from them, and the diagnosis."""

from dataclasses import dataclass, field
from enum import StrEnum

from refinery.model.trace import Json


class Likelihood(StrEnum):
    """How sure a finding is, in words."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class RootCause(StrEnum):
    """Where the cause lies."""

    PROMPT = "prompt"
    CONTEXT = "context"
    MODEL = "model"
    ORCHESTRATION = "orchestration"
    TOOL = "tool"
    ENVIRONMENT = "environment"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A phrase that stands verbatim in a run."""

    run_id: str
    quote: str
    """Text that occurs in some string of the run's inputs, outputs, error or metadata, or in
    the JSON of a value there; see `walk.occurs`."""
    where: str = ""
    """Path inside the run, e.g. `outputs.documents[1].metadata.date`; empty when not known."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A deterministic observation by one detector."""

    detector: str
    """Name of the detector, which is also the finding's category."""
    title: str
    """One line for people, without identifiers."""
    explanation: str
    """What was seen and why it is a failure, in plain words."""
    cause_run_id: str
    """The run that *produced* the fault."""
    symptom_run_id: str
    """The run that *showed* it; may equal the cause."""
    evidence: tuple[Evidence, ...]
    likelihood: Likelihood
    root_cause: RootCause
    facts: dict[str, Json] = field(default_factory=dict)
    """Typed details a playbook can act on, e.g. `{"date_key": "updated"}`; JSON only."""


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A place in the user's repository."""

    file: str
    """Path relative to the repository root, forward slashes."""
    line_start: int
    """First line, from 1."""
    line_end: int
    """Last line, inclusive."""
    node: str = ""
    """What stands there: a qualified name, `string`, or a key path such as `prompts.system`."""
    kind: str = ""
    """`function`, `class`, `template`, `call`, `frame`, `handler`, `schema` or `text`."""
    confidence: float = 1.0
    """0 to 1; below 1 when several places fit."""
    how: str = ""
    """How it was found: `recorded`, `stack frame`, `name`, `template`."""
    text: str = ""
    """The located text, so that a reader needs no second look; empty when long."""
    column_start: int = 0
    """First character of the place on its first line, from 1; 0: the place is whole lines."""
    column_end: int = 0
    """Last character of the place on its last line, inclusive; 0: the place is whole lines."""

    @property
    def address(self) -> str:
        """`file:line`, with the column where the place is a part of a line."""
        column = f":{self.column_start}" if self.column_start else ""
        return f"{self.file}:{self.line_start}{column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A ranked explanation of the failure."""

    finding_id: str
    """`F1`, `F2`, … within one diagnosis, best first."""
    category: str
    title: str
    explanation: str
    likelihood: Likelihood
    confidence: float
    """0 to 1."""
    cause_run_id: str
    symptom_run_id: str
    evidence: tuple[Evidence, ...]
    root_cause: RootCause
    level: str = ""
    """`system`, `prompt`, `context` or `output`."""
    engine: str = "detectors"
    """`detectors` or `model`."""
    source: SourceLocation | None = None
    """The best located place; None when nothing in the repository was found."""
    related: tuple[SourceLocation, ...] = ()
    """Other places that matter to a fix, e.g. the prompt template behind a model call."""
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunReading:
    """How much of one run the analyst read."""

    run_id: str
    extent: str
    """`whole`, `part`, `summary` or `skipped`."""
    share: float
    """Part of the trace's text that this run holds, 0 to 1; all shares sum to 1."""


class Answerable(StrEnum):
    """How far a trace can answer a question."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether a trace holds what one question needs."""

    question: str
    """Name of the question, e.g. `prompt`, `tools`, `replay`, `cost`."""
    title: str
    """The question in words, e.g. `what the model was told`."""
    answerable: Answerable
    why: str
    """What it rests on, or what was not recorded and how to record it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an analysis by a model is expected to take, told before the first call.

    An estimate from the sizes of the texts that are sent; the budget is what holds.
    """

    calls_least: int
    calls_most: int
    """With every round of tool calls used."""
    tokens_least: int
    tokens_most: int
    """Input and output tokens of all calls together."""
    usd_least: float | None = None
    """None when the model's price is unknown."""
    usd_most: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of a trace, what was read of it, and what it cannot answer."""

    trace_id: str
    engine: str
    """`detectors` or `model`."""
    findings: tuple[Finding, ...]
    unanswerable: tuple[str, ...] = ()
    """Questions the trace cannot answer, e.g. "no usage recorded: token limits not checked"."""
    rejected: tuple[str, ...] = ()
    """Findings of a model that were thrown away, with the reason, e.g. an invented quote."""
    readings: tuple[RunReading, ...] = ()
    model: str | None = None
    cost_usd: float | None = None
    """What the analysis cost; None when no model was used or its price is unknown."""
    capabilities: tuple[Capability, ...] = ()
    """Every question that can be asked of a trace, with whether this one can answer it."""
    forecast: Forecast | None = None
    """What the analysis was expected to take; None when no model was asked."""
    reused_from: str | None = None
    """Trace whose analysis this is, because it failed in the same way; None: it is its own."""
