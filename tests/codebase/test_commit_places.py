"""Odd places and full disks: a change is made whole there, or refused with nothing changed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.codebase.commit import apply, recover, revert
from refinery.codebase.repository import Repository
from refinery.errors import InputError, RefineryError, RefusedError
from tests.codebase.applying import AFTER, BEFORE, apply_to, assert_whole, patch_of
from tests.kits.repositories import commit_all, git, make_repository, write_files

FILES = {"agent.py": BEFORE, "sub/notes.md": "notes\n"}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def snapshot(folder: Path) -> dict[str, bytes]:
    """What is the user's: HEAD, index and every file of the work tree."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
    found["HEAD"] = git(folder, "rev-parse", "HEAD").encode()
    found["index"] = git(folder, "ls-files", "--stage").encode()
    return found


@pytest.mark.slow
def test_a_full_disk_changes_nothing_or_all(small_disk: Path) -> None:
    folder = make_repository(small_disk / "repo", FILES)
    journal, filler = small_disk / "journal", small_disk / "filler"
    seen = set()
    for free in (0, 8, 16, 24, 48, 96):
        before = snapshot(folder)
        status = os.statvfs(small_disk)
        filler.write_bytes(b"x" * max(0, status.f_bavail * status.f_frsize - free * 1024))
        try:
            apply_to(folder, journal)
            is_made = True
        except RefineryError as error:
            is_made = False
            assert str(error)
            assert snapshot(folder) == before
        finally:
            filler.unlink()
        seen.add(is_made)
        recover(Repository.open(folder), journal)
        assert_whole(folder)
        if is_made:
            assert (folder / "agent.py").read_text() == AFTER
            assert git(folder, "status", "--porcelain") == ""
            revert(Repository.open(folder), "HEAD", "back", journal)
    assert seen == {True, False}


def test_a_read_only_repository_is_a_clear_error(small_disk: Path, journal: Path) -> None:
    folder = make_repository(small_disk / "repo", FILES)
    before = snapshot(folder)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        with pytest.raises(InputError, match=r"(?i)read-only|cannot write|unable"):
            apply_to(folder, journal)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)

    assert snapshot(folder) == before
    assert_whole(folder)


@pytest.mark.parametrize(
    "name", ["with space", "grüße-中-\U0001f600", "two\nlines", "-dash", "q'\""]
)
def test_the_repository_may_lie_anywhere(tmp_path: Path, journal: Path, name: str) -> None:
    folder = make_repository(tmp_path / name, FILES)

    commit = apply_to(folder, journal)

    assert (folder / "agent.py").read_text() == AFTER
    revert(Repository.open(folder), commit, "back", journal)
    assert (folder / "agent.py").read_text() == BEFORE
    assert git(folder, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["my agent.py", "grüße/中.py", "-x.py", "a*[b].py", "q'\".py"])
def test_a_file_may_have_any_printable_name(tmp_path: Path, journal: Path, name: str) -> None:
    folder = make_repository(tmp_path / "repo", {name: BEFORE})
    patch = patch_of(folder, (name, BEFORE, AFTER))

    commit = apply(Repository.open(folder), patch, "fix", journal)

    assert git(folder, "status", "--porcelain") == ""
    assert (folder / name).read_text() == AFTER
    revert(Repository.open(folder), commit, "back", journal)
    assert (folder / name).read_text() == BEFORE


def test_a_file_with_a_line_break_in_its_name_is_refused(tmp_path: Path, journal: Path) -> None:
    folder = make_repository(tmp_path / "repo", {"a\nb.py": BEFORE})
    before = snapshot(folder)

    with pytest.raises(RefusedError, match="no path inside"):
        apply(Repository.open(folder), patch_of(folder, ("a\nb.py", BEFORE, AFTER)), "f", journal)

    assert snapshot(folder) == before


