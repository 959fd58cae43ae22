"""What a proposed change taught: where it applied, what was done, and whether it held."""

from dataclasses import dataclass
from enum import StrEnum


class LessonOutcome(StrEnum):
    """What became of the change."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled back"
    RETURNED = "returned"
    """The failure was seen again after the change."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One accepted or rejected change."""

    lesson_id: str
    created_ns: int
    """Nanoseconds UTC."""
    category: str
    """The detector or category of the finding it answered."""
    root_cause: str
    """As `model.failure.RootCause`."""
    strategy: str
    """As `Hypothesis.strategy`."""
    fix: str
    """What was changed, in words."""
    outcome: LessonOutcome
    trace_id: str
    change_id: str | None = None
    verdict: str | None = None
    """What the trial showed; None when there was none."""
    cited: int = 0
    """Later hypotheses that rested on it and were tried."""
    helped: int = 0
    """Those of them that were accepted."""
    cited_since_help: int = 0
    """Tried since the last one that was accepted."""

    @property
    def is_expired(self) -> bool:
        """Whether it has stopped helping."""
        return self.cited_since_help >= EXPIRES_AFTER


EXPIRES_AFTER = 5
"""Hypotheses in a row that rested on a lesson and were not accepted, until it is not told any
more; chosen by us: at an acceptance rate of one half, five failures in a row happen by chance in 3
of 100 series."""
