"""Replays one recorded run at any commit, and says how often its checks hold there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from refinery.codebase import history
from refinery.codebase.repository import Repository
from refinery.detectors import observe
from refinery.errors import InputError
from refinery.model.trace import Json, Trace
from refinery.model.verdict import Check, Fidelity, ReplayResult
from refinery.replay import luck, scoring
from refinery.replay.cases import Case, Planned, TrialRequest
from refinery.replay.program import Agent, Code
from refinery.replay.runner import Batch, Replayed, replay, require_entry
from refinery.replay.session import Rules
from refinery.replay.tape import Tape

_MAX_WHY = 300


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the replays at one commit showed."""

    commit: str
    passed: int
    total: int
    why: str = ""
    """Why it cannot be judged; empty when it can."""
    is_live: bool = False
    """Whether a live model answered some request."""
    seen: str = ""
    """What the first failing check saw."""
    with_changes: bool = False
    """Whether the uncommitted changes of the recording were there."""

    @property
    def is_testable(self) -> bool:
        """Whether the replays say something of the commit."""
        return not self.why

    @property
    def is_bad(self) -> bool:
        """Whether a replay failed its checks."""
        return self.is_testable and self.passed < self.total

    @property
    def is_mixed(self) -> bool:
        """Whether some replays passed and some failed."""
        return 0 < self.passed < self.total


@dataclass(slots=True)
class Oracle:
    """Judges commits; what was replayed once is not replayed again."""

    trace: Trace
    tape: Tape
    wanted: tuple[Check, ...]
    agent: Agent
    repository: Repository
    is_moody: bool = False
    """Whether replays of one commit both passed and failed."""
    _known: dict[tuple[str, bool], Evidence] = field(default_factory=dict)
    _meaning: dict[str, dict[str, Json]] = field(default_factory=dict)

    @property
    def tested(self) -> tuple[Evidence, ...]:
        """What is known of each commit that was replayed, in that order."""
        return tuple(self._known.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        skipped = sum(not found.is_testable for found in self._known.values())
        some = "1 commit" if skipped == 1 else f"{skipped} commits"
        return (f"{some} could not be replayed and counted for nothing",) if skipped else ()

    def ask(self, commit: str, repeats: int, *, with_changes: bool = False) -> Evidence:
        """Replay a commit until it has so many replays, or cannot be judged.

        Raises:
            RefusedError: no sandbox holds here.
        """
        key = (commit, with_changes)
        known = self._known.get(key) or Evidence(commit, 0, 0, with_changes=with_changes)
        missing = repeats - known.total
        if missing <= 0 or not known.is_testable:
            return known
        found = self._asked(known, missing)
        self._known[key] = found
        self.is_moody = self.is_moody or found.is_mixed
        return found

    def reproduces(self, commit: str, *, with_changes: bool = False) -> Evidence:
        """Replay a commit once with the recorded luck; counts for nothing else.

        Raises:
            RefusedError: no sandbox holds here.
        """
        empty = Evidence(commit, 0, 0, with_changes=with_changes)
        return self._asked(empty, 1, is_exact=True)

    def _tape(self, number: int, *, is_exact: bool) -> Tape:
        """The tape of one replay: each draws its own random numbers, the same at each commit."""
        if is_exact:
            return self.tape
        return luck.drawn_anew(self.tape, f"{self.tape.trace_id}/{number}")

    def _asked(self, known: Evidence, repeats: int, *, is_exact: bool = False) -> Evidence:
        entry = require_entry(self.tape)
        is_recorded = known.commit == entry.commit
        has_changes = known.with_changes and is_recorded
        base = entry.commit or known.commit
        batch = Batch(
            agent=self.agent,
            code=Code(known.commit, entry.dirty_diff if has_changes else None),
            tapes=tuple(self._tape(known.total + n, is_exact=is_exact) for n in range(repeats)),
            touched=self._touched(known.commit, base),
            rules=Rules(
                is_unchanged=is_recorded and (has_changes or not entry.dirty_diff),
                meaning=self._meaning,
            ),
            name=f"{known.commit} {known.total}",
        )
        try:
            done = replay(batch)
        except InputError as error:
            return Evidence(known.commit, 0, 0, f"it cannot be exported: {error}"[:_MAX_WHY])
        if is_recorded and not self._meaning:
            self._meaning = {k: v for one in done for k, v in one.learnt.items()}
        return self._scored(known, done, base)

    def _touched(self, commit: str, base: str) -> tuple[str, ...]:
        """Paths that are not as recorded: tools and retrievers that use them run for real."""
        if commit == base:
            return ()
        try:
            return tuple(history.changed_paths(self.repository, base, commit))
        except InputError:
            return ()

    def _scored(self, known: Evidence, done: Sequence[Replayed], base: str) -> Evidence:
        if why := next((why for one in done if (why := _untestable(one.result))), None):
            return Evidence(known.commit, 0, 0, why[:_MAX_WHY], with_changes=known.with_changes)
        case = Case(self.trace, self.wanted)
        request = TrialRequest("", None, (case,), (), self.agent, base, observe=observe)
        planned = Planned(case, self.tape, False, None, False)
        scored = scoring.score(request, [(planned, one) for one in done])
        held = [all(check.held for check in result.checks) for _, result in scored]
        details = (c.detail for _, r in scored for c in r.checks if not c.held)
        is_live = any(
            step.fidelity is Fidelity.LIVE and step.kind == "llm"
            for one in done
            for step in one.result.steps
        )
        return Evidence(
            known.commit,
            known.passed + sum(held),
            known.total + len(held),
            is_live=known.is_live or is_live,
            seen=known.seen or next(details, ""),
            with_changes=known.with_changes,
        )


def _untestable(result: ReplayResult) -> str | None:
    """Why a replay says nothing of its commit; None when it does."""
    step = next((s for s in result.steps if s.fidelity is Fidelity.UNANSWERED), None)
    if step is not None:
        return f"{step.kind} {step.name} was not answered: {step.detail}"
    if result.status == "timeout":
        return f"it did not end: {result.error}"
    if result.status == "error" and not result.replayed and not result.steps:
        return f"it does not start: {result.error}"
    return None


def entry_files(repository: Repository, commit: str, target: str, folder: str) -> list[str]:
    """Files of a commit that hold the module of an entry point.

    Args:
        repository: of the agent.
        commit: where the files are looked for.
        target: `module:qualname`.
        folder: where the program is run, relative to the repository's root.
    """
    parts = target.partition(":")[0].split(".")
    ends = ["/".join(parts) + ".py", "/".join(parts) + "/__init__.py"]
    files = repository.files(commit)
    base = PurePosixPath(folder)
    beside = [str(base / end) for end in ends]
    exact = [path for path in files if path in beside]
    return exact or [path for path in files if path.endswith(tuple(f"/{end}" for end in ends))]
