"""Which commit broke it: halves the user's history, with the replay of a trace as the judge.

At each commit the agent's code is exported and replayed in the sandbox; the work tree is not
touched. A request that older code sends otherwise goes to the agent's own model, or leaves the
commit untestable. Tools and retrievers whose code is not as recorded run for real.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.codebase import history
from refinery.codebase.history import Commit
from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.intervals import wilson
from refinery.llm.purse import Purse
from refinery.model.codec import encode
from refinery.model.trace import Json, Trace
from refinery.model.verdict import Check
from refinery.replay.checks import parse as parse_check
from refinery.replay.configure import LIVE_REQUESTS, configure
from refinery.replay.halving import Standing, first_testable, halve
from refinery.replay.runner import require_entry
from refinery.replay.spending import Metered, Spent, spent_by
from refinery.replay.statistics import fisher
from refinery.replay.tape import Tape, with_entry
from refinery.workflows import repositories, traces
from refinery.workflows.commit_trials import Evidence, Oracle, entry_files
from refinery.workflows.wiring import Workspace

FOUND, CANDIDATES, UNCOMMITTED = "found", "candidates", "uncommitted"
NOT_IN_HISTORY, NOT_REPRODUCED, UNCLEAR = "not in history", "not reproduced", "unclear"
MOODY_REPEATS = 16
"""Replays of one commit at most, when the agent does not always do the same; chosen by us."""
_SURE = 0.05


@dataclass(frozen=True, slots=True)
class BisectRequest:
    """What is looked for, and how far."""

    repository: Path | None = None
    good: str | None = None
    """A commit at which it worked; None: the one that brought the entry point."""
    bad: str | None = None
    """A commit at which it fails; None: the recorded one."""
    checks: tuple[str, ...] = ()
    """None: those of the trace's label, else what the diagnosis found must be gone."""
    repeats: int | None = None
    """Most replays of one commit; None: 4 at the ends, more only when results differ."""
    unsandboxed: bool = False
    max_requests: int | None = None
    """Most live model requests; None: `configure.LIVE_REQUESTS`."""
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True)
class BisectOutcome:
    """What was found."""

    trace_id: str
    state: str
    """`found`, `candidates` (one of several that cannot be told apart), `uncommitted` (what was
    not committed when it was recorded), `not in history` (it fails at the oldest, too),
    `not reproduced`, or `unclear` (the evidence does not separate the commit from its parent)."""
    reason: str
    checks: tuple[str, ...]
    good: str
    bad: str
    commits: int
    """Commits of the line between them."""
    first_bad: Commit | None = None
    stat: str = ""
    parent: Evidence | None = None
    itself: Evidence | None = None
    p_value: float | None = None
    """Fisher's exact test that the parent passes more often than the commit by chance."""
    candidates: tuple[Commit, ...] = ()
    tested: tuple[Evidence, ...] = ()
    """In the order they were replayed."""
    sandbox: str = ""
    spent: Spent = Spent(0, 0.0, 0)  # noqa: RUF009  # frozen, so it may be shared
    warnings: tuple[str, ...] = ()


