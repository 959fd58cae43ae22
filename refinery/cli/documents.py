"""The shape of every JSON document the command line prints, and its JSON Schema.

A command's words are the key of `DOCUMENTS`. Keys that are not always there are `NotRequired`;
new ones may come without a new `output.SCHEMA_VERSION`.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from refinery.cli import guide_documents, output, perf_documents, search_documents
from refinery.errors import InputError
from refinery.model.failure import Capability, Diagnosis
from refinery.model.patch import Edit
from refinery.model.trace import Json
from refinery.model.verdict import GuardReport, StepFidelity, Trial

Strings = list[str]
Interval = tuple[float, float]


class Problem(TypedDict):
    """What went wrong, and what to do."""

    code: str
    message: str
    hint: str | None


class TraceLine(TypedDict):
    """One trace of a list."""

    trace_id: str
    name: str | None
    status: str
    runs: int
    errors: int
    start: str | None
    source: str
    end: NotRequired[str | None]
    project: NotRequired[str | None]
    label: NotRequired[str | None]
    session_id: NotRequired[str | None]
    user_id: NotRequired[str | None]


class Traces(TypedDict):
    """`refinery traces`."""

    traces: list[TraceLine]


class LabelDocument(TypedDict):
    """What a trace should have been."""

    outcome: Literal["pass", "fail"]
    expectation: str | None
    checks: Strings


class TraceDocument(TypedDict):
    """What is known of a trace besides its runs."""

    trace_id: str
    name: str | None
    status: str
    complete: bool
    source: str
    project: str | None
    start: str | None
    end: str | None
    errors: int
    session_id: str | None
    user_id: str | None
    label: LabelDocument | None


class RunDocument(TypedDict):
    """One run; every further field of the trace model stands beside these when it is known."""

    run_id: str
    parent_id: str | None
    name: str | None
    kind: str | None
    status: str | None
    error: Json
    inputs: Json
    outputs: Json
    usage: Json


class Show(TypedDict):
    """`refinery show T`; with `--capabilities` only those."""

    trace: NotRequired[TraceDocument]
    runs: NotRequired[list[RunDocument]]
    trace_id: NotRequired[str]
    source: NotRequired[str]
    capabilities: NotRequired[list[Capability]]


class Recorded(TypedDict):
    """`refinery record`: of a command, or of an input; several inputs stand in `runs`."""

    exit_code: NotRequired[int]
    trace_ids: NotRequired[Strings]
    gateway: NotRequired[bool]
    tapes: NotRequired[int]
    lost: NotRequired[int]
    trace_id: NotRequired[str]
    status: NotRequired[str]
    output: NotRequired[Json]
    error: NotRequired[Json]
    runs: NotRequired[int | list[Json]]


class ImportedFile(TypedDict):
    """What one file held."""

    file: str
    format: str | None
    traces: int
    trace_ids: Strings
    runs: int
    new_runs: int
    labels: int
    notes: Strings
    error: Problem | None


class Imported(TypedDict):
    """`refinery import`."""

    files: list[ImportedFile]
    traces: int
    runs: int
    new_runs: int


class Fetched(TypedDict):
    """`refinery fetch`."""

    traces: list[dict[str, Json]]


class Exported(TypedDict):
    """`refinery export --output FILE`; from `tokens` on with `--markdown` only."""

    file: str
    format: str
    traces: int
    trace_ids: Strings
    tokens: NotRequired[int]
    is_estimated: NotRequired[bool]
    counter: NotRequired[str]
    runs: NotRequired[int]
    shown: NotRequired[int]
    cut_values: NotRequired[int]


class Labelled(TypedDict):
    """`refinery label`."""

    trace_id: str
    label: LabelDocument


class Diagnosed(TypedDict):
    """`refinery diagnose T`, or with `--project` groups of failures."""

    trace_id: NotRequired[str]
    engine: NotRequired[str]
    findings: NotRequired[list[Json]]
    unanswerable: NotRequired[Strings]
    rejected: NotRequired[Strings]
    readings: NotRequired[list[Json]]
    model: NotRequired[str | None]
    cost_usd: NotRequired[float | None]
    capabilities: NotRequired[list[Capability]]
    groups: NotRequired[list[Json]]
    traces: NotRequired[int]
    more: NotRequired[bool]


class PatchDocument(TypedDict):
    """A patch: its diff, and what an approval is bound to."""

    base_commit: str
    digest: str
    paths: Strings
    diff: str
    edits: NotRequired[list[Edit]]


class ChangeDocument(TypedDict):
    """A committed change."""

    id: str
    change_id: str
    commit: str
    trace_id: str
    title: str
    paths: Strings
    branch: str
    created_ns: int
    state: str
    reverted_by: str | None


class Fixed(TypedDict):
    """`refinery fix` and `refinery demo`."""

    session_id: str
    engine: str
    expected: Json
    diagnosis: Diagnosis
    hypotheses: list[Json]
    chosen: str | None
    patch: PatchDocument | None
    guard: GuardReport | None
    trial: Trial | None
    change: ChangeDocument | None
    tests: Json
    repository: NotRequired[str]


class Tried(TypedDict):
    """`refinery trial`."""

    fixed: bool
    verdict: str
    reason: str
    patch: PatchDocument
    guard: GuardReport
    trial: Trial


class Difference(TypedDict):
    """The first thing that is not as recorded."""

    message: str
    run_id: str | None
    name: str | None
    expected: Json
    got: Json
    diff: str | None


class Replayed(TypedDict):
    """`refinery replay T`; with something changed `before` and `variations`."""

    trace_id: str
    commit: str | None
    sandbox: str | None
    warnings: Strings
    same: NotRequired[bool]
    divergence: NotRequired[Difference | None]
    summary: NotRequired[str]
    status: NotRequired[str]
    output: NotRequired[Json]
    error: NotRequired[str | None]
    steps: NotRequired[list[StepFidelity]]
    duration_ms: NotRequired[float]
    one_call: NotRequired[str | None]
    before: NotRequired[dict[str, Json]]
    variations: NotRequired[list[dict[str, Json]]]
    live_requests: NotRequired[int]
    spent_usd: NotRequired[Json]
    unpriced_requests: NotRequired[int]


class Compared(TypedDict):
    """Two runs that were put beside each other."""

    state: Literal["same", "changed", "added", "removed"]
    kind: str | None
    name: str | None
    depth: int
    left_run_id: str | None
    right_run_id: str | None
    differences: NotRequired[list[Json]]
    difference: NotRequired[Json]


class Diffed(TypedDict):
    """`refinery diff A B`."""

    left: str
    right: str
    same: bool
    counts: dict[str, int]
    first: Compared | None
    rows: list[Compared]


class Bisected(TypedDict):
    """`refinery bisect`."""

    trace_id: str
    state: Literal[
        "found", "candidates", "uncommitted", "not in history", "not reproduced", "unclear"
    ]
    reason: str
    checks: Strings
    good: Json
    bad: Json
    commits: int
    first_bad: Json
    tested: list[Json]
    warnings: Strings


class Checked(TypedDict):
    """`refinery checks add` and `try`."""

    trace_id: NotRequired[str]
    expectation: NotRequired[str]
    checks: NotRequired[Strings]
    made: NotRequired[list[Json]]
    left_over: NotRequired[Strings]
    kept: NotRequired[bool]
    check: NotRequired[str]
    tells: NotRequired[bool]
    tests: NotRequired[list[Json]]


class Labels(TypedDict):
    """`refinery checks list`."""

    labels: list[dict[str, Json]]


class History(TypedDict):
    """`refinery history`."""

    changes: list[ChangeDocument]


class TakenBack(TypedDict):
    """`refinery rollback` and `redo`."""

    change: ChangeDocument
    diff: str
    dry_run: bool


class VerifyStep(TypedDict):
    """One step of a verification."""

    name: str
    holds: bool
    detail: str


class Verified(TypedDict):
    """`refinery verify`."""

    change: str
    commit: str | None
    holds: bool
    steps: list[VerifyStep]
    verdict: str | None
    sandbox: str | None


class Guides(TypedDict):
    """`refinery knowledge list`."""

    guides: list[dict[str, Json]]


class Passages(TypedDict):
    """`refinery knowledge search`."""

    passages: list[dict[str, Json]]
    embedder: str
    arms: Strings
    notes: Strings


class Costs(TypedDict):
    """`refinery cost`."""

    by_model: dict[str, Json]
    by_purpose: dict[str, Json]
    by_day: dict[str, Json]
    prices_of: str


class Proposed(TypedDict):
    """`refinery init`."""

    repository: str
    framework: str | None
    entrypoint: str | None
    candidates: list[Json]
    created: Strings
    text: str


class Examined(TypedDict):
    """One thing `refinery doctor` looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    fix: str | None


