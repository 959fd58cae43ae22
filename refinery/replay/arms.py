"""Runs the arms of a trial: one state of the code, replayed over cases, added to as needed."""

import ast
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refinery import syntax
from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.intervals import wilson
from refinery.model.patch import FileChange
from refinery.model.trace import Json
from refinery.model.verdict import Arm, ReplayResult
from refinery.replay import canonical, compare, judging, luck, scoring
from refinery.replay.cases import Planned, TrialRequest
from refinery.replay.judging import FAILING, PASSING
from refinery.replay.program import Code
from refinery.replay.runner import Batch, replay
from refinery.replay.session import Rules

Meaning = Mapping[str, Mapping[str, Json]]
Scored = tuple[Planned, ReplayResult]
_COMMENT = b"\n# nothing is changed here\n"


@dataclass(frozen=True, slots=True)
class Variant:
    """The code of one arm, and how its requests are answered."""

    name: str
    lane: str
    """What live answers are filed under."""
    changes: tuple[FileChange, ...] = ()
    is_base: bool = False
    """Whether it is the code the traces were recorded with."""
    asks_again: bool = False
    """Whether recorded requests are asked of the live model too."""


@dataclass
class Growing:
    """Replays of one variant; safe for threads, so that trials can share one."""

    request: TrialRequest
    planned: tuple[Planned, ...]
    variant: Variant
    meaning: Meaning = field(default_factory=dict)
    learnt: dict[str, dict[str, Json]] = field(default_factory=dict)
    """What recorded calls were seen to send, by run id."""
    _found: dict[int, list[ReplayResult]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def upto(self, failing: int, passing: int) -> list[Scored]:
        """The first replays of each failing and each passing case, run when they are missing.

        Raises:
            InputError, ReplayError: nothing could be replayed.
            RefusedError: the sandbox did not start.
        """
        with self._lock:
            todo = [
                index
                for index, one in enumerate(self.planned)
                for _ in range(self._wanted(one, failing, passing) - len(self._results(index)))
            ]
            if todo:
                self._run(todo)
            return [
                (one, result)
                for index, one in enumerate(self.planned)
                for result in self._results(index)[: self._wanted(one, failing, passing)]
            ]

    def _wanted(self, one: Planned, failing: int, passing: int) -> int:
        return passing if one.is_control else failing

    def _results(self, index: int) -> list[ReplayResult]:
        return self._found.setdefault(index, [])

    def _run(self, todo: Sequence[int]) -> None:
        done = max(map(len, self._found.values()), default=0)
        for program in dict.fromkeys(self.planned[index].program for index in todo):
            members = [index for index in todo if self.planned[index].program == program]
            batch = self._batch([self.planned[index] for index in members], done)
            pairs = list(zip((self.planned[i] for i in members), replay(batch), strict=True))
            for _, replayed in pairs:
                self.learnt.update(replayed.learnt)
            scored = scoring.score(self.request, pairs)
            for index, (_, result) in zip(members, scored, strict=True):
                self._results(index).append(result)

    def _batch(self, members: Sequence[Planned], done: int) -> Batch:
        first, variant = members[0], self.variant
        lane = f"{variant.lane}#{done}" if done else variant.lane
        seed = f"{self.request.seed}/{variant.name}/{lane}"
        rules = Rules(
            is_unchanged=variant.is_base and first.is_unchanged,
            meaning=self.meaning,
            known=_known(variant.changes),
        )
        return Batch(
            agent=self.request.agent,
            code=Code(self.request.base_commit, first.dirty_diff, variant.changes),
            tapes=tuple(
                luck.drawn_anew(one.tape, f"{seed}/{one.tape.trace_id}/{n}")
                for n, one in enumerate(members)
            ),
            touched=self.request.paths,
            rules=rules,
            asked_again=len(members) if variant.asks_again else 0,
            name=lane,
        )


def _known(changes: Iterable[FileChange]) -> frozenset[str]:
    """UUIDs a patch adds: they are data, not fresh in every run."""
    texts = ((change.after or b"").decode("utf-8", "replace") for change in changes)
    return frozenset(found for text in texts for found in canonical.uuids(text))


def lane_of(name: str) -> str:
    """The variant a lane of live answers belongs to, see `live_answers.Exchange`."""
    return name.partition("/")[0].removesuffix(" again").partition("#")[0]


def of(name: str, scored: Sequence[Scored]) -> list[Arm]:
    """The arms of a variant: one of failing, one of passing traces, where there are any."""
    arms = []
    for group, is_control in ((FAILING, False), (PASSING, True)):
        results = tuple(result for one, result in scored if one.is_control is is_control)
        if results:
            passed = sum(judging.is_pass(result) for result in results)
            interval = wilson(passed, len(results))
            arms.append(Arm(name, group, passed, len(results), interval, results))
    return arms


def changed_controls(name: str, scored: Sequence[Scored]) -> list[str]:
    """A warning that counts controls whose result is not the recorded one."""
    controls = [(one, r) for one, r in scored if one.is_control and r.status == "ok"]
    changed = sum(not compare.is_same_output(one.tape, r.output) for one, r in controls)
    if not changed:
        return []
    return [f"{changed} of {len(controls)} passing replays ({name}) give another result"]


def no_op(repository: Repository, commit: str, paths: Iterable[str]) -> tuple[FileChange, ...]:
    """A patch of the same Python files that changes no statement: a comment at the end of each.

    Files that are not Python, or do not parse, are left alone: white space may count in them.
    """
    changes = []
    for path in paths:
        before = _content(repository, path, commit) if path.endswith(".py") else None
        if before is not None and _tree(before) == _tree(before + _COMMENT) is not None:
            changes.append(FileChange(path, before, before + _COMMENT))
    return tuple(changes)


def _content(repository: Repository, path: str, commit: str) -> bytes | None:
    try:
        return repository.read(path, commit)
    except InputError:
        return None


def _tree(content: bytes) -> str | None:
    try:
        return ast.dump(syntax.parse_module(content))
    except (SyntaxError, RecursionError):
        return None
