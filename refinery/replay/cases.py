"""What a trial is made of: recorded runs, what they should have been, and the patch."""

import re
from dataclasses import dataclass

from refinery.model.patch import Patch
from refinery.model.trace import Trace
from refinery.model.verdict import Check
from refinery.replay.checks import Observe
from refinery.replay.program import Agent
from refinery.replay.tape import Tape

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
    observe: Observe | None = None
    """The detectors; needed by checks of kind `signal_gone` and by controls without checks."""
    touched: tuple[str, ...] = ()
    """More paths to count as touched, see `trial`; those of the patch are always counted."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All touched paths, in alphabetical order."""
        own = [change.path for change in self.patch.changes] if self.patch else []
        return tuple(sorted({*self.touched, *own}))


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
