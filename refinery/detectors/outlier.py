"""One call that took far longer, or far more tokens or money, than all the others of its kind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from refinery.detectors._shared import samples
from refinery.detectors._shared.quotes import evidence
from refinery.model.failure import Likelihood, RootCause, Signal
from refinery.model.trace import Run, RunKind, Trace, Usage
from refinery.model.walk import texts

SPECIFICITY = 0
LIMITS: Mapping[str, float] = {
    "times": 10,
    "min_ms": 30_000,
    "min_tokens": 20_000,
    "min_cost_usd": 0.5,
    "min_calls": 5,
}
"""How many times the median a value must be, what it must be at least, and how many calls there
must be to compare with; chosen by us, silent on all labelled runs of the benchmark."""
MAX_SHARE = 0.2
MAX_OUTLIERS = 5
"""Outliers of one measure that are reported, the largest ones."""


@dataclass(frozen=True, slots=True)
class _Measure:
    name: str
    unit: str
    floor: str
    """Name of the limit below which a value is never an outlier."""
    of: Callable[[Run], float | None]
    root_cause: RootCause


def _tokens(run: Run) -> float | None:
    usage = run.usage
    if usage is None:
        return None
    parts = [part for part in (usage.input, usage.output) if part is not None]
    return float(usage.total) if usage.total is not None else float(sum(parts)) or None


def _cost(run: Run) -> float | None:
    return float(run.cost_usd) if run.cost_usd is not None else None


_MEASURES = (
    _Measure("time", "ms", "min_ms", lambda run: run.duration_ms, RootCause.ENVIRONMENT),
    _Measure("tokens", "tokens", "min_tokens", _tokens, RootCause.CONTEXT),
    _Measure("cost", "USD", "min_cost_usd", _cost, RootCause.MODEL),
)
_KINDS = (RunKind.LLM, RunKind.TOOL, RunKind.RETRIEVER, RunKind.EMBEDDING, RunKind.RERANKER)


def detect(trace: Trace, limits: Mapping[str, float] = LIMITS) -> Iterator[Signal]:
    """Signals for calls whose time, tokens or cost stands out, in tree order within a measure."""
    parents = {run.parent_id for run in trace.runs}
    calls = [run for run in trace.runs if run.kind in _KINDS and run.run_id not in parents]
    for measure in _MEASURES:
        for kind in _KINDS:
            measured = [
                (run, value)
                for run in calls
                if run.kind is kind and (value := measure.of(run)) is not None
            ]
            yield from _standing_out(measure, measured, limits)


def _standing_out(
    measure: _Measure, measured: Sequence[tuple[Run, float]], limits: Mapping[str, float]
) -> Iterator[Signal]:
    if len(measured) < limits["min_calls"]:
        return
    usual = median(value for _, value in measured)
    least = max(limits[measure.floor], limits["times"] * usual)
    over = [(run, value) for run, value in measured if value >= least]
    if len(over) > max(1, MAX_SHARE * len(measured)):
        return  # so many are no outliers: there are two sorts of calls
    largest = {run.run_id for run, _ in sorted(over, key=lambda item: -item[1])[:MAX_OUTLIERS]}
    for run, value in over:
        if run.run_id in largest:
            yield _signal(measure, run, value, usual)


def _signal(measure: _Measure, run: Run, value: float, usual: float) -> Signal:
    name = run.name or "a call"
    said = f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
    base = f"{usual:,.4f}" if usual < 10 else f"{usual:,.0f}"
    return Signal(
        detector="outlier",
        title=f"{name[:40]} used {said} {measure.unit}, the usual call {base}",
        explanation=(
            f"Half of the calls of this kind used at most {base} {measure.unit}; this one used "
            f"{said}. That is dear, and it may show a fault, but a large input does the same."
        ),
        cause_run_id=run.run_id,
        symptom_run_id=run.run_id,
        evidence=evidence(run, *(text[:80] for _, text in texts(run)), name),
        likelihood=Likelihood.POSSIBLE,
        root_cause=measure.root_cause,
        facts={"measure": measure.name, "value": round(value, 4), "median": round(usual, 4)},
    )


def _calls(*tokens: int) -> Trace:
    given = [samples.user("Sum it up")]
    return samples.trace(
        *(
            samples.model(f"call {n}", given, "Done.", usage=Usage(total=total))
            for n, total in enumerate(tokens)
        )
    )


def _slow(seconds: int) -> Trace:
    runs = [samples.tool(f"tool {n}", "fetch", {"n": n}, f"page {n}") for n in range(6)]
    made = samples.trace(*runs)
    last = made.runs[-1]
    late = replace(last, end_ns=(last.start_ns or 0) + seconds * 10**9)
    return replace(made, runs=(*made.runs[:-1], late))


CLEAN = [
    _calls(900, 1_000, 1_100, 1_200, 30_000, 28_000, 31_000),
    _calls(100, 100, 100, 100, 2_000),
    _calls(100, 90_000),
    _slow(25),
]
FAILING = [
    (_calls(900, 1_000, 90_000, 1_100, 1_200), [samples.uid("call 2")]),
    (_slow(120), [samples.uid("tool 5")]),
]