class Doctor(TypedDict):
    """`refinery doctor`."""

    healthy: bool
    checks: list[Examined]


class SettingLine(TypedDict):
    """One setting."""

    name: str
    value: Json
    origin: str


class Config(TypedDict):
    """`refinery config show`."""

    settings: list[SettingLine]
    home: str
    project_file: str | None


class Offered(TypedDict):
    """`refinery mcp --tools`."""

    tools: list[dict[str, Json]]


class Script(TypedDict):
    """`refinery completion`."""

    shell: str
    script: str


class Serving(TypedDict):
    """`refinery serve`, one line when it is ready."""

    url: str
    ui: str
    """Address of the pages, with the token that opens them."""
    host: str
    port: int
    store: str
    needs_key: bool
    environment: dict[str, dict[str, str]]


class Injected(TypedDict):
    """`refinery bench injection`."""

    traces: int
    applied: list[str]
    commands_run: int
    requests_sent: int
    mends_committed: int
    model_requests_with_hostile_text: int
    proposals: Json
    by_goal: Json
    controls: Json
    safe: bool


class Error(TypedDict):
    """Any command that failed."""

    error: Problem


class Stats(TypedDict):
    """`refinery stats`."""

    sessions: Json
    proven: Json
    committed: Json
    held: Json
    without_engineer: Json
    fix_s: Json
    failure_to_fix_s: Json
    trial_s: Json
    tokens_per_fix: Json
    cost_per_fix_usd: Json
    guard: Json
    cache_hits: Json
    operations: Json
    lessons: Json
    calibration: Json
    store: NotRequired[Json]
    search: NotRequired[Json]


