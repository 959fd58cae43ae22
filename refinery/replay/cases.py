"""What a trial is made of: recorded runs, what they should have been, and the patch."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refinery.model.patch import Patch
from refinery.model.trace import Json, Trace
from refinery.model.verdict import Check, Trial
from refinery.replay.checks import Judge, Observe
from refinery.replay.program import Agent
from refinery.replay.tape import Tape

MAX_RUNS = 120
"""Most replays of one trial unless the user says otherwise; chosen by us."""
_DIFF_PATH = re.compile(r"^diff --git a/(.+) b/(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded run and what it should have been."""

    trace: Trace
    checks: tuple[Check, ...] = ()
    """Without any, a failing run must end without error and without the signals named in
    `categories`; a passing one without error and without a new signal that is at least likely."""
    categories: tuple[str, ...] = ()
    """Detectors whose signals a fix must remove."""

    @property
    def wanted(self) -> tuple[Check, ...]:
        """The checks a failing run is held against."""
        if self.checks:
            return self.checks
        gone = (Check("signal_gone", category) for category in self.categories)
        return (Check("no_error"), *gone)


def _quiet(text: str) -> None:
    del text


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What to try."""

    hypothesis_id: str
    patch: Patch | None
    """None tries nothing: a no-op arm, which must never be found to fix anything."""
    failing: tuple[Case, ...]
    controls: tuple[Case, ...]
    agent: Agent
    base_commit: str
    """The commit the patch is made for; both arms run its code."""
    repeats: int = 1
    """Fewest replays of each failing trace in each arm; `sequential` says how many there are."""
    observe: Observe | None = None
    """The detectors; needed by checks of kind `signal_gone` and by controls without checks."""
    judge: Judge | None = None
    """Who evaluates checks of kind `judge`; without one they do not hold."""
    touched: tuple[str, ...] = ()
    """More paths to count as touched, see `trial`; those of the patch are always counted."""
    patches: int = 1
    """How many patches are tried on these traces; the more, the stronger the evidence needed."""
    max_runs: int = MAX_RUNS
    """Most replays, all arms together; the first look is always taken whole."""
    held_out: tuple[Case, ...] = ()
    """Failing runs a patch that helps is confirmed on; none: it is not confirmed."""
    held_controls: tuple[Case, ...] = ()
    """Passing runs that are replayed for the confirmation only."""
    seed: int = 0
    """What the luck of the replays is made from, see `luck`."""
    lane: str = ""
    """What live answers are filed under; empty: the id of the hypothesis."""
    say: Callable[[str], None] = field(default=_quiet, compare=False)
    """Is told how far the trial is, a line at a time."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All touched paths, in alphabetical order."""
        own = [change.path for change in self.patch.changes] if self.patch else []
        return tuple(sorted({*self.touched, *own}))


def as_tried(trial: Trial, failing: Sequence[Case], controls: Sequence[Case]) -> Mapping[str, Any]:
    """Fields of a request that make a trial run again as it was.

    Args:
        trial: as it ended.
        failing: all failing runs, those of the confirmation too.
        controls: likewise.
    """
    kept = trial.facts.get("plan")
    plan: Mapping[str, Json] = kept if isinstance(kept, Mapping) else {}
    told = plan.get("held_out")
    held = frozenset(map(str, told)) if isinstance(told, list) else frozenset()

    def of(cases: Sequence[Case], *, is_held: bool) -> tuple[Case, ...]:
        return tuple(case for case in cases if (case.trace.trace_id in held) is is_held)

    return {
        "failing": of(failing, is_held=False),
        "held_out": of(failing, is_held=True),
        "controls": of(controls, is_held=False),
        "held_controls": of(controls, is_held=True),
        "patches": int(plan.get("patches") or 1),
        "max_runs": int(plan.get("max_runs") or MAX_RUNS),
        "seed": int(plan.get("seed") or 0),
        "lane": str(plan.get("lane") or ""),
    }


@dataclass(frozen=True, slots=True)
class Planned:
    """A case ready to be replayed."""

    case: Case
    tape: Tape
    is_control: bool
    dirty_diff: str | None
    """Uncommitted changes it was recorded with, when they can be kept."""
    is_unchanged: bool
    """Whether the base commit with these changes is the program that was recorded."""

    @property
    def program(self) -> tuple[str, str, str | None, bool]:
        """Cases of one program in one state are replayed by one process."""
        target = self.tape.entry.target if self.tape.entry else ""
        return target, self.tape.folder, self.dirty_diff, self.is_unchanged


def plan(request: TrialRequest) -> tuple[list[Planned], list[str]]:
    """The cases that can be replayed, failing ones first, and warnings about the others."""
    planned: list[Planned] = []
    warnings: list[str] = []
    for is_control, cases in ((False, request.failing), (True, request.controls)):
        for case in cases:
            tape = Tape.from_trace(case.trace) if case.trace.runs else None
            short = case.trace.trace_id[:18]
            if tape is None or tape.entry is None or tape.entry.kind != "callable":
                warnings.append(f"trace {short} names no callable entry point: left out")
                continue
            planned.append(_planned(request, case, tape, is_control, warnings))
    return planned, warnings


def _planned(
    request: TrialRequest, case: Case, tape: Tape, is_control: bool, warnings: list[str]
) -> Planned:
    entry, short = tape.entry, tape.trace_id[:18]
    assert entry is not None
    is_base = entry.commit == request.base_commit
    if not is_base:
        recorded = (entry.commit or "an unknown commit")[:12]
        warnings.append(
            f"trace {short} was recorded at {recorded}, replayed at {request.base_commit[:12]}"
        )
        return Planned(case, tape, is_control, None, False)
    clash = _paths_of(entry.dirty_diff) & set(request.paths)
    if clash:
        warnings.append(
            f"trace {short} was recorded with uncommitted changes to {', '.join(sorted(clash))}, "
            "which the patch changes too: replayed without them"
        )
    kept = None if clash else entry.dirty_diff
    is_whole = not clash and not _is_diff_lost(case.trace)
    return Planned(case, tape, is_control, kept, is_whole)


def _paths_of(diff: str | None) -> set[str]:
    """Paths a git diff touches."""
    return {path for pair in _DIFF_PATH.findall(diff or "") for path in pair}


def _is_diff_lost(trace: Trace) -> bool:
    """Whether there were uncommitted changes too large to be recorded."""
    kept = (trace.root.metadata or {}).get("refinery") if trace.root else None
    return isinstance(kept, dict) and bool(kept.get("dirty_diff_omitted"))
