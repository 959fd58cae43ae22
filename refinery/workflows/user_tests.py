"""Runs the user's own tests around a commit, and takes the change back when they fail since.

The command runs once before the commit and once after it, in the user's environment and in the
work tree (in an export when the change goes to another branch). When it passed before and fails
after, the change is rolled back: by a commit of its own that takes out only what the change
wrote, never by moving a ref back, so that it is safe whatever happened meanwhile. When it failed
before as well it says nothing of the change, which then stays.

A repository's own files may name a command, which is a proposal: it runs only after it was
approved, since a cloned repository must not be able to run programs by itself.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.errors import RefusedError
from refinery.model.codec import encode
from refinery.model.trace import Json
from refinery.model.verdict import WORK_TREE, Change
from refinery.safety.ledger import Ledger
from refinery.settings import Settings
from refinery.workflows import changes
from refinery.workflows.fix import Ask, Decision, Say
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.test_runs import Ending, Judged, TestRun, run, split

TIMEOUT_S = 600.0
"""Longest one run of the command may take (chosen by us); longer counts as a failure."""
SETTING = "agent.test_command"


@dataclass(frozen=True, slots=True)
class Named:
    """A test command and where it comes from."""

    command: str
    origin: str
    """`flag`, `environment`, or a file."""
    is_proposal: bool
    """Whether a file of the repository names it: it must be approved before it runs."""


def named(settings: Settings, flag: str | None) -> Named | None:
    """The test command of a flag, else of the settings; None when there is none."""
    if flag is not None:
        return Named(flag, "flag", is_proposal=False) if flag.strip() else None
    command = settings.values.agent.test_command
    if not command or not command.strip():
        return None
    origin = settings.origins.get(SETTING, "default")
    return Named(command, origin, is_proposal=origin == str(settings.project_file))


class UserTests:
    """The tests of one fix: `asking` runs them before the commit, `judge` after it."""

    def __init__(self, command: str, say: Say, timeout_s: float = TIMEOUT_S) -> None:
        self._words = split(command)
        self._command, self._say, self._timeout_s = command, say, timeout_s
        self._before: TestRun | None = None

    def asking(self, ask: Ask) -> Ask:
        """The approval, followed by a run of the tests when it is given."""

        def decide(outcome: FixOutcome) -> Decision:
            decision = ask(outcome)
            if decision.answer == "yes":
                repository = Repository.open(outcome.repository)
                with _tree(repository, None) as folder:
                    self._before = self._run(folder, "before the change")
            return decision

        return decide

    def judge(self, outcome: FixOutcome, home: Path) -> FixOutcome:
        """Run the tests on a committed change, and roll it back when it broke them.

        Raises:
            RefusedError: they fail since the change, and it cannot be taken back by itself.
        """
        if outcome.change is None or self._before is None:
            return outcome
        repository = Repository.open(outcome.repository)
        ledger = Ledger(home / "ledger.jsonl")
        change, told = outcome.change, {"command": self._command}
        ledger.append(changes.TESTING, {"change": encode(change), **told})
        before = self._before
        is_here = change.branch in (repository.branch() or "HEAD", WORK_TREE)
        if not is_here:  # an export lacks what is not committed, so it is compared with another
            with _tree(repository, f"{change.commit}^") as folder:
                before = self._run(folder, "on the branch, without the change")
        with _tree(repository, None if is_here else change.commit) as folder:
            after = self._run(folder, "with the change")
        is_broken = after.ending is not Ending.PASSED and before.ending is Ending.PASSED
        reason = _reason(before, after)
        body: dict[str, Json] = {"ending": after.ending.value, "reason": reason, **told}
        ledger.append(changes.TESTED, {"change": encode(change), **body})
        self._say(reason)
        if is_broken:
            change = _taken_back(repository, home, change, reason)
        judged = Judged(self._command, before, after, is_broken, reason)
        return replace(outcome, change=change, tests=judged)

    def _run(self, folder: Path, when: str) -> TestRun:
        self._say(f"running your tests {when}: {self._command}")
        return run(self._words, folder, self._timeout_s)


@contextlib.contextmanager
def _tree(repository: Repository, commit: str | None) -> Iterator[Path]:
    """The work tree, or an export of a commit that is not checked out."""
    if commit is None:
        yield repository.root
        return
    with tempfile.TemporaryDirectory(prefix="refinery-tests-") as folder:
        repository.export(commit, Path(folder, "tree"))
        yield Path(folder, "tree")


def _reason(before: TestRun, after: TestRun) -> str:
    if after.ending is Ending.PASSED:
        return "your tests pass with the change"
    how = after.ending.value
    if before.ending is Ending.PASSED:
        code = "" if after.exit_code is None else f" (exit code {after.exit_code})"
        return f"your tests passed before the change and {how} with it{code}: it is rolled back"
    return f"your tests {before.ending.value} without the change as well: it is not to blame"


def _taken_back(repository: Repository, home: Path, change: Change, reason: str) -> Change:
    try:
        return changes.rollback(repository, home, change.change_id, reason=reason)
    except RefusedError as error:
        raise RefusedError(
            f"your tests fail since {change.change_id}, which cannot be taken back: {error}",
            hint=error.hint or f"refinery rollback {change.change_id}",
        ) from error


Confirm = Callable[[Named], bool]


def chosen(settings: Settings, flag: str | None, confirm: Confirm, say: Say) -> UserTests | None:
    """The tests to run around a commit; a proposal of the repository's only when confirmed."""
    found = named(settings, flag)
    if found is None:
        return None
    if found.is_proposal and not confirm(found):
        say(
            f"{found.origin} names a test command, which was not approved and does not run: add "
            "--test-command to run one after the commit"
        )
        return None
    return UserTests(found.command, say)
