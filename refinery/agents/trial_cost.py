"""What a trial is expected to cost, before any of it is begun."""

from refinery.agents.judge import Judge
from refinery.llm.prices import price_of
from refinery.model.trace import RunKind
from refinery.replay import checks, spending
from refinery.replay.cases import Case, TrialRequest

JUDGE = "judge"
"""What the judge's calls are called among the parts of a purse."""


def expected(
    request: TrialRequest, judge: checks.Judge | None, *, first: int = 1, judged_only: bool = False
) -> dict[str, float]:
    """What the first look of one trial is expected to cost in USD, by part of the purse.

    Every recorded call of a failing trace counts as asked anew, with the patch and without it, and
    once those of a passing trace: that is the most a patch can change.

    Args:
        request: the trial.
        judge: who judges the results.
        first: replays of each failing trace.
        judged_only: whether the calls of the agent are answered from the recording.
    """
    failing = first * sum(map(_recorded_usd, request.failing))
    passing = sum(map(_recorded_usd, request.controls))
    asked = request.agent.upstream is not None and not judged_only
    judged = sum(
        sum(check.kind == "judge" for check in case.wanted) * times
        for cases, times in ((request.failing, first), (request.controls, 1))
        for case in cases
    )
    return {
        spending.PART: 2 * failing + passing if asked else 0.0,
        JUDGE: judge.forecast_usd(judged) if isinstance(judge, Judge) else 0.0,
    }


def _recorded_usd(case: Case) -> float:
    """What the model calls of a recorded run cost by their tokens; 0 where that is unknown."""
    total = 0.0
    for run in case.trace.runs:
        price = price_of(run.model_requested or run.model_responded or "")
        if run.kind is RunKind.LLM and run.usage is not None and price is not None:
            total += price.cost_usd(run.usage.input or 0, run.usage.output or 0)
    return total
