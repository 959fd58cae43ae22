"""What counterfactual replays showed, beside the original: answers, steps, tokens, cost, time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from refinery.llm.prices import price_of
from refinery.model.codec import encode
from refinery.model.messages import answer_text
from refinery.model.trace import Json, Run, RunKind, Trace, Usage
from refinery.model.verdict import Fidelity, ReplayResult
from refinery.model.walk import of_kind
from refinery.replay.spending import Spent
from refinery.replay.variation import Variation
from refinery.workflows.diff import Compared, TraceDiff
from refinery.workflows.diff import to_document as diff_document

NOTHING_SPENT = Spent(0, 0.0, 0)
MAX_ANSWER = 20_000
"""Most characters of an answer in a document."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the model calls of a run took; None where it is not known of every call."""

    calls: int
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: Decimal | None
    cost_source: str | None
    """`reported`, or `estimated` from the price table when it is so for any call."""
    model_ms: float | None
    """Wall time of the model calls; those answered from the recording took what they took then."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One variation, replayed."""

    variation: Variation
    result: ReplayResult
    trace: Trace | None = None
    """Its runs, as stored; None when the agent left none."""
    diff: TraceDiff | None = None
    """The original's runs beside its runs; None when there are none."""

    @property
    def is_answered(self) -> bool:
        """Whether every request got an answer, so that the result says something."""
        return not self.result.unanswered

    @property
    def live(self) -> int:
        """Requests and tools that were answered live."""
        return sum(step.fidelity is Fidelity.LIVE for step in self.result.steps)

    @property
    def missing(self) -> str | None:
        """Why the first step without an answer has none; None when all have one."""
        steps = (s for s in self.result.steps if s.fidelity is Fidelity.UNANSWERED)
        step = next(steps, None)
        return f"{step.kind} {step.name}: {step.detail}" if step else None

    @property
    def is_varied(self) -> bool:
        """Whether the variation was at work: a request was changed, or a value was set."""
        if not self.variation.changes_requests:
            return True
        steps = self.result.steps
        return any("varied: " in s.detail or s.fidelity is Fidelity.UNANSWERED for s in steps)

    @property
    def answer(self) -> str:
        """What a person would read in the result."""
        return answer_text(self.result.output)


@dataclass(frozen=True, slots=True)
class WhatIfOutcome:
    """All variations of one trace."""

    original: Trace
    cells: tuple[Cell, ...]
    commit: str | None = None
    """The commit whose code ran; None: no code ran."""
    sandbox: str | None = None
    """Tier that held it; None: no code ran."""
    warnings: tuple[str, ...] = ()
    spent: Spent = NOTHING_SPENT
    """What live models were asked, all variations together."""
    before: Trace | None = None
    """The unchanged run, replayed; None: it was not, or differs from the recording."""
    call: Run | None = None
    """The one model call that was asked again."""

    @property
    def answer(self) -> str:
        """The original's answer."""
        run = self.call or self.original.root
        return answer_text(run.outputs) if run else ""

    @property
    def are_all_answered(self) -> bool:
        """Whether every variation has a result."""
        return all(cell.is_answered for cell in self.cells)

    @property
    def totals(self) -> Totals:
        """What the original's model calls took."""
        return totals((self.call,) if self.call else of_kind(self.original, RunKind.LLM), {})

    def totals_of(self, cell: Cell) -> Totals:
        """What a variation's model calls took."""
        calls = of_kind(cell.trace, RunKind.LLM) if cell.trace else ()
        return totals(calls, {run.run_id: run.duration_ms for run in self.original.runs})


def totals(calls: Sequence[Run], recorded_ms: Mapping[str, float | None]) -> Totals:
    """Sum up model calls.

    Args:
        calls: leaf runs of a trace.
        recorded_ms: times of recorded calls by run id, for calls the recording answered.
    """
    used = [run.usage for run in calls]
    costs = [cost_of(run) for run in calls]
    sources = {source for _, source in costs}
    return Totals(
        calls=len(calls),
        input_tokens=_sum([u.input if u else None for u in used]),
        output_tokens=_sum([u.output if u else None for u in used]),
        total_tokens=_sum([_total(u) for u in used]),
        cost_usd=_sum([cost for cost, _ in costs]),
        cost_source=None
        if None in sources or not sources
        else "estimated"
        if "estimated" in sources
        else "reported",
        model_ms=_sum([_ms(run, recorded_ms) for run in calls]),
    )


N = TypeVar("N", int, float, Decimal)


def _sum(values: Sequence[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return None
    return sum(known[1:], start=known[0])


def _total(usage: Usage | None) -> int | None:
    if usage is None or usage.total is not None:
        return usage.total if usage else None
    if usage.input is None or usage.output is None:
        return None
    return usage.input + usage.output


def cost_of(run: Run) -> tuple[Decimal | None, str | None]:
    """What a call cost, and whether the source says so or the price table."""
    if run.cost_usd is not None:
        return run.cost_usd, run.cost_source or "reported"
    price = price_of(run.model_responded or run.model_requested or "")
    usage = run.usage
    if price is None or usage is None or usage.input is None or usage.output is None:
        return None, None
    return Decimal(f"{price.cost_usd(usage.input, usage.output):.9f}"), "estimated"


def _ms(run: Run, recorded_ms: Mapping[str, float | None]) -> float | None:
    kept = (run.metadata or {}).get("refinery")
    recorded = kept.get("answered_by") if isinstance(kept, Mapping) else None
    return recorded_ms.get(str(recorded)) if recorded else run.duration_ms


def first_changed(cell: Cell) -> Compared | None:
    """The first step that is not as in the original, what was varied itself aside."""
    if cell.diff is None or cell.diff.first is None:
        return None
    return cell.diff.first.compared


def to_document(outcome: WhatIfOutcome) -> dict[str, Json]:
    """The outcome as the JSON of `refinery replay` with something changed."""
    return {
        "trace_id": outcome.original.trace_id,
        "one_call": outcome.call.run_id if outcome.call else None,
        "commit": outcome.commit,
        "sandbox": outcome.sandbox,
        "before": {
            "answer": outcome.answer[:MAX_ANSWER],
            "status": outcome.original.status.value,
            **encode(outcome.totals),
        },
        "variations": [_cell_document(outcome, cell) for cell in outcome.cells],
        "live_requests": outcome.spent.requests,
        "spent_usd": outcome.spent.usd,
        "unpriced_requests": outcome.spent.unpriced,
        "warnings": list(outcome.warnings),
    }


def _cell_document(outcome: WhatIfOutcome, cell: Cell) -> dict[str, Json]:
    result = cell.result
    found = diff_document(cell.diff) if cell.diff else None
    return {
        "label": cell.variation.label,
        "variation": cell.variation.to_json(),
        "trace_id": cell.trace.trace_id if cell.trace else None,
        "status": result.status,
        "answered": cell.is_answered,
        "varied": cell.is_varied,
        "missing": cell.missing,
        "answer": cell.answer[:MAX_ANSWER],
        "answer_changed": cell.answer != outcome.answer if result.status == "ok" else None,
        "output": result.output,
        "error": result.error,
        "live_steps": cell.live,
        "steps": [encode(step) for step in result.steps],
        **encode(outcome.totals_of(cell)),
        "first_changed": found["first"] if found else None,
        "counts": found["counts"] if found else None,
    }
