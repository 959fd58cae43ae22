"""The user's own tests around a commit: who may name them, and what follows from how they end."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from refinery.codebase.repository import Repository
from refinery.errors import InputError, RefusedError
from refinery.model.failure import Diagnosis
from refinery.model.verdict import Change
from refinery.safety.ledger import Ledger
from refinery.settings import load
from refinery.workflows import changes
from refinery.workflows.fix import Decision
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.test_runs import Ending, run
from refinery.workflows.user_tests import UserTests, chosen, named
from tests.kits.repositories import commit_all, git, make_repository, write_files
from tests.workflows.test_changes import commit, home_of

NO_ONE = "agent.py must not say ONE"
CHECK = f"import sys; sys.exit('{NO_ONE}' if 'ONE' in open('agent.py').read() else 0)"
BREAKS = f'{sys.executable} -c "{CHECK}"'
SOURCE = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo", {"agent.py": SOURCE, ".gitignore": ".refinery/\n"})


def judged(folder: Path, command: str, branch: str | None = None) -> tuple[FixOutcome, list[str]]:
    """Approve, commit and judge a change, as `refinery fix` does."""
    said: list[str] = []
    tests = UserTests(command, said.append, timeout_s=120)
    none = Diagnosis("t", (), ())
    before = FixOutcome("session", "t", folder, none, (), (), None, None)
    assert tests.asking(lambda _: Decision("yes", "ada"))(before).answer == "yes"
    more = {"branch": branch} if branch else {}
    made = commit(folder, "one", "ONE", **more)
    return tests.judge(replace(before, change=made), home_of(folder)), said


def test_a_change_that_breaks_the_tests_is_rolled_back(folder: Path) -> None:
    write_files(folder, {"agent.py": SOURCE + "mine\n"})

    outcome, said = judged(folder, BREAKS)

    assert outcome.tests is not None and outcome.tests.rolled_back
    assert outcome.tests.before.ending is Ending.PASSED
    assert (outcome.tests.after.ending, outcome.tests.after.exit_code) == (Ending.FAILED, 1)
    assert NO_ONE in outcome.tests.after.output
    assert (folder / "agent.py").read_text() == SOURCE + "mine\n"
    assert git(folder, "show", "HEAD:agent.py") == SOURCE
    assert "passed before the change and failed with it" in git(folder, "log", "-1")
    assert changes.history(home_of(folder))[0].state == changes.ROLLED_BACK
    kinds = [entry.kind for entry in Ledger(home_of(folder) / "ledger.jsonl").entries()]
    assert kinds[-4:] == ["testing", "tested", "rolling back", "rolled back"]
    assert "rolled back" in said[-1]


def test_a_change_the_tests_pass_with_stays(folder: Path) -> None:
    outcome, _ = judged(folder, f"{sys.executable} -c 'print(1)'")

    assert outcome.tests is not None and not outcome.tests.rolled_back
    assert "ONE" in (folder / "agent.py").read_text()
    assert changes.recover(Repository.open(folder), home_of(folder)) == []


def test_tests_that_failed_before_do_not_blame_the_change(folder: Path) -> None:
    outcome, said = judged(folder, f"{sys.executable} -c 'raise SystemExit(3)'")

    assert outcome.tests is not None and not outcome.tests.rolled_back
    assert outcome.tests.before.exit_code == 3
    assert "ONE" in (folder / "agent.py").read_text()
    assert "not to blame" in said[-1]


def test_a_change_on_another_branch_is_tested_in_an_export(folder: Path) -> None:
    head = git(folder, "rev-parse", "HEAD")

    outcome, _ = judged(folder, BREAKS, branch="fixes")

    assert outcome.tests is not None and outcome.tests.rolled_back
    assert git(folder, "show", "fixes:agent.py") == SOURCE
    assert git(folder, "rev-parse", "HEAD") == head
    assert (folder / "agent.py").read_text() == SOURCE


def test_a_change_edited_while_its_tests_ran_is_kept_and_said(folder: Path) -> None:
    edit = "import pathlib; p = pathlib.Path('agent.py'); t = p.read_text()"
    code = f"{edit}; 'ONE' in t and (p.write_text(t.replace('ONE', 'ours')), exit(1))"

    with pytest.raises(RefusedError, match="cannot be taken back"):
        judged(folder, f'{sys.executable} -c "{code}"')

    assert "ours" in (folder / "agent.py").read_text()
    assert changes.history(home_of(folder))[0].state == changes.APPLIED


def test_tests_a_kill_interrupted_are_told_once(folder: Path) -> None:
    made = commit(folder)
    home = home_of(folder)
    Ledger(home / "ledger.jsonl").append(changes.TESTING, {"change": encoded(made)})

    said = changes.recover(Repository.open(folder), home)

    assert "were interrupted" in said[0]
    assert f"refinery rollback {made.change_id}" in said[0]
    assert changes.recover(Repository.open(folder), home) == []
    assert changes.history(home) == [made]


def encoded(change: Change) -> dict[str, object]:
    from refinery.model.codec import encode

    return encode(change)


def test_a_run_is_ended_after_its_time(tmp_path: Path) -> None:
    started = time.monotonic()

    found = run(["sh", "-c", "echo begun; sleep 60 & wait"], tmp_path, timeout_s=2.0)

    assert (found.ending, found.exit_code, found.output) == (Ending.TIMED_OUT, None, "begun\n")
    assert time.monotonic() - started < 40


def test_only_the_end_of_a_long_output_is_kept(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000 + 'end')"

    found = run([sys.executable, "-c", code], tmp_path, timeout_s=30)

    assert len(found.output) == 4_000
    assert found.output.endswith("xend")


def test_a_command_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be started"):
        run(["/nowhere/at/all"], tmp_path, timeout_s=1)
    with pytest.raises(InputError, match="quotation"):
        UserTests("sh -c 'open", print)
    with pytest.raises(InputError, match="empty"):
        UserTests("# ".strip("# "), print)


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_command_the_repository_names_runs_only_when_approved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_approved: bool
) -> None:
    write_files(folder, {"refinery.toml": '[agent]\ntest_command = "touch ran"\n'})
    said: list[str] = []

    tests = chosen(load(folder), None, lambda _: is_approved, said.append)

    assert (tests is not None) == is_approved
    assert [line for line in said if "was not approved" in line] == said[: not is_approved]
    monkeypatch.setenv("REFINERY_AGENT__TEST_COMMAND", "mine")
    own = named(load(folder), None)
    assert own is not None and (own.command, own.is_proposal) == ("mine", False)
    given = named(load(folder), "flag")
    assert given is not None and not given.is_proposal
    assert named(load(folder), "") is None
    commit_all(folder, "settings")
