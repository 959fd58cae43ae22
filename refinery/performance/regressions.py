"""What became slower, dearer or less reliable between two frames, with a test of significance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from refinery.performance import intervals
from refinery.performance.frames import Frame, group_sql
from refinery.performance.intervals import Finding, Ratio
from refinery.performance.sql import Reader

ALPHA = 0.05
"""Chance of a false alarm over all the groups compared, after Holm's correction."""
MAX_VALUES = 5_000
"""Most values of a group in a frame, picked by the hash of their run's id."""


@dataclass(frozen=True, slots=True)
class Regression:
    """One group in both frames."""

    key: str | None
    before: int
    after: int
    """Runs in each frame."""
    before_p50_ms: float | None
    after_p50_ms: float | None
    duration: Ratio
    duration_p: float | None
    """Of the Mann-Whitney test, corrected for the number of groups."""
    before_success: float | None
    after_success: float | None
    success_p: float | None
    """Of Fisher's exact test, corrected in the same way."""

    @property
    def finding(self) -> Finding:
        """What is shown of the duration: interval and test must agree."""
        if self.duration_p is None:
            return Finding.TOO_FEW
        return self.duration.finding if self.duration_p < ALPHA else Finding.NONE

    @property
    def is_less_reliable(self) -> bool:
        """Whether it is shown that fewer runs end well."""
        return (
            self.success_p is not None
            and self.success_p < ALPHA
            and (self.after_success or 0) < (self.before_success or 0)
        )

    @property
    def is_more_reliable(self) -> bool:
        """Whether it is shown that more runs end well."""
        return (
            self.success_p is not None
            and self.success_p < ALPHA
            and (self.after_success or 0) > (self.before_success or 0)
        )


_SQL = """SELECT {key} AS key, count(*),
    list(duration_ms ORDER BY hash(run_id)) FILTER (duration_ms IS NOT NULL),
    count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'error')
FROM runs AS one WHERE {where} GROUP BY 1"""


def regressions(reader: Reader, before: Frame, after: Frame, group: str) -> list[Regression]:
    """Groups that are in both frames: what is shown first, then by how much they changed.

    Raises:
        InputError: nothing to group by has that name.
    """
    first, second = _sides(reader, before, group), _sides(reader, after, group)
    shared = sorted(first.keys() & second.keys(), key=lambda key: key or "")
    found = [_compared(key, first[key], second[key]) for key in shared]
    return sorted(_corrected(found), key=_order)


def _sides(reader: Reader, frame: Frame, group: str) -> dict[str | None, tuple[Any, ...]]:
    where, parameters = frame.where()
    rows = reader.query(_SQL.format(key=group_sql(group), where=where), parameters)
    return {
        key: (count, (values or [])[:MAX_VALUES], passed, failed)
        for key, count, values, passed, failed in rows
    }


def _compared(key: str | None, first: tuple[Any, ...], second: tuple[Any, ...]) -> Regression:
    judged = [(side[2], side[2] + side[3]) for side in (first, second)]
    return Regression(
        key=key,
        before=first[0],
        after=second[0],
        before_p50_ms=_median(first[1]),
        after_p50_ms=_median(second[1]),
        duration=intervals.ratio_of_medians(first[1], second[1]),
        duration_p=intervals.rank_test(first[1], second[1]),
        before_success=judged[0][0] / judged[0][1] if judged[0][1] else None,
        after_success=judged[1][0] / judged[1][1] if judged[1][1] else None,
        success_p=intervals.share_test(*judged),
    )


def _median(values: Sequence[float]) -> float | None:
    from statistics import median

    return float(median(values)) if values else None


def _corrected(found: list[Regression]) -> list[Regression]:
    durations = _adjusted([one.duration_p for one in found])
    successes = _adjusted([one.success_p for one in found])
    return [
        replace(one, duration_p=duration, success_p=success)
        for one, duration, success in zip(found, durations, successes, strict=True)
    ]


def _adjusted(values: Sequence[float | None]) -> list[float | None]:
    """P values corrected for how many there are; those that are None stay so."""
    known = iter(intervals.adjusted([value for value in values if value is not None]))
    return [None if value is None else next(known) for value in values]


def _order(one: Regression) -> tuple[int, float]:
    rank = {Finding.SLOWER: 0, Finding.FASTER: 2}.get(one.finding, 3)
    return (min(rank, 1 if one.is_less_reliable else 3), -(one.duration.value or 1))
