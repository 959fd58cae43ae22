import json
from pathlib import Path

import pytest

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import ExitCode
from refinery.model.patch import FileChange
from refinery.model.verdict import Change
from refinery.workflows import changes
from tests.cli.calling import call
from tests.kits.repositories import commit_all, git, make_repository, write_files

BEFORE = "one\ntwo\nthree\n"
AFTER = "one\nTWO\u202e\x1b[31m\nthree\n"


@pytest.fixture
def folder(isolated: Path) -> Path:
    return make_repository(isolated, {"agent.py": BEFORE})


@pytest.fixture
def change(folder: Path) -> Change:
    repository = Repository.open(folder)
    made = FileChange("agent.py", BEFORE.encode(), AFTER.encode())
    return changes.commit_change(
        repository,
        build((), (made,), repository.head_commit()),
        trace_id="t",
        title="shout \x1b[31m",
        body="why",
        home=folder / ".refinery",
    )


def test_history_lists_changes_for_people_and_programs(change: Change) -> None:
    shown = call("history")
    assert change.change_id in shown.stdout
    assert "\x1b" not in shown.stdout

    found = call("history", "--json").json["changes"]
    assert [(one["id"], one["commit"], one["state"]) for one in found] == [
        (change.change_id, change.commit, "applied")
    ]


def test_history_without_changes_is_empty(folder: Path) -> None:
    assert call("history", "--json").json["changes"] == []
    assert "No changes yet" in call("history").stdout


def test_rollback_without_a_terminal_needs_yes(change: Change, folder: Path) -> None:
    head = git(folder, "rev-parse", "HEAD")

    for arguments in ((), ("--json",)):
        refused = call("rollback", *arguments)
        assert refused.code == ExitCode.REFUSED

    assert git(folder, "rev-parse", "HEAD") == head


def test_a_dry_run_shows_the_reverse_diff_escaped_and_writes_nothing(
    change: Change, folder: Path
) -> None:
    shown = call("rollback", "--dry-run")

    assert shown.code == ExitCode.DONE
    assert "+two" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout
    assert (folder / "agent.py").read_text() == AFTER
    document = call("rollback", change.change_id, "--dry-run", "--json").json
    assert document["dry_run"]
    assert document["diff"].startswith("--- a/agent.py")


def test_rollback_restores_the_file_and_says_so(change: Change, folder: Path) -> None:
    done = call("rollback", change.change_id[:8], "--yes", "--json")

    assert done.code == ExitCode.DONE
    assert json.loads(done.stdout)["change"]["state"] == "rolled back"
    assert (folder / "agent.py").read_bytes() == BEFORE.encode()
    again = call("rollback", "--yes")
    assert again.code == ExitCode.NOTHING
    assert "no change to roll back" in again.stderr


def test_rollback_of_lines_changed_since_is_refused(change: Change, folder: Path) -> None:
    write_files(folder, {"agent.py": "one\nmine\nthree\n"})
    commit_all(folder, "mine")

    refused = call("rollback", "--yes", "--json")

    assert refused.code == ExitCode.REFUSED
    assert refused.json["error"]["code"] == "conflict"


def test_commands_outside_a_repository_say_so(isolated: Path) -> None:
    for command in ("history", "rollback"):
        failed = call(command, "--json")
        assert failed.code == ExitCode.USAGE
        assert "not in a git repository" in failed.json["error"]["message"]
