"""The most probable cause of a run that is known to have failed: every step with a probability.

A conditional logit over the steps of one trace (McFadden, "Conditional logit analysis of
qualitative choice behavior", 1974): the probability of a step is the softmax, over all steps that
can be blamed, of a weighted sum of its features. The weights are in `attribution.json`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from refinery.detectors._shared.features import REASONS, scene_of, vector
from refinery.detectors._shared.quotes import evidence, first_line
from refinery.detectors._shared.steps import Speaker, Step, steps_of
from refinery.model.failure import Finding, Likelihood, RootCause, Signal
from refinery.model.trace import Json, Trace

CATEGORY = "probable_cause"
MAX_RUNNERS_UP = 4
MIN_STEPS = 2
"""With fewer steps there is nothing to choose from."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """One step of a failed run and how probable it is that it is the cause."""

    step: Step
    probability: float
    """0 to 1; all suspects of a trace sum to 1."""
    reasons: tuple[str, ...]
    """What speaks for it, in words, strongest first."""


@cache
def weights() -> Mapping[str, float]:
    """Weight of each feature, as fitted."""
    text = files("refinery.detectors._shared").joinpath("attribution.json").read_text("utf-8")
    found: dict[str, float] = json.loads(text)["weights"]
    return found


def suspects(
    trace: Trace, signals: Sequence[Signal], weighted: Mapping[str, float] | None = None
) -> tuple[Suspect, ...]:
    """Every step that can be blamed, most probable first, the earlier one when equal.

    Args:
        trace: a trace that is known to have failed; of one that did not, this says nothing.
        signals: what the detectors saw in it.
        weighted: weights by feature; None: those of the package.
    """
    steps = steps_of(trace)
    known = weights() if weighted is None else weighted
    scene = scene_of(steps, tuple(signals))
    rows = [(step, vector(scene, step)) for step in steps.blamable]
    if not rows:
        return ()
    scores = [sum(known.get(k, 0.0) * v for k, v in row.items()) for _, row in rows]
    top = max(scores)
    raised = [math.exp(score - top) for score in scores]
    total = sum(raised)
    found = (
        Suspect(step, share / total, _reasons(row, known))
        for (step, row), share in zip(rows, raised, strict=True)
    )
    return tuple(sorted(found, key=lambda s: (-round(s.probability, 9), s.step.index)))


def _reasons(row: Mapping[str, float], known: Mapping[str, float]) -> tuple[str, ...]:
    pulls = {name: known.get(name, 0.0) * value for name, value in row.items() if name in REASONS}
    strong = sorted((name for name, pull in pulls.items() if pull > 0), key=lambda n: -pulls[n])
    return tuple(REASONS[name] for name in strong)


def finding_of(trace: Trace, ranked: Sequence[Suspect], finding_id: str) -> Finding | None:
    """The best suspect as a finding that is never more than `possible`.

    None when there are too few steps to choose from, or the step holds nothing to quote.
    """
    if len(ranked) < MIN_STEPS:
        return None
    best = ranked[0]
    step = best.step
    called = next((call.name for call in step.calls), "")
    quoted = evidence(step.run, first_line(step.text), step.text[:80], f'"{called}"', called)
    if not quoted:
        return None
    who = "the user" if step.speaker is Speaker.USER else step.agent
    share = sum(s.probability for s in ranked if s.step.agent == step.agent)
    because = "; ".join(best.reasons[:3]) or "of its place among the steps"
    return Finding(
        finding_id=finding_id,
        category=CATEGORY,
        title=f"the run failed; most probable cause: step {step.index + 1} ({who[:60]})",
        explanation=(
            f"No fault is proven here. Of {len(ranked)} steps this one is the likeliest to have "
            f"led to the failure ({best.probability:.0%}; {who[:60]}: {share:.0%}), judging by "
            f"failed runs of other agents: {because}."
        ),
        likelihood=Likelihood.POSSIBLE,
        confidence=round(min(best.probability, 0.99), 2),
        cause_run_id=step.run.run_id,
        symptom_run_id=_shown_by(trace, step),
        evidence=quoted,
        root_cause=RootCause.INPUT if step.speaker is Speaker.USER else RootCause.MODEL,
        level="context" if step.speaker is Speaker.USER else "output",
        facts=_facts(ranked, share),
    )


def _shown_by(trace: Trace, step: Step) -> str:
    """The run that ended the trace with the wrong outcome: the root, when it is recorded."""
    root = trace.root
    return root.run_id if root is not None else step.run.run_id


def _facts(ranked: Sequence[Suspect], share: float) -> dict[str, Json]:
    best = ranked[0]
    return {
        "step": best.step.index + 1,
        "steps": len(ranked),
        "speaker": best.step.speaker.value,
        "agent": best.step.agent[:200],
        "agent_probability": round(share, 3),
        "runners_up": [
            {
                "step": s.step.index + 1,
                "agent": s.step.agent[:200],
                "run_id": s.step.run.run_id,
                "probability": round(s.probability, 3),
            }
            for s in ranked[1 : 1 + MAX_RUNNERS_UP]
        ],
    }