def bisect(
    workspace: Workspace,
    trace: Trace,
    request: BisectRequest | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> BisectOutcome:
    """Find the commit from which on a recorded run fails.

    Args:
        workspace: whose settings say how the agent is run; holds the trace's label.
        trace: a failing run.
        request: which line of history, what failing means, and how far to go.
        say: is told of each commit, a line at a time.

    Raises:
        InputError: the trace names no entry point, nothing says what is wrong with it, or a
            commit cannot be read.
        RefusedError: no sandbox holds here.
    """
    search = _Search.begin(workspace, trace, request or BisectRequest(), say)
    return search.run()


@dataclass(slots=True)
class _Search:
    """One search under way."""

    trace: Trace
    request: BisectRequest
    oracle: Oracle
    repository: Repository
    good: str
    bad: str
    say: Callable[[str], None]
    is_thorough: bool = False
    """Whether the search was begun in the knowledge that results differ between replays."""

    @classmethod
    def begin(
        cls,
        workspace: Workspace,
        trace: Trace,
        request: BisectRequest,
        say: Callable[[str], None],
    ) -> "_Search":
        trace = with_entry(trace, workspace.settings.values.agent.entrypoint)
        tape = Tape.from_trace(trace)
        entry = require_entry(tape)
        wanted = _wanted(workspace, trace, request)
        found = Repository.open(repositories.choose(request.repository, trace))
        configured = configure(
            workspace.settings,
            found.root,
            allow_unsandboxed=request.unsandboxed,
            live_requests=LIVE_REQUESTS if request.max_requests is None else request.max_requests,
        )
        for warning in configured.warnings:
            say(warning)
        agent = configured.agent
        if agent.upstream is not None:
            agent = replace(agent, upstream=Metered(agent.upstream, Purse(request.budget_usd)))
        bad = found.resolve(request.bad or entry.commit or "HEAD")
        begun = history.beginning(found, bad, entry_files(found, bad, entry.target, tape.folder))
        good = found.resolve(request.good) if request.good else begun
        if good is None:
            raise InputError(
                f"no commit of the line brought {entry.target}",
                hint="name a commit at which it worked with --good",
            )
        oracle = Oracle(trace, tape, wanted, agent, found)
        return cls(trace, request, oracle, found, good, bad, say)

    def run(self) -> BisectOutcome:
        """Look at the ends, halve the line, follow merges, and confirm."""
        self.say(f"checks: {', '.join(map(str, self.oracle.wanted))}")
        ends = self._ends()
        if isinstance(ends, BisectOutcome):
            return ends
        return self._between(*ends)

    def _ends(self) -> BisectOutcome | tuple[Evidence, Evidence, list[str]]:
        recorded = self.oracle.tape.entry
        if recorded is not None and recorded.dirty_diff and recorded.commit == self.bad:
            whole = self._told(self.oracle.ask(self.bad, 4, with_changes=True))
            clean = self._told(self.oracle.ask(self.bad, 4))
            if whole.is_bad and clean.is_testable and not clean.is_bad:
                return self._end(UNCOMMITTED, "the commit passes without the uncommitted changes")
        bad = self._told(self.oracle.ask(self.bad, self.request.repeats or 4))
        if bad.is_testable and not bad.is_bad and self.oracle.reproduces(self.bad).is_bad:
            self.say("it fails with the recorded random numbers, and passes with others")
            self.oracle.is_moody = True
        if self.oracle.is_moody:
            self.is_thorough = True
            bad = self._told(self.oracle.ask(self.bad, self._most))
        if not bad.is_bad:
            why = bad.why or f"{bad.passed} of {bad.total} replays pass"
            return self._end(NOT_REPRODUCED, f"at {self.bad[:12]} it does not fail: {why}")
        commits = [self.good, *history.line(self.repository, self.good, self.bad)]
        repeats = self.request.repeats or (self._most if self.oracle.is_moody else 4)

        def judge(at: int) -> Standing:
            found = self._told(self.oracle.ask(commits[at], repeats))
            return Standing.GOOD if found.is_testable else Standing.UNTESTABLE

        at = first_testable(len(commits) - 1, judge)
        if at is None:
            return self._end(NOT_IN_HISTORY, "no older commit could be replayed")
        good = self.oracle.ask(commits[at], repeats)
        if not self._is_better(good, bad):
            older = "the oldest commit" if at == 0 else "the oldest commit that could be replayed"
            said = f"{good.passed} of {good.total} pass at {good.commit[:12]}, {older}"
            return self._end(NOT_IN_HISTORY, said)
        return good, bad, commits[at + 1 :]

    @property
    def _most(self) -> int:
        return self.request.repeats or MOODY_REPEATS

    def _is_better(self, good: Evidence, bad: Evidence) -> bool:
        if not self.oracle.is_moody:
            return not good.is_bad
        p = fisher((good.passed, good.total), (bad.passed, bad.total))
        return p is not None and p <= _SURE

    def _between(self, good: Evidence, bad: Evidence, commits: list[str]) -> BisectOutcome:
        """Halve a line whose end is bad and whose beginning is good."""

        def judge(at: int) -> Standing:
            found = self._judged(commits[at], good, bad)
            self.say(f"{commits[at][:12]}: {found.value}")
            return found

        self.say(f"{len(commits)} commits between {good.commit[:12]} and {bad.commit[:12]}")
        halved = halve(len(commits), judge)
        if again := self._again():
            return again
        parent = good if halved.last_good < 0 else self.oracle.ask(commits[halved.last_good], 1)
        itself = self.oracle.ask(commits[halved.first_bad], 1)
        if len(halved.candidates) > 1:
            names = [commits[at] for at in halved.candidates]
            several = tuple(history.commit(self.repository, name) for name in names)
            return replace(
                self._end(CANDIDATES, f"{len(names) - 1} of them could not be replayed"),
                candidates=several,
                parent=parent,
                itself=itself,
            )
        found = history.commit(self.repository, itself.commit)
        for tip in found.parents[1:]:
            side = history.side_line(self.repository, found.parents[0], tip)
            if side and self._judged(tip, good, bad) is Standing.BAD:
                self.say(f"{found.sha[:12]} is a merge, and {tip[:12]} fails before it")
                return self._between(parent, self.oracle.ask(tip, 1), side)
        return self._confirmed(found, parent, itself)

    def _judged(self, name: str, good: Evidence, bad: Evidence) -> Standing:
        """Replay a commit until it is clear which end it is like."""
        for repeats in (1, *range(4, self._most + 4, 4)):
            found = self.oracle.ask(name, min(repeats, self._most))
            if not found.is_testable:
                return Standing.UNTESTABLE
            is_settled = repeats > 1 or not found.is_live
            if not self.oracle.is_moody and is_settled:
                return Standing.BAD if found.is_bad else Standing.GOOD
            mine = (found.passed, found.total)
            worse = fisher((good.passed, good.total), mine)
            better = fisher(mine, (bad.passed, bad.total))
            assert worse is not None and better is not None
            if min(worse, better) <= _SURE and worse != better:
                return Standing.BAD if worse < better else Standing.GOOD
        return Standing.UNTESTABLE

    def _confirmed(self, found: Commit, parent: Evidence, itself: Evidence) -> BisectOutcome:
        repeats = self.request.repeats or (self._most if self.oracle.is_moody else 4)
        parent = self._told(self.oracle.ask(parent.commit, repeats))
        itself = self._told(self.oracle.ask(itself.commit, repeats))
        if again := self._again():
            return again
        p = fisher((parent.passed, parent.total), (itself.passed, itself.total))
        said = (
            f"its parent passes {parent.passed} of {parent.total}, "
            f"itself {itself.passed} of {itself.total}"
        )
        is_clear = not self.oracle.is_moody or (p is not None and p <= _SURE)
        return replace(
            self._end(FOUND if is_clear else UNCLEAR, said),
            first_bad=found,
            stat=history.stat(self.repository, found.sha),
            parent=parent,
            itself=itself,
            p_value=p,
        )

    def _again(self) -> BisectOutcome | None:
        """Begin anew, with more replays, when results turned out to differ between them."""
        if not self.oracle.is_moody or self.is_thorough:
            return None
        self.is_thorough = True
        self.say("results differ from replay to replay: looking again with more of them")
        return self.run()

    def _told(self, found: Evidence) -> Evidence:
        said = found.why or f"{found.passed} of {found.total} pass"
        self.say(f"{found.commit[:12]}: {said}")
        return found

    def _end(self, state: str, reason: str) -> BisectOutcome:
        line = history.line(self.repository, self.good, self.bad)
        return BisectOutcome(
            trace_id=self.trace.trace_id,
            state=state,
            reason=reason,
            checks=tuple(map(str, self.oracle.wanted)),
            good=self.good,
            bad=self.bad,
            commits=len(line),
            tested=self.oracle.tested,
            sandbox=self.oracle.agent.tier,
            spent=spent_by(self.oracle.agent.upstream),
            warnings=self.oracle.warnings,
        )


def _wanted(workspace: Workspace, trace: Trace, request: BisectRequest) -> tuple[Check, ...]:
    """What a good commit must hold."""
    from refinery import detectors

    label = traces.label_of(workspace, trace.trace_id)
    texts = request.checks or (label.checks if label else ())
    if texts:
        return tuple(parse_check(text) for text in texts)
    found = detectors.diagnose(trace).findings
    gone = dict.fromkeys(finding.category for finding in found)
    if not gone and trace.status.value != "error":
        raise InputError(
            f"nothing says what is wrong with trace {trace.trace_id}",
            hint="say what must hold, e.g. --check 'contains:30 days', or label it",
        )
    return (Check("no_error"), *(Check("signal_gone", name) for name in gone))


def to_document(outcome: BisectOutcome) -> dict[str, Json]:
    """The outcome as the JSON of `refinery bisect --json`."""
    told = dict(encode(outcome))
    for name in ("parent", "itself"):
        found: Evidence | None = getattr(outcome, name)
        told[name] = _evidence(found) if found else None
    told["tested"] = [_evidence(found) for found in outcome.tested]
    return told


def _evidence(found: Evidence) -> dict[str, Json]:
    interval = wilson(found.passed, found.total)
    return {**encode(found), "interval": list(interval) if interval else None}
