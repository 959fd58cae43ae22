"""Changes written to the work tree alone: undone, made again, mended after a kill."""

import os
import signal
import time
from pathlib import Path

import pytest

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import ConflictError, InputError, NotFoundError, RefusedError
from refinery.model.patch import FileChange
from refinery.model.verdict import WORK_TREE, Change
from refinery.workflows import changes
from tests.kits.repositories import commit_all, git, make_repository, write_files
from tests.workflows.test_changes import home_of

SOURCE = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
FIXED = SOURCE.replace("two", "TWO").replace("three\n", "three\nand more\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"agent.py": SOURCE, "old.md": "old\n", ".gitignore": ".refinery/\n"}
    return make_repository(tmp_path / "repo", files)


def write(folder: Path, *more: FileChange) -> Change:
    """Write the change without committing it."""
    repository = Repository.open(folder)
    fix = FileChange("agent.py", SOURCE.encode(), FIXED.encode())
    patch = build((), (fix, *more), repository.head_commit())
    return changes.commit_change(
        repository,
        patch,
        trace_id="t",
        title="fix",
        body="b",
        home=home_of(folder),
        branch=WORK_TREE,
    )


def text(folder: Path, name: str = "agent.py") -> str:
    return (folder / name).read_text()


def test_only_the_work_tree_is_written(folder: Path) -> None:
    write_files(folder, {"agent.py": SOURCE + "mine\n", "staged.txt": "staged\n"})
    git(folder, "add", "staged.txt")
    head, index = git(folder, "rev-parse", "HEAD"), git(folder, "ls-files", "--stage")
    branches = git(folder, "branch", "--list")

    made = write(
        folder, FileChange("new.md", None, b"new\n"), FileChange("old.md", b"old\n", None)
    )

    assert text(folder) == FIXED + "mine\n"
    assert text(folder, "new.md") == "new\n"
    assert not (folder / "old.md").exists()
    assert git(folder, "rev-parse", "HEAD") == head
    assert git(folder, "ls-files", "--stage") == index
    assert git(folder, "branch", "--list") == branches
    assert (made.branch, made.state) == (WORK_TREE, changes.APPLIED)
    assert git(folder, "rev-parse", f"refs/refinery/{made.change_id}").strip() == made.commit


def test_it_is_undone_and_made_again_with_later_edits_kept(folder: Path) -> None:
    made = write(folder, FileChange("new.md", None, b"new\n"))
    users = FIXED.replace("TWO", "TWO  # mine").replace("eight", "nine")
    write_files(folder, {"agent.py": users})
    repository, home = Repository.open(folder), home_of(folder)

    undone = changes.rollback(repository, home)

    assert text(folder) == SOURCE.replace("two", "two  # mine").replace("eight", "nine")
    assert not (folder / "new.md").exists()
    assert undone.state == changes.ROLLED_BACK
    again = changes.redo(repository, home)
    assert (text(folder), text(folder, "new.md")) == (users, "new\n")
    assert (again.change_id, again.state) == (made.change_id, changes.APPLIED)
    changes.rollback(repository, home)
    assert "TWO" not in text(folder)
    assert git(folder, "log", "--oneline").count("\n") == 1
    git(folder, "fsck", "--full", "--strict")


def test_it_is_undone_after_the_user_committed_it(folder: Path) -> None:
    write(folder, FileChange("new.md", None, b"new\n"))
    commit_all(folder, "theirs and mine")

    changes.rollback(Repository.open(folder), home_of(folder))

    assert text(folder) == SOURCE
    assert git(folder, "status", "--porcelain").splitlines() == [" M agent.py", " D new.md"]


def test_words_written_over_are_shown_three_ways_and_nothing_is_written(folder: Path) -> None:
    write(folder)
    write_files(folder, {"agent.py": FIXED.replace("TWO", "ours")})
    repository, home = Repository.open(folder), home_of(folder)

    with pytest.raises(ConflictError) as caught:
        changes.rollback(repository, home)

    before, written, now = caught.value.versions or ("", "", "")
    assert ("two" in before, "TWO" in written, "ours" in now) == (True, True, True)
    assert text(folder) == FIXED.replace("TWO", "ours")


def test_what_was_undone_by_hand_is_said(folder: Path) -> None:
    write(folder)
    write_files(folder, {"agent.py": SOURCE})

    with pytest.raises(NotFoundError, match="does not hold the change any more"):
        changes.rollback(Repository.open(folder), home_of(folder))


def test_uncommitted_edits_of_the_same_lines_refuse_the_change(folder: Path) -> None:
    write_files(folder, {"agent.py": SOURCE.replace("two", "mine")})

    with pytest.raises(RefusedError, match="touch the same lines"):
        write(folder)

    assert text(folder) == SOURCE.replace("two", "mine")
    assert git(folder, "for-each-ref", "refs/refinery") == ""


def test_a_moved_head_refuses_the_change(folder: Path) -> None:
    repository = Repository.open(folder)
    fix = FileChange("agent.py", SOURCE.encode(), FIXED.encode())
    patch = build((), (fix,), repository.head_commit())
    write_files(folder, {"other.py": "x\n"})
    commit_all(folder, "other")

    with pytest.raises(InputError, match="HEAD has moved"):
        changes.commit_change(
            repository,
            patch,
            trace_id="t",
            title="fix",
            body="b",
            home=home_of(folder),
            branch=WORK_TREE,
        )


@pytest.mark.slow
def test_a_kill_leaves_the_work_tree_as_before_or_the_change_whole(folder: Path) -> None:
    seen = set()
    for number in range(12):
        child = os.fork()
        if not child:
            try:
                write(folder, FileChange("new.md", None, b"new\n"))
            finally:
                os._exit(0)
        journal = home_of(folder) / "journal"
        while not list(journal.glob("apply-*/entry.json")):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        time.sleep(number * 0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

        said = changes.recover(Repository.open(folder), home_of(folder))

        is_whole = text(folder) == FIXED
        assert text(folder) == (FIXED if is_whole else SOURCE), said
        assert (folder / "new.md").exists() == is_whole, said
        known = [c for c in changes.history(home_of(folder)) if c.state == changes.APPLIED]
        assert bool(known) == is_whole, said
        seen.add(is_whole)
        if is_whole:
            changes.rollback(Repository.open(folder), home_of(folder))
            assert (text(folder), (folder / "new.md").exists()) == (SOURCE, False)
    assert seen
