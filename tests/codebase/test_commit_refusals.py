import os
import threading
from pathlib import Path

import pytest

from refinery.codebase.commit import apply, revert
from refinery.codebase.repository import Repository
from refinery.codebase.worktree import read_file, remove_file, replace_file
from refinery.errors import ConflictError, InputError, RefusedError
from refinery.model.patch import FileChange, Patch
from tests.codebase.applying import AFTER, BEFORE, apply_to, assert_whole, patch_of
from tests.kits.repositories import commit_all, git, make_repository, write_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"agent.py": BEFORE, "other.txt": "other\n", ".gitignore": "*.log\n"}
    return make_repository(tmp_path / "repo", files)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.mark.parametrize("stage", [False, True])
def test_own_changes_of_the_same_lines_refuse_the_patch(
    folder: Path, journal: Path, stage: bool
) -> None:
    mine = BEFORE.replace("two", "zwei")
    write_files(folder, {"agent.py": mine})
    if stage:
        git(folder, "add", "agent.py")
        write_files(folder, {"agent.py": BEFORE})
    head, index = git(folder, "rev-parse", "HEAD"), git(folder, "ls-files", "--stage")

    with pytest.raises(RefusedError, match="same lines"):
        apply_to(folder, journal)

    assert (git(folder, "rev-parse", "HEAD"), git(folder, "ls-files", "--stage")) == (head, index)
    assert (folder / "agent.py").read_text() == (BEFORE if stage else mine)
    assert list(journal.glob("apply-*")) == []


def test_an_untracked_file_is_never_overwritten(folder: Path, journal: Path) -> None:
    write_files(folder, {"new.py": "mine\n"})

    with pytest.raises(RefusedError, match="exists but is not committed"):
        apply(Repository.open(folder), patch_of(folder, ("new.py", None, "x\n")), "fix", journal)

    assert (folder / "new.py").read_text() == "mine\n"


def test_a_file_with_own_changes_is_never_removed(folder: Path, journal: Path) -> None:
    write_files(folder, {"other.txt": "mine\n"})

    with pytest.raises(RefusedError, match="would be removed"):
        apply(
            Repository.open(folder), patch_of(folder, ("other.txt", "other\n", None)), "f", journal
        )


def test_a_deleted_file_refuses_its_patch(folder: Path, journal: Path) -> None:
    (folder / "agent.py").unlink()

    with pytest.raises(RefusedError, match="deleted"):
        apply_to(folder, journal)


def test_a_patch_for_another_commit_is_refused(folder: Path, journal: Path) -> None:
    patch = patch_of(folder, ("agent.py", BEFORE, AFTER))
    write_files(folder, {"other.txt": "more\n"})
    commit_all(folder, "more")

    with pytest.raises(InputError, match="has moved"):
        apply(Repository.open(folder), patch, "fix", journal)


def test_a_patch_whose_bytes_are_not_those_approved_is_refused(
    folder: Path, journal: Path
) -> None:
    good = patch_of(folder, ("agent.py", BEFORE, AFTER))
    evil = FileChange("agent.py", BEFORE.encode(), b"evil\n")
    mixed = Patch(good.edits, (evil,), good.base_commit, good.diff, good.digest)

    with pytest.raises(RefusedError, match="digest"):
        apply(Repository.open(folder), mixed, "fix", journal)
    with pytest.raises(InputError, match="not as it was"):
        patch = patch_of(folder, ("agent.py", "something else\n", AFTER))
        apply(Repository.open(folder), patch, "fix", journal)
    with pytest.raises(InputError, match="changes nothing"):
        apply(Repository.open(folder), patch_of(folder), "fix", journal)


@pytest.mark.parametrize(
    "path",
    [
        "../out.py",
        "/tmp/out.py",
        ".git/hooks/pre-commit",
        "a/.GIT/x",
        ".git\u200c/x",
        "git~1/x",
        "a//b",
        "./a",
        "a\\b",
        "a\nb",
        "",
    ],
)
def test_a_path_outside_the_work_tree_is_refused(folder: Path, journal: Path, path: str) -> None:
    with pytest.raises(RefusedError):
        apply(Repository.open(folder), patch_of(folder, (path, None, "x\n")), "fix", journal)


