import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from refinery.codebase.commit import apply, recover, revert
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefusedError
from refinery.model.patch import FileChange, Patch
from tests.kits.repositories import commit_all, git, make_repository, write_files

BEFORE = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
AFTER = BEFORE.replace("two", "TWO")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"agent.py": BEFORE, "other.txt": "other\n", ".gitignore": "*.log\n"}
    return make_repository(tmp_path / "repo", files)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def patch_of(folder: Path, *changes: tuple[str, str | None, str | None]) -> Patch:
    head = git(folder, "rev-parse", "HEAD").strip()
    made = [
        FileChange(
            path, a.encode() if a is not None else None, b.encode() if b is not None else None
        )
        for path, a, b in changes
    ]
    return build((), made, head)


def apply_to(folder: Path, journal: Path, after: str = AFTER, **options: object) -> str:
    patch = patch_of(folder, ("agent.py", BEFORE, after))
    return apply(Repository.open(folder), patch, "agent: fix\n\nBody.", journal, **options)  # type: ignore[arg-type]


def assert_whole(folder: Path) -> None:
    git(folder, "fsck", "--full", "--strict")
    assert not list((folder / ".git").glob("*.lock"))
    assert not list((folder / ".git").glob("refinery-*"))


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


def test_a_branch_of_another_work_tree_is_left_alone(
    folder: Path, journal: Path, tmp_path: Path
) -> None:
    git(folder, "worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))

    with pytest.raises(InputError, match="another work tree"):
        apply_to(folder, journal, branch="side")
    commit = apply_to(tmp_path / "linked", journal)

    assert git(folder, "rev-parse", "side").strip() == commit
    assert git(tmp_path / "linked", "status", "--porcelain") == ""


def test_a_sha256_repository_can_be_changed(tmp_path: Path, journal: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "-b", "main", "wide")
    folder = make_repository(tmp_path / "wide", {"agent.py": BEFORE, "b.py": "b\n"})
    patch = patch_of(folder, ("agent.py", BEFORE, AFTER), ("b.py", "b\n", None))

    commit = apply(Repository.open(folder), patch, "fix", journal)

    assert len(commit) == 64
    assert git(folder, "status", "--porcelain") == ""


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


def test_revert_of_lines_changed_since_is_refused(folder: Path, journal: Path) -> None:
    commit = apply_to(folder, journal)
    write_files(folder, {"agent.py": AFTER.replace("TWO", "TWO!")})
    later = commit_all(folder, "later")

    with pytest.raises(RefusedError, match="changed again in the same lines"):
        revert(Repository.open(folder), commit, "back", journal)

    assert git(folder, "rev-parse", "HEAD").strip() == later
    assert "TWO!" in (folder / "agent.py").read_text()


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
