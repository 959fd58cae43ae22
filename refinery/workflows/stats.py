"""How well fixing goes: times, rates, cost, caches, the guard, and whether confidence was earned.

Every figure comes from files of this project: `fixes.jsonl` (one line a session), the ledger and
`model-calls.jsonl`. A rate is None when nothing was counted, never 0.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from refinery import home
from refinery.intervals import wilson
from refinery.llm.calls import CACHED, NOT_CACHED
from refinery.model.lesson import LessonOutcome
from refinery.model.trace import Json
from refinery.workflows import changes
from refinery.workflows.learning import FixRecord, Tried, lessons_of, records
from refinery.workflows.wiring import Workspace

BANDS = ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0001))
"""Bands of stated confidence in the reliability table."""
FIXED = "fixed"
LOOKUPS = (CACHED, NOT_CACHED)


@dataclass(frozen=True, slots=True)
class Share:
    """k of n with its 95 % Wilson interval."""

    count: int
    total: int
    interval: tuple[float, float] | None

    @property
    def rate(self) -> float | None:
        """k/n; None when n is 0."""
        return self.count / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Band:
    """One line of the reliability table."""

    low: float
    high: float
    total: int
    stated: float
    """Mean confidence stated."""
    fixed: float
    """Share whose trial said `fixed`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How stated confidence compares with trials."""

    tried: int
    brier: float | None
    """Mean squared difference of confidence and outcome (Brier 1950); 0.25 is a coin."""
    base_brier: float | None
    """The same for always stating the share that was fixed: what confidence has to beat."""
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """Model calls of one kind."""

    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """Of the calls with a known price; None when none has one."""
    unpriced: int
    p50_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """All figures of a project."""

    sessions: int
    proven: Share
    """Sessions that had a proven fix."""
    committed: Share
    """Sessions that ended in a commit."""
    held: Share
    """Committed changes that are still in force."""
    without_engineer: Share
    """Committed changes approved by a domain expert alone."""
    fix_s: tuple[float, float] | None
    """Median and 90th percentile from start of a session to commit, in seconds."""
    failure_to_fix_s: tuple[float, float] | None
    """The same from the end of the failing run."""
    trial_s: tuple[float, float] | None
    """The same of a trial."""
    tokens_per_fix: float | None
    cost_per_fix_usd: float | None
    """Cost of all model calls over committed changes; unpriced calls are not in it."""
    guard: Mapping[str, int]
    """Patches by the guard's outcome."""
    cache_hits: Share
    """Analyses answered from the cache."""
    operations: Mapping[str, Spent]
    """Model calls by purpose."""
    lessons: Mapping[str, int]
    """Lessons by outcome, and `expired`."""
    calibration: Calibration


def of(workspace: Workspace) -> Stats:
    """The figures of a project.

    Raises:
        RefusedError: the ledger was altered.
    """
    sessions = records(workspace.home)
    calls = list(_calls(workspace.home / "model-calls.jsonl"))
    fixed = [one for one in sessions if one.change_id]
    states = {change.change_id: change.state for change in changes.history(workspace.home)}
    tried = [one for session in sessions for one in session.hypotheses]
    asked = [call for call in calls if call["outcome"] not in LOOKUPS]
    hits = sum(call["outcome"] == CACHED for call in calls)
    tokens = sum(_whole(call["input_tokens"]) + _whole(call["output_tokens"]) for call in asked)
    costs = [float(c["cost_usd"]) for c in asked if isinstance(c["cost_usd"], int | float)]
    return Stats(
        sessions=len(sessions),
        proven=_share(sum(_is_proven(one) for one in sessions), len(sessions)),
        committed=_share(len(fixed), len(sessions)),
        held=_share(sum(state == changes.APPLIED for state in states.values()), len(states)),
        without_engineer=_share(sum(one.by_expert for one in fixed), len(fixed)),
        fix_s=_spread([(one.ended_ns - one.started_ns) / 1e9 for one in fixed]),
        failure_to_fix_s=_spread(
            [(one.ended_ns - one.failed_ns) / 1e9 for one in fixed if one.failed_ns]
        ),
        trial_s=_spread([ms / 1e3 for one in sessions for ms in one.trials_ms]),
        tokens_per_fix=tokens / len(fixed) if fixed else None,
        cost_per_fix_usd=sum(costs) / len(fixed) if fixed and costs else None,
        guard=dict(Counter(one.guard for one in tried if one.guard)),
        cache_hits=_share(hits, len(calls) - len(asked)),
        operations={
            purpose: spent([call for call in asked if call["purpose"] == purpose])
            for purpose in sorted({str(call["purpose"]) for call in asked})
        },
        lessons=_lessons(workspace.home),
        calibration=calibrate(tried),
    )