def test_a_symlink_is_not_followed(folder: Path, journal: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_files(outside, {"f.py": BEFORE})
    write_files(folder, {"real/f.py": BEFORE})
    (folder / "link").symlink_to("agent.py")
    commit_all(folder, "links")
    through = patch_of(folder, ("real/f.py", BEFORE, AFTER))
    (folder / "real/f.py").unlink()
    (folder / "real").rmdir()
    (folder / "real").symlink_to(outside)

    with pytest.raises(RefusedError, match="symlink"):
        apply(Repository.open(folder), through, "fix", journal)
    with pytest.raises(RefusedError, match="symlink"):
        patch = patch_of(folder, ("link/f.py", None, "x\n"))
        apply(Repository.open(folder), patch, "fix", journal)

    assert (outside / "f.py").read_text() == BEFORE


def test_a_repository_inside_is_not_ours_to_change(folder: Path, journal: Path) -> None:
    make_repository(folder / "inner", {"x.py": "x\n"})

    with pytest.raises(RefusedError, match="inside this one"):
        apply(
            Repository.open(folder), patch_of(folder, ("inner/new.py", None, "x\n")), "f", journal
        )


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_a_file_git_was_told_to_ignore_is_refused(folder: Path, journal: Path, flag: str) -> None:
    git(folder, "update-index", flag, "agent.py")

    with pytest.raises(RefusedError, match="does not look at"):
        apply_to(folder, journal)


def test_a_path_behind_a_filter_is_refused(folder: Path, journal: Path) -> None:
    (folder / ".git/info/attributes").write_text("*.py filter=lfs\n")

    with pytest.raises(RefusedError, match="filter"):
        apply_to(folder, journal)


def test_a_missing_identity_is_a_clear_error(folder: Path, journal: Path) -> None:
    git(folder, "config", "--unset", "user.email")

    with pytest.raises(InputError, match="does not know your email") as caught:
        apply_to(folder, journal)

    assert "user.email" in caught.value.hint


def test_a_branch_of_another_work_tree_is_left_alone(
    folder: Path, journal: Path, tmp_path: Path
) -> None:
    git(folder, "worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))

    with pytest.raises(InputError, match="another work tree"):
        apply_to(folder, journal, branch="side")
    commit = apply_to(tmp_path / "linked", journal)

    assert git(folder, "rev-parse", "side").strip() == commit
    assert git(tmp_path / "linked", "status", "--porcelain") == ""


def test_a_held_index_lock_refuses_in_time_and_changes_nothing(
    folder: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinery.codebase.locks.WAIT_S", 0.05)
    (folder / ".git/index.lock").touch()

    with pytest.raises(InputError, match=r"index\.lock exists"):
        apply_to(folder, journal)

    assert (folder / ".git/index.lock").exists()
    assert (folder / "agent.py").read_text() == BEFORE
    assert list(journal.glob("apply-*")) == []


def test_an_index_locked_in_the_last_moment_takes_everything_back(
    folder: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinery.codebase.index.LOCK_WAIT_S", 0.05)
    head = git(folder, "rev-parse", "HEAD")
    ref, lock = folder / ".git/refs/heads/main", folder / ".git/index.lock"
    identity = ref.stat().st_ino

    def lock_when_the_ref_moves() -> None:
        while ref.stat().st_ino == identity:
            pass
        lock.touch()

    thread = threading.Thread(target=lock_when_the_ref_moves)
    thread.start()
    with pytest.raises(InputError, match="is held"):
        apply_to(folder, journal)
    thread.join()

    lock.unlink()
    assert git(folder, "rev-parse", "HEAD") == head
    assert (folder / "agent.py").read_text() == BEFORE
    assert git(folder, "status", "--porcelain") == ""
    assert list(journal.glob("apply-*")) == []
    assert_whole(folder)


def test_a_folder_that_cannot_be_written_takes_everything_back(
    folder: Path, journal: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    write_files(folder, {"sub/f.py": BEFORE})
    commit_all(folder, "sub")
    head = git(folder, "rev-parse", "HEAD")
    patch = patch_of(folder, ("agent.py", BEFORE, AFTER), ("sub/f.py", BEFORE, AFTER))
    (folder / "sub").chmod(0o555)

    with pytest.raises(InputError, match=r"cannot write sub/f\.py"):
        apply(Repository.open(folder), patch, "fix", journal)

    (folder / "sub").chmod(0o755)
    assert git(folder, "rev-parse", "HEAD") == head
    assert git(folder, "status", "--porcelain") == ""


def test_revert_of_lines_changed_since_is_refused(folder: Path, journal: Path) -> None:
    commit = apply_to(folder, journal)
    write_files(folder, {"agent.py": AFTER.replace("TWO", "TWICE")})
    later = commit_all(folder, "later")

    with pytest.raises(ConflictError, match="changed again in the same words") as refused:
        revert(Repository.open(folder), commit, "back", journal)

    assert git(folder, "rev-parse", "HEAD").strip() == later
    assert "TWICE" in (folder / "agent.py").read_text()
    assert refused.value.versions == ("two\n", "TWO\n", "TWICE\n")


def test_words_of_others_in_a_reverted_line_stay(folder: Path, journal: Path) -> None:
    commit = apply_to(folder, journal)
    write_files(folder, {"agent.py": AFTER.replace("TWO", "TWO and more")})
    commit_all(folder, "later")

    revert(Repository.open(folder), commit, "back", journal)

    assert (folder / "agent.py").read_text() == BEFORE.replace("two", "two and more")


def test_uncommitted_words_in_a_reverted_line_stay(folder: Path, journal: Path) -> None:
    commit = apply_to(folder, journal)
    write_files(folder, {"agent.py": AFTER.replace("TWO", "TWO and more")})

    revert(Repository.open(folder), commit, "back", journal)

    assert (folder / "agent.py").read_text() == BEFORE.replace("two", "two and more")
    assert git(folder, "show", "HEAD:agent.py") == BEFORE


def test_a_file_written_in_the_last_moment_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    seen = read_file(folder, "agent.py")
    prepared = tmp_path / "after-0"
    prepared.write_text(AFTER)
    write_files(folder, {"agent.py": "saved by an editor\n"})

    with pytest.raises(InputError, match="in this moment"):
        replace_file(folder, "agent.py", prepared, seen)
    with pytest.raises(InputError, match="in this moment"):
        remove_file(folder, "agent.py", seen)

    assert (folder / "agent.py").read_text() == "saved by an editor\n"


def test_a_journal_that_cannot_be_used_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match="journal"):
        apply_to(folder, tmp_path / "file")

    assert (folder / "agent.py").read_text() == BEFORE


def test_a_damaged_journal_entry_is_never_guessed(folder: Path, journal: Path) -> None:
    write_files(journal, {"apply-00000000/entry.json": "{", "apply-1/before-0": "mine\n"})

    with pytest.raises(InputError, match="damaged"):
        apply_to(folder, journal)

    assert (journal / "apply-00000000").is_dir()
    assert (folder / "agent.py").read_text() == BEFORE
