import os
import stat
import tempfile
from pathlib import Path

import pytest

from refinery.codebase.commit import apply, revert
from refinery.codebase.repository import Repository
from refinery.errors import InputError
from tests.codebase.applying import AFTER, BEFORE, apply_to, assert_whole, patch_of
from tests.kits.repositories import commit_all, git, make_repository, write_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"agent.py": BEFORE, "other.txt": "other\n", ".gitignore": "*.log\n"}
    return make_repository(tmp_path / "repo", files)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_patch_becomes_one_commit_and_the_tree_is_clean(folder: Path, journal: Path) -> None:
    first = git(folder, "rev-parse", "HEAD").strip()

    commit = apply_to(folder, journal)

    assert git(folder, "rev-parse", "HEAD").strip() == commit
    assert git(folder, "rev-parse", "HEAD~1").strip() == first
    assert git(folder, "log", "-1", "--format=%an <%ae>%n%B").strip() == (
        "Ada Tester <ada@example.com>\nagent: fix\n\nBody."
    )
    assert (folder / "agent.py").read_text() == AFTER
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "show", "--name-only", "--format=", "HEAD").split() == ["agent.py"]
    assert "refinery: agent: fix" in git(folder, "reflog", "-1")
    assert list(journal.glob("apply-*")) == []
    assert_whole(folder)


def test_index_times_are_fresh_so_that_status_rereads_nothing(folder: Path, journal: Path) -> None:
    apply_to(folder, journal)

    assert git(folder, "diff-files") == ""


def test_dirty_staged_and_untracked_work_stays_byte_for_byte(folder: Path, journal: Path) -> None:
    write_files(folder, {"other.txt": "mine\n", "new.txt": "untracked\n", "x.log": "ignored\n"})
    write_files(folder, {"staged.txt": "staged\n"})
    git(folder, "add", "staged.txt")
    write_files(folder, {"staged.txt": "staged and changed\n"})
    status = git(folder, "status", "--porcelain")
    index = git(folder, "ls-files", "--stage")

    apply_to(folder, journal)

    assert git(folder, "status", "--porcelain") == status
    changed = set(git(folder, "ls-files", "--stage").splitlines()) ^ set(index.splitlines())
    assert all(line.endswith("\tagent.py") for line in changed)
    assert (folder / "other.txt").read_text() == "mine\n"
    assert (folder / "staged.txt").read_text() == "staged and changed\n"
    assert git(folder, "show", ":staged.txt") == "staged\n"
    assert (folder / "x.log").read_text() == "ignored\n"


def test_a_touched_file_with_own_changes_gets_the_patch_in_every_version(
    folder: Path, journal: Path
) -> None:
    write_files(folder, {"agent.py": BEFORE.replace("six", "SIX")})
    git(folder, "add", "agent.py")
    write_files(folder, {"agent.py": BEFORE.replace("six", "SIX").replace("eight", "EIGHT")})

    apply_to(folder, journal)

    assert git(folder, "show", "HEAD:agent.py") == AFTER
    assert git(folder, "show", ":agent.py") == AFTER.replace("six", "SIX")
    work = (folder / "agent.py").read_text()
    assert work == AFTER.replace("six", "SIX").replace("eight", "EIGHT")
    assert git(folder, "status", "--porcelain") == "MM agent.py\n"


def test_modes_of_the_file_are_kept(folder: Path, journal: Path) -> None:
    (folder / "agent.py").chmod(0o755)
    commit_all(folder, "executable")
    (folder / "agent.py").chmod(0o750)

    apply_to(folder, journal)

    assert stat.S_IMODE((folder / "agent.py").stat().st_mode) == 0o750
    assert git(folder, "ls-tree", "HEAD", "agent.py").startswith("100755")
    assert git(folder, "status", "--porcelain") == ""


@pytest.mark.parametrize("attribute", ["text eol=crlf", "-text"])
def test_line_endings_of_the_work_tree_are_kept(
    tmp_path: Path, journal: Path, attribute: str
) -> None:
    stored = BEFORE if "eol" in attribute else BEFORE.replace("\n", "\r\n")
    files = {".gitattributes": f"*.py {attribute}\n", "agent.py": BEFORE.replace("\n", "\r\n")}
    folder = make_repository(tmp_path / "crlf", files)
    patch = patch_of(folder, ("agent.py", stored, stored.replace("two", "TWO")))

    apply(Repository.open(folder), patch, "fix", journal)

    assert (folder / "agent.py").read_bytes() == AFTER.replace("\n", "\r\n").encode()
    assert git(folder, "status", "--porcelain") == ""


