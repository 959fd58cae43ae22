"""The JSON documents of the commands that bring traces in, look at them and run them again."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from refinery.model.failure import Capability
from refinery.model.trace import Json
from refinery.model.verdict import StepFidelity

Strings = list[str]


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
    forecast: NotRequired[Json]
    reused_from: NotRequired[str | None]
    groups: NotRequired[list[Json]]
    traces: NotRequired[int]
    more: NotRequired[bool]


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


DOCUMENTS: dict[str, type] = {
    "record": Recorded,
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
}
"""The document of each command by its words."""
