"""What the evidence says: checks, guard, trial, change."""

from dataclasses import dataclass, field
from enum import StrEnum

from refinery.model.trace import Json


@dataclass(frozen=True, slots=True)
class Check:
    """An executable predicate over a run's result."""

    kind: str
    """`contains`, `contains_any`, `not_contains`, `regex`, `not_regex`, `json_schema`, `equals`,
    `no_error`, `signal_gone` or `python`."""
    value: str = ""
    field: str | None = None
    """Dotted path inside the result, e.g. `messages.-1.content`; None: the whole result."""

    def __str__(self) -> str:
        """The form of the command line, `KIND[@FIELD]:VALUE`."""
        at = f"@{self.field}" if self.field else ""
        return f"{self.kind}{at}:{self.value}" if self.value else f"{self.kind}{at}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether one check held, and what was seen."""

    check: str
    held: bool
    detail: str = ""


class Outcome(StrEnum):
    """What the guard says of a patch; the worst of its remarks counts."""

    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Remark:
    """What one guard rule says."""

    rule: str
    outcome: Outcome
    message: str
    path: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class GuardReport:
    """The guard's answer on the final bytes of a patch."""

    outcome: Outcome
    remarks: tuple[Remark, ...]
    digest: str
    """`Patch.digest` it was made for."""


class Fidelity(StrEnum):
    """How true to the recording one replayed step was."""

    EXACT = "exact"
    NORMALISED = "normalised"
    STUBBED = "stubbed"
    LIVE = "live"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class StepFidelity:
    """One replayed model, tool or retriever call."""

    name: str
    kind: str
    fidelity: Fidelity
    recorded_run_id: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One replay of one trace's entry point."""

    trace_id: str
    """The recorded trace that was replayed."""
    status: str
    """`ok`, `error`, `timeout` or `unanswered`."""
    output: Json = None
    error: str | None = None
    steps: tuple[StepFidelity, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    duration_ms: float = 0.0
    replayed: Json = None
    """The runs of the replay as recorded (list of encoded runs); None when not kept."""

    @property
    def passed(self) -> bool:
        """Whether the replay ended and every check held."""
        return self.status in ("ok", "error") and all(c.held for c in self.checks)

    @property
    def unanswered(self) -> bool:
        """Whether some request had neither a recorded reply nor a model to answer it."""
        return self.status == "unanswered" or any(
            step.fidelity is Fidelity.UNANSWERED for step in self.steps
        )


@dataclass(frozen=True, slots=True)
class Arm:
    """All replays of one variant of the code over one set of traces."""

    name: str
    """`unpatched`, `no-op` or `patch`."""
    group: str
    """`failing` or `passing`: which traces were replayed."""
    passed: int
    """k"""
    total: int
    """n"""
    interval: tuple[float, float] | None
    """95 % Wilson interval of k/n; None when n is 0."""
    results: tuple[ReplayResult, ...] = ()


class Verdict(StrEnum):
    """What a trial showed."""

    FIXED = "fixed"
    IMPROVED = "improved"
    NO_EFFECT = "no effect"
    REGRESSED = "regressed"
    UNVERIFIABLE = "unverifiable"


@dataclass(frozen=True, slots=True)
class Trial:
    """The arms replayed for one patch and what they showed."""

    hypothesis_id: str
    verdict: Verdict
    reason: str
    """One sentence for people, with k of n."""
    arms: tuple[Arm, ...]
    sandbox: str
    """Tier that held the code: `full`, `kernel`, `container` or `unsandboxed`."""
    p_value: float | None = None
    """Fisher's exact test, patched against unpatched on the failing traces, one-sided."""
    checks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    duration_ms: float = 0.0
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approval:
    """Permission to commit exactly one patch, once, before it expires."""

    digest: str
    approver: str
    created_ns: int
    expires_ns: int
    covers_held: bool
    """Whether items the guard holds were shown and accepted."""


WORK_TREE = "work tree"
"""`Change.branch` of a change that was written but not committed; no branch can be called so."""


@dataclass(frozen=True, slots=True)
class Change:
    """An approved patch: one commit, one ledger entry."""

    change_id: str
    commit: str
    trace_id: str
    title: str
    paths: tuple[str, ...]
    branch: str
    created_ns: int
    state: str = "applied"
    """`applied` or `rolled back`."""
    reverted_by: str | None = None
    """Commit of the rollback."""
