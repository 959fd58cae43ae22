"""The shape of the JSON documents of `refinery perf`."""

from typing_extensions import TypedDict

from refinery.model.trace import Json

Interval = tuple[float | None, float | None]


class PerfGroup(TypedDict):
    """Figures of the runs of one group."""

    key: str | None
    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    total_ms: float
    errors: int
    success_rate: float | None
    success_interval: tuple[float, float] | None
    cpu_p50_ms: float | None
    rss_p90_mb: float | None
    io_p90_mb: float | None
    tokens: int | None
    cost_usd: float | None
    first_ms: float | None
    last_ms: float | None
    name: str | None


class PerfError(TypedDict):
    """Errors that look alike."""

    type: str
    pattern: str
    count: int
    traces: int
    names: list[str]
    first_ms: float | None
    last_ms: float | None
    example: str
    example_trace: str
    example_run: str


class PerfPath(TypedDict):
    """One chain of names on critical paths."""

    path: list[str]
    traces: int
    own_ms: float
    share: float
    example_trace: str
    example_run: str


class PerfPaths(TypedDict):
    """Critical paths of the slowest traces."""

    traces: int
    left_out: int
    paths: list[PerfPath]


class PerfRatio(TypedDict):
    """A ratio of medians with its interval."""

    value: float | None
    low: float | None
    high: float | None
    finding: str


class PerfRegression(TypedDict):
    """One group in two frames."""

    key: str | None
    before: int
    after: int
    before_p50_ms: float | None
    after_p50_ms: float | None
    duration: PerfRatio
    duration_p: float | None
    before_success: float | None
    after_success: float | None
    success_p: float | None
    finding: str
    is_less_reliable: bool
    is_more_reliable: bool


class PerfCost(TypedDict):
    """One chain of names that ends in model calls."""

    path: list[str]
    calls: int
    tokens: int | None
    cost_usd: float | None
    share: float
    example_trace: str
    example_run: str


class PerfReport(TypedDict):
    """`refinery perf report`."""

    frame: dict[str, Json]
    against: dict[str, Json] | None
    group: str
    groups: list[PerfGroup]
    errors: list[PerfError]
    critical_paths: PerfPaths
    costly_paths: list[PerfCost]
    regressions: list[PerfRegression]


class PerfSql(TypedDict):
    """`refinery perf sql`."""

    columns: list[str]
    rows: list[list[Json]]
    is_cut: bool


class PerfSide(TypedDict):
    """One variant of two."""

    variant: str
    runs: int
    p50_ms: float | None
    p90_ms: float | None
    success_rate: float | None


class PerfOutcome(TypedDict):
    """Two variants side by side."""

    before: PerfSide
    after: PerfSide
    ratio: float | None
    ratio_interval: Interval
    p: float | None
    cpu_ratio: float | None
    memory_ratio: float | None
    finding: str
    is_less_reliable: bool


class PerfCompared(PerfOutcome):
    """`refinery perf compare`."""

    name: str
    diff: list[str]
    missing_source: list[str]


class PerfItem(TypedDict):
    """One item of the optimisation queue."""

    item_id: str
    layer: str | None
    name: str
    variant: str | None
    limit: str
    value: float
    observed: float | None
    runs: int
    is_shown: bool
    priority: float
    recommendation: str
    trace_id: str
    run_id: str
    file: str | None
    line: int | None
    state: str
    reason: str
    tests: str | None
    outcome: PerfOutcome | None
    queued_ms: float
    changed_ms: float


class PerfQueue(TypedDict):
    """`refinery perf queue`."""

    items: list[PerfItem]


class PerfLimit(TypedDict):
    """A limit and what it is for."""

    selector: str
    limit: str
    value: float


class PerfBreach(TypedDict):
    """A limit that is broken."""

    limit: str
    selector: str
    value: float
    observed: float | None
    beyond: int
    runs: int
    is_shown: bool


class PerfViolation(TypedDict):
    """A component that breaks limits."""

    item_id: str
    layer: str | None
    name: str
    variant: str | None
    breaches: list[PerfBreach]
    recommendation: str
    priority: float
    trace_id: str
    run_id: str


class PerfTests(TypedDict):
    """How the user's tests ended."""

    ending: str
    exit_code: int | None
    duration_s: float
    output: str


class PerfAudited(TypedDict):
    """`refinery perf audit`."""

    components: int
    violations: list[PerfViolation]
    too_few_runs: list[str]
    unmatched: list[PerfLimit]
    left: list[PerfItem]
    held: list[PerfItem]
    tests: PerfTests | None


class PerfTiming(TypedDict):
    """One implementation in a benchmark."""

    name: str
    p50_ms: float
    p99_ms: float
    min_ms: float
    cpu_p50_ms: float
    ratio: float | None
    ratio_interval: Interval
    finding: str
    is_same_result: bool


class PerfBench(TypedDict):
    """`refinery perf bench`."""

    scenario: str
    description: str
    warm_up: int
    repeats: int
    level: float
    implementations: list[PerfTiming]


DOCUMENTS: dict[str, type] = {
    "perf report": PerfReport,
    "perf sql": PerfSql,
    "perf compare": PerfCompared,
    "perf audit": PerfAudited,
    "perf queue": PerfQueue,
    "perf bench": PerfBench,
}
"""The document of each command by its words."""