def calibrate(tried: Sequence[Tried]) -> Calibration:
    """Stated confidence beside what the trials said; hypotheses without a trial do not count."""
    judged = [(one.confidence, one.verdict == FIXED) for one in tried if one.verdict]
    if not judged:
        return Calibration(0, None, None, ())
    base = statistics.fmean(fixed for _, fixed in judged)
    bands = []
    for low, high in BANDS:
        inside = [(stated, fixed) for stated, fixed in judged if low <= stated < high]
        if inside:
            stated = statistics.fmean(one for one, _ in inside)
            share = statistics.fmean(fixed for _, fixed in inside)
            bands.append(Band(low, min(high, 1.0), len(inside), stated, share))
    return Calibration(
        tried=len(judged),
        brier=statistics.fmean((stated - fixed) ** 2 for stated, fixed in judged),
        base_brier=statistics.fmean((base - fixed) ** 2 for _, fixed in judged),
        bands=tuple(bands),
    )


def costs(workspace: Workspace) -> dict[str, dict[str, Spent]]:
    """Model calls by `model`, `purpose` and `day` (UTC), each by name."""
    log = workspace.home / "model-calls.jsonl"
    calls = [call for call in _calls(log) if call["outcome"] not in LOOKUPS]
    keys: dict[str, Callable[[Mapping[str, Json]], str]] = {
        "model": lambda call: str(call["model"]),
        "purpose": lambda call: str(call["purpose"]),
        "day": lambda call: _day(_whole(call["time_ns"])),
    }
    found: dict[str, dict[str, Spent]] = {}
    for title, key in keys.items():
        names = sorted({key(call) for call in calls})
        found[title] = {
            name: spent([call for call in calls if key(call) == name]) for name in names
        }
    return found


def spent(calls: Sequence[Mapping[str, Json]]) -> Spent:
    """The sum of some model calls."""
    priced = [float(c["cost_usd"]) for c in calls if isinstance(c["cost_usd"], int | float)]
    times = [float(c["duration_s"]) for c in calls if isinstance(c["duration_s"], int | float)]
    spread = _spread(times)
    return Spent(
        calls=len(calls),
        failed=sum(not str(call["outcome"]).startswith("ok") for call in calls),
        input_tokens=sum(_whole(call["input_tokens"]) for call in calls),
        output_tokens=sum(_whole(call["output_tokens"]) for call in calls),
        cost_usd=sum(priced) if priced else None,
        unpriced=len(calls) - len(priced),
        p50_s=spread[0] if spread else None,
        p90_s=spread[1] if spread else None,
    )


def _is_proven(one: FixRecord) -> bool:
    return any(tried.verdict == FIXED for tried in one.hypotheses)


def _share(count: int, total: int) -> Share:
    return Share(count, total, wilson(count, total))


def _spread(values: Sequence[float]) -> tuple[float, float] | None:
    """Median and 90th percentile (inclusive method)."""
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0]
    return statistics.median(values), statistics.quantiles(values, n=10, method="inclusive")[-1]


def _lessons(folder: Path) -> dict[str, int]:
    kept = lessons_of(folder).all()
    counted = Counter(lesson.outcome.value for lesson in kept)
    found = {outcome.value: counted[outcome.value] for outcome in LessonOutcome}
    return {**found, "expired": sum(lesson.is_expired for lesson in kept)}


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).date().isoformat()


def _whole(value: Json) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _calls(path: Path) -> Iterator[dict[str, Json]]:
    """Lines of the call log that can be read."""
    wanted = ("time_ns", "model", "purpose", "input_tokens", "output_tokens", "cost_usd")
    for call in home.read_lines(path):
        if all(key in call for key in wanted):
            yield {"outcome": "ok", "duration_s": None, **call}