class Added(TypedDict):
    """`refinery knowledge add`: how many passages are new, and what citations call them."""

    added: int
    names: Strings


class Removed(TypedDict):
    """`refinery knowledge remove`."""

    name: str
    removed: int


class Rebuilt(TypedDict):
    """`refinery knowledge rebuild`."""

    passages: int
    embedder: str


DOCUMENTS: dict[str, type] = {
    "demo": Fixed,
    "init": Proposed,
    "doctor": Doctor,
    "record": Recorded,
    "serve": Serving,
    "import": Imported,
    "fetch": Fetched,
    "export": Exported,
    "traces": Traces,
    "show": Show,
    "diff": Diffed,
    "label": Labelled,
    "checks add": Checked,
    "checks try": Checked,
    "checks list": Labels,
    "diagnose": Diagnosed,
    "replay": Replayed,
    "bisect": Bisected,
    "fix": Fixed,
    "trial": Tried,
    "history": History,
    "rollback": TakenBack,
    "redo": TakenBack,
    "verify": Verified,
    "config show": Config,
    "bench injection": Injected,
    "cost": Costs,
    "knowledge list": Guides,
    "knowledge search": Passages,
    "knowledge add": Added,
    "knowledge remove": Removed,
    "knowledge rebuild": Rebuilt,
    "stats": Stats,
    **guide_documents.DOCUMENTS,
    **perf_documents.DOCUMENTS,
    **search_documents.DOCUMENTS,
    "mcp": Offered,
    "completion": Script,
    "error": Error,
}
"""The document of each command by its words, and that of every error."""


def schema(words: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command's document.

    Args:
        words: a key of `DOCUMENTS`, e.g. `checks add`.

    Raises:
        InputError: no command of that name prints a document.
    """
    from pydantic import TypeAdapter

    if words not in DOCUMENTS:
        raise InputError(
            f"no document of {words!r}", hint=f"one of: {', '.join(sorted(DOCUMENTS))}"
        )
    made = TypeAdapter(DOCUMENTS[words]).json_schema(mode="serialization")
    properties = {
        "schema_version": {"const": output.SCHEMA_VERSION},
        **made.get("properties", {}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"refinery-{words.replace(' ', '-')}-{output.SCHEMA_VERSION}",
        **made,
        "properties": properties,
        "required": ["schema_version", *made.get("required", [])],
    }