def test_line_endings_converted_by_the_users_settings_are_kept(
    folder: Path, journal: Path
) -> None:
    git(folder, "config", "--global", "core.autocrlf", "true")
    (folder / "agent.py").unlink()
    git(folder, "checkout", "agent.py")
    assert b"\r\n" in (folder / "agent.py").read_bytes()

    apply_to(folder, journal)

    assert (folder / "agent.py").read_bytes() == AFTER.replace("\n", "\r\n").encode()
    assert git(folder, "status", "--porcelain") == ""


def test_files_can_be_made_and_removed(folder: Path, journal: Path) -> None:
    patch = patch_of(folder, ("a/new.py", None, "x\n"), ("other.txt", "other\n", None))

    commit = apply(Repository.open(folder), patch, "fix", journal)

    assert (folder / "a/new.py").read_text() == "x\n"
    assert not (folder / "other.txt").exists()
    assert git(folder, "status", "--porcelain") == ""
    revert(Repository.open(folder), commit, "back", journal)
    assert not (folder / "a").exists()
    assert (folder / "other.txt").read_text() == "other\n"
    assert git(folder, "status", "--porcelain") == ""


def test_the_identity_comes_from_the_users_settings(
    folder: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(folder, "config", "--unset", "user.email")
    git(folder, "config", "--global", "user.email", "global@example.com")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Env Author")

    apply_to(folder, journal)

    shown = git(folder, "log", "-1", "--format=%an %ae %cn %ce").strip()
    assert shown == "Env Author global@example.com Ada Tester global@example.com"


def test_a_detached_head_moves_alone(folder: Path, journal: Path) -> None:
    git(folder, "checkout", "-q", "--detach")

    commit = apply_to(folder, journal)

    assert git(folder, "rev-parse", "HEAD").strip() == commit
    assert git(folder, "rev-parse", "main~0").strip() != commit
    assert git(folder, "status", "--porcelain") == ""


def test_another_branch_gets_the_commit_and_the_tree_stays(folder: Path, journal: Path) -> None:
    write_files(folder, {"agent.py": BEFORE.replace("two", "zwei")})
    before = (git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD"))

    commit = apply_to(folder, journal, branch="refinery/fix")

    assert git(folder, "rev-parse", "refinery/fix").strip() == commit
    assert git(folder, "show", "refinery/fix:agent.py") == AFTER
    assert (git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD")) == before
    back = revert(Repository.open(folder), commit, "back", journal, branch="refinery/fix")
    assert git(folder, "rev-parse", "refinery/fix").strip() == back
    assert git(folder, "show", "refinery/fix:agent.py") == BEFORE
    for bad in ("../x", "-f", "a..b", "x.lock"):
        with pytest.raises(InputError, match="no valid branch"):
            apply_to(folder, journal, branch=bad)
    with pytest.raises(InputError, match="has moved"):
        apply_to(folder, journal, branch="refinery/fix")


def test_a_sha256_repository_can_be_changed(tmp_path: Path, journal: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "-b", "main", "wide")
    folder = make_repository(tmp_path / "wide", {"agent.py": BEFORE, "b.py": "b\n"})
    patch = patch_of(folder, ("agent.py", BEFORE, AFTER), ("b.py", "b\n", None))

    commit = apply(Repository.open(folder), patch, "fix", journal)

    assert len(commit) == 64
    assert git(folder, "status", "--porcelain") == ""


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_a_journal_on_another_file_system_serves_as_well(folder: Path) -> None:
    (folder / "agent.py").chmod(0o600)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        apply_to(folder, Path(other, "journal"))

    assert (folder / "agent.py").read_text() == AFTER
    assert stat.S_IMODE((folder / "agent.py").stat().st_mode) == 0o600
    assert git(folder, "status", "--porcelain") == ""
    assert sorted(path.name for path in folder.iterdir()) == [
        ".git",
        ".gitignore",
        "agent.py",
        "other.txt",
    ]