def test_a_byte_order_mark_and_crlf_stay(tmp_path: Path, journal: Path) -> None:
    before, after = (("\ufeff" + text).replace("\n", "\r\n") for text in (BEFORE, AFTER))
    folder = make_repository(tmp_path / "repo", {"agent.py": before})
    mine = before + "mine\r\n"
    write_files(folder, {"agent.py": mine})

    commit = apply(
        Repository.open(folder), patch_of(folder, ("agent.py", before, after)), "f", journal
    )

    assert (folder / "agent.py").read_bytes() == (after + "mine\r\n").encode()
    revert(Repository.open(folder), commit, "back", journal)
    assert (folder / "agent.py").read_bytes() == mine.encode()


def test_beside_a_submodule_a_change_is_made(tmp_path: Path, journal: Path) -> None:
    library = make_repository(tmp_path / "library", {"lib.py": "x\n"})
    folder = make_repository(tmp_path / "repo", FILES)
    git(folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    commit_all(folder, "with library")
    write_files(folder, {"lib/lib.py": "dirty\n"})
    entry = git(folder, "ls-files", "--stage", "lib")

    apply_to(folder, journal)

    assert git(folder, "ls-files", "--stage", "lib") == entry
    assert (folder / "lib/lib.py").read_text() == "dirty\n"
    with pytest.raises(RefusedError, match=r"submodule|repository inside"):
        apply(Repository.open(folder), patch_of(folder, ("lib/new.py", None, "x\n")), "f", journal)


@pytest.mark.parametrize("index", ["--no-sparse-index", "--sparse-index"])
def test_in_a_sparse_checkout_only_what_is_there_changes(
    tmp_path: Path, journal: Path, index: str
) -> None:
    folder = make_repository(tmp_path / "repo", {**FILES, "far/away.py": BEFORE})
    git(folder, "sparse-checkout", "init", "--cone", index)
    git(folder, "sparse-checkout", "set", "sub")
    assert not (folder / "far").exists()

    apply_to(folder, journal)

    assert (folder / "agent.py").read_text() == AFTER
    assert not (folder / "far").exists()
    assert git(folder, "status", "--porcelain") == ""
    before = snapshot(folder)
    with pytest.raises(RefusedError):
        apply(
            Repository.open(folder), patch_of(folder, ("far/away.py", BEFORE, AFTER)), "f", journal
        )
    assert snapshot(folder) == before


def test_a_linked_work_tree_is_changed_alone(tmp_path: Path, journal: Path) -> None:
    main = make_repository(tmp_path / "main", FILES)
    git(main, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    write_files(main, {"agent.py": BEFORE + "mine\n"})
    before = snapshot(main)

    commit = apply_to(tmp_path / "side", journal)

    assert git(main, "rev-parse", "side").strip() == commit
    assert (tmp_path / "side/agent.py").read_text() == AFTER
    assert git(tmp_path / "side", "status", "--porcelain") == ""
    assert snapshot(main) == before


def test_a_symlink_to_the_repository_leads_to_it(tmp_path: Path, journal: Path) -> None:
    folder = make_repository(tmp_path / "repo", FILES)
    (tmp_path / "link").symlink_to(folder)

    apply_to(tmp_path / "link", journal)

    assert (folder / "agent.py").read_text() == AFTER


@pytest.mark.parametrize("state", ["merge", "rebase", "cherry-pick"])
def test_amid_another_operation_nothing_is_changed(
    tmp_path: Path, journal: Path, state: str
) -> None:
    folder = make_repository(tmp_path / "repo", FILES)
    repository = Repository.open(folder)
    git(folder, "checkout", "-q", "-b", "other")
    write_files(folder, {"sub/notes.md": "theirs\n"})
    commit_all(folder, "theirs")
    git(folder, "checkout", "-q", "main")
    write_files(folder, {"sub/notes.md": "ours\n"})
    commit_all(folder, "ours")
    git(folder, state, "other", ok=(0, 1))
    before = snapshot(folder)

    with pytest.raises(InputError, match="is amid"):
        apply(repository, patch_of(folder, ("agent.py", BEFORE, AFTER)), "f", journal)

    assert snapshot(folder) == before
