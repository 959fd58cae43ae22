import subprocess
from pathlib import Path

import pytest

from refinery.codebase.commit import apply, recover, revert
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefusedError
from tests.codebase.applying import AFTER, BEFORE, apply_to, assert_whole, patch_of
from tests.kits.repositories import commit_all, git, make_repository, write_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"agent.py": BEFORE, "other.txt": "other\n", ".gitignore": "*.log\n"}
    return make_repository(tmp_path / "repo", files)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_revert_restores_the_file_byte_for_byte(folder: Path, journal: Path) -> None:
    commit = apply_to(folder, journal)

    back = revert(Repository.open(folder), commit, "agent: take back", journal)

    assert git(folder, "rev-parse", "HEAD").strip() == back
    assert (folder / "agent.py").read_bytes() == BEFORE.encode()
    assert git(folder, "diff", "HEAD~2", "HEAD") == ""
    assert git(folder, "status", "--porcelain") == ""


def test_revert_keeps_later_lines_of_others(folder: Path, journal: Path) -> None:
    commit = apply_to(folder, journal)
    write_files(folder, {"agent.py": AFTER.replace("seven", "SEVEN")})
    commit_all(folder, "later")
    write_files(folder, {"agent.py": AFTER.replace("seven", "SEVEN") + "nine\n"})

    revert(Repository.open(folder), commit, "back", journal)

    assert git(folder, "show", "HEAD:agent.py") == BEFORE.replace("seven", "SEVEN")
    assert (folder / "agent.py").read_text() == BEFORE.replace("seven", "SEVEN") + "nine\n"


def test_what_cannot_be_reverted_is_said(folder: Path, journal: Path) -> None:
    first = git(folder, "rev-parse", "HEAD").strip()
    commit = apply_to(folder, journal)
    repository = Repository.open(folder)

    with pytest.raises(InputError, match="first commit"):
        revert(repository, first, "back", journal)
    with pytest.raises(InputError, match="no commit"):
        revert(repository, "f" * 40, "back", journal)
    revert(repository, commit, "back", journal)
    with pytest.raises(NotFoundError, match="already"):
        revert(repository, commit, "back", journal)
    git(folder, "reset", "-q", "--hard", first)
    with pytest.raises(NotFoundError, match="does not hold"):
        revert(repository, commit, "back", journal)


def test_hooks_run_only_when_asked_and_can_say_no(
    folder: Path, journal: Path, tmp_path: Path
) -> None:
    hook = folder / ".git/hooks/pre-commit"
    hook.write_text(f"#!/bin/sh\necho ran >> {tmp_path}/ran\ngrep -q TWO agent.py || exit 1\n")
    hook.chmod(0o755)
    apply_to(folder, journal, branch="quiet")
    assert not (tmp_path / "ran").exists()

    apply_to(folder, journal, branch="loud", run_hooks=True)
    assert (tmp_path / "ran").read_text() == "ran\n"

    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    with pytest.raises(RefusedError, match="not today"):
        apply_to(folder, journal, run_hooks=True)
    hook.write_text("#!/bin/sh\necho more >> agent.py\ngit add agent.py\n")
    with pytest.raises(RefusedError, match="not what was approved"):
        apply_to(folder, journal, run_hooks=True)
    assert (folder / "agent.py").read_text() == BEFORE
    assert git(folder, "status", "--porcelain") == ""


def test_recover_without_a_journal_says_nothing(folder: Path, journal: Path) -> None:
    assert recover(Repository.open(folder), journal) == []
    assert not journal.exists()


def test_two_processes_at_once_make_one_commit(folder: Path, journal: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    patch = patch_of(folder, ("agent.py", BEFORE, AFTER))

    def attempt(_: int) -> str:
        try:
            return apply(Repository.open(folder), patch, "fix", journal)
        except InputError as error:
            assert "has moved" in str(error)
            return ""

    with ThreadPoolExecutor(4) as pool:
        commits = [commit for commit in pool.map(attempt, range(4)) if commit]

    assert len(commits) == 1
    assert git(folder, "rev-list", "--count", "HEAD").strip() == "2"
    assert_whole(folder)


def test_git_commands_see_no_leftovers(folder: Path, journal: Path) -> None:
    apply_to(folder, journal)
    write_files(folder, {"agent.py": "user\n"})

    subprocess.run(["git", "commit", "-qam", "next"], cwd=folder, check=True)

    assert_whole(folder)
