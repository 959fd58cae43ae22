"""How far a fix came, and as the JSON of the command line."""

from dataclasses import dataclass
from pathlib import Path

from refinery.agents.attempt import Attempt
from refinery.model.codec import encode
from refinery.model.failure import Diagnosis
from refinery.model.patch import Hypothesis, Patch
from refinery.model.trace import Json
from refinery.model.verdict import Change, Outcome, Verdict
from refinery.workflows.test_runs import Judged


@dataclass(frozen=True, slots=True)
class FixOutcome:
    """How far a fix came; nothing after the last stage reached is set."""

    session_id: str
    trace_id: str
    repository: Path
    diagnosis: Diagnosis
    attempts: tuple[Attempt, ...]
    hypotheses: tuple[Hypothesis, ...]
    chosen: Attempt | None
    change: Change | None
    decision: dict[str, Json] | None = None
    expected: Json = None
    """What became of the expectation in words, see `workflows.checks.to_document`."""
    started_ns: int = 0
    """When the session began, nanoseconds UTC."""
    spending: Json = None
    """What all models cost, see `llm.purse.Purse.document`."""
    tests: Judged | None = None
    """What the user's own tests said of the change; None: none ran."""

    @property
    def is_waiting(self) -> bool:
        """Whether a proven patch waits for approval."""
        return self.chosen is not None and self.decision is None

    @property
    def uncovered(self) -> str | None:
        """Why an approval that nobody looked at does not cover the patch; None when it does."""
        chosen = self.chosen
        if chosen is None or chosen.guard is None or chosen.trial is None:
            return "there is no proven patch"
        if chosen.guard.outcome is not Outcome.ALLOW:
            return "the guard holds items of this patch, and --yes does not cover them"
        verdict = chosen.trial.verdict
        if verdict is not Verdict.FIXED:
            return f"the verdict is {verdict.value!r}, and --yes covers only proven fixes"
        return None


def to_document(outcome: FixOutcome) -> dict[str, Json]:
    """The outcome as the JSON document of `refinery fix --json`."""
    chosen = outcome.chosen or _furthest(outcome.attempts)
    patch = chosen.patch if chosen else None
    return {
        "session_id": outcome.session_id,
        "engine": outcome.diagnosis.engine,
        "expected": outcome.expected,
        "diagnosis": encode(outcome.diagnosis),
        "hypotheses": [
            {
                **encode(attempt.hypothesis),
                "problem": attempt.problem,
                "verdict": attempt.trial.verdict.value if attempt.trial else None,
                "reason": attempt.trial.reason if attempt.trial else None,
            }
            for attempt in outcome.attempts
        ]
        or [encode(hypothesis) for hypothesis in outcome.hypotheses],
        "chosen": outcome.chosen.hypothesis.hypothesis_id if outcome.chosen else None,
        "patch": _patch_document(patch),
        "guard": encode(chosen.guard) if chosen else None,
        "trial": encode(chosen.trial) if chosen else None,
        "change": (
            {**encode(outcome.change), "id": outcome.change.change_id} if outcome.change else None
        ),
        "tests": encode(outcome.tests) if outcome.tests else None,
        "spending": outcome.spending,
    }


def _patch_document(patch: Patch | None) -> Json:
    if patch is None:
        return None
    return {
        "base_commit": patch.base_commit,
        "digest": patch.digest,
        "paths": [change.path for change in patch.changes],
        "edits": encode(patch.edits),
        "diff": patch.diff,
    }


def _furthest(attempts: tuple[Attempt, ...]) -> Attempt | None:
    """The attempt that came furthest, to explain a fix that was not proven."""
    stages = sorted(attempts, key=lambda a: (a.trial is None, a.guard is None, a.patch is None))
    return stages[0] if stages else None
