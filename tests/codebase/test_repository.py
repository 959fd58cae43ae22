import os
import subprocess
from pathlib import Path

import pytest

from refinery.codebase.repository import Repository
from refinery.errors import InputError
from tests.kits.repositories import commit_all, git, make_repository, write_files

FILES = {"app.py": "print('hé')\n", "deep/er/file.txt": "x\r\ny", "run.sh": "#!/bin/sh\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo", FILES)


def test_reading_gives_the_committed_bytes(folder: Path) -> None:
    (folder / "app.py").write_text("changed\n")

    repository = Repository.open(folder / "deep")

    assert repository.root == folder.resolve()
    assert repository.branch() == "main"
    assert repository.head_commit() == git(folder, "rev-parse", "HEAD").strip()
    assert repository.files() == ["app.py", "deep/er/file.txt", "run.sh"]
    assert repository.read("app.py") == "print('hé')\n".encode()
    assert repository.read("deep/er/file.txt") == b"x\r\ny"
    assert repository.read("missing.py") is None


def test_reading_an_older_commit(folder: Path) -> None:
    first = git(folder, "rev-parse", "HEAD").strip()
    write_files(folder, {"app.py": "two\n", "with space\nand line.txt": "odd"})
    commit_all(folder, "two")
    repository = Repository.open(folder)

    assert repository.read("app.py") == b"two\n"
    assert repository.read("app.py", first) == "print('hé')\n".encode()
    assert repository.read("with space\nand line.txt") == b"odd"
    with pytest.raises(InputError, match="no commit 'nowhere'"):
        repository.read("app.py", "nowhere")
    with pytest.raises(InputError, match="no commit '--all'"):
        repository.read("app.py", "--all")


def test_dirty_work_is_told_and_can_be_exported(folder: Path, tmp_path: Path) -> None:
    repository = Repository.open(folder)
    assert repository.dirty_paths() == []
    assert repository.dirty_diff() is None

    write_files(folder, {"app.py": "dirty\n", "bin.dat": "new", "untracked.txt": "mine"})
    (folder / "run.sh").write_bytes(bytes(range(256)))
    git(folder, "add", "bin.dat")
    diff = repository.dirty_diff()
    repository.export("HEAD", tmp_path / "out", diff)

    assert repository.dirty_paths() == ["app.py", "bin.dat", "run.sh"]
    assert (tmp_path / "out/app.py").read_text() == "dirty\n"
    assert (tmp_path / "out/run.sh").read_bytes() == bytes(range(256))
    assert (tmp_path / "out/bin.dat").read_text() == "new"
    assert not (tmp_path / "out/untracked.txt").exists()
    assert not (tmp_path / "out/.git").exists()


def test_export_keeps_executable_bits_and_tames_symlinks(folder: Path, tmp_path: Path) -> None:
    (folder / "run.sh").chmod(0o755)
    for name, link in {
        "inside": "deep/er/file.txt",
        "absolute": "/etc/passwd",
        "upwards": "../../secret",
        "deep/up": "../app.py",
        "loop": "loop",
        "dir": "deep",
    }.items():
        (folder / name).symlink_to(link)
    (folder / "chain").symlink_to("dir/up/../../../..")
    commit_all(folder, "links")
    out = tmp_path / "out"

    Repository.open(folder).export("HEAD", out)

    assert os.access(out / "run.sh", os.X_OK)
    assert not os.access(out / "app.py", os.X_OK)
    assert (out / "inside").read_bytes() == b"x\r\ny"
    assert (out / "deep/up").readlink() == Path("../app.py")
    assert (out / "absolute").read_text() == "/etc/passwd"
    assert not (out / "absolute").is_symlink()
    assert not (out / "upwards").is_symlink()
    assert not (out / "chain").is_symlink()


def test_a_diff_cannot_bring_a_link_that_leaves_the_tree(folder: Path, tmp_path: Path) -> None:
    diff = (
        "diff --git a/evil b/evil\nnew file mode 120000\n--- /dev/null\n+++ b/evil\n"
        "@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n"
    )
    outside = diff.replace("b/evil", "b/../evil").replace("a/evil", "a/../evil")

    Repository.open(folder).export("HEAD", tmp_path / "one", diff)

    assert not (tmp_path / "one/evil").is_symlink()
    with pytest.raises(InputError, match="does not apply"):
        Repository.open(folder).export("HEAD", tmp_path / "two", outside)
    assert not (tmp_path / "evil").exists()


def test_export_into_a_folder_that_is_in_use_is_refused(folder: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "out", {"mine.txt": "keep"})

    with pytest.raises(InputError, match="not empty"):
        Repository.open(folder).export("HEAD", tmp_path / "out")


def test_export_inside_the_repository_applies_the_diff_there(folder: Path) -> None:
    (folder / "app.py").write_text("dirty\n")
    repository = Repository.open(folder)

    repository.export("HEAD", folder / ".refinery/work/1", repository.dirty_diff())

    assert (folder / ".refinery/work/1/app.py").read_text() == "dirty\n"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        Repository.open(tmp_path / "nowhere")


def test_a_folder_without_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not in a git repository") as caught:
        Repository.open(tmp_path)
    assert "git init" in caught.value.hint


def test_a_bare_repository_is_refused(tmp_path: Path, folder: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(folder), "bare.git")

    with pytest.raises(InputError, match="bare"):
        Repository.open(tmp_path / "bare.git")

    git(folder, "config", "core.bare", "true")
    with pytest.raises(InputError, match="bare"):
        Repository.open(folder)


def test_a_repository_without_commits_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "empty")

    with pytest.raises(InputError, match="no commits yet"):
        Repository.open(tmp_path / "empty")


def test_an_unborn_branch_beside_others_is_told_apart(folder: Path) -> None:
    git(folder, "switch", "-q", "--orphan", "fresh")

    with pytest.raises(InputError, match="names no commit"):
        Repository.open(folder)


@pytest.mark.parametrize("verb", ["merge", "rebase", "cherry-pick"])
def test_an_unfinished_operation_is_refused(folder: Path, verb: str) -> None:
    git(folder, "switch", "-q", "-c", "other")
    write_files(folder, {"app.py": "theirs\n"})
    commit_all(folder, "theirs")
    git(folder, "switch", "-q", "main")
    write_files(folder, {"app.py": "ours\n"})
    commit_all(folder, "ours")
    done = subprocess.run(["git", verb, "other"], cwd=folder, capture_output=True, check=False)
    assert done.returncode

    with pytest.raises(InputError, match="amid"):
        Repository.open(folder)


def test_a_detached_head_has_no_branch(folder: Path) -> None:
    git(folder, "checkout", "-q", "--detach")

    assert Repository.open(folder).branch() is None


def test_a_linked_work_tree_is_a_repository_of_its_own(folder: Path, tmp_path: Path) -> None:
    git(folder, "worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))

    repository = Repository.open(tmp_path / "linked")

    assert repository.root == (tmp_path / "linked").resolve()
    assert repository.branch() == "side"
    assert repository.read("app.py") == "print('hé')\n".encode()


def test_a_git_file_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "sub", {".git": "gitdir: ../nowhere\n"})

    with pytest.raises(InputError, match="leads to no git repository"):
        Repository.open(tmp_path / "sub")


def test_a_submodule_is_exported_as_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other", {"lib.py": "x = 1\n"})
    git(folder, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(other), "lib")
    commit_all(folder, "submodule")

    Repository.open(folder).export("HEAD", tmp_path / "out")

    assert list((tmp_path / "out/lib").iterdir()) == []
    assert Repository.open(folder / "lib").root == (folder / "lib").resolve()


def test_a_sha256_repository_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    git(tmp_path, "init", "-q", "--object-format=sha256", "wide")
    write_files(folder, {"a.py": "x = 1\n"})
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "x")

    repository = Repository.open(folder)

    assert len(repository.head_commit()) == 64
    assert repository.read("a.py") == b"x = 1\n"


def test_git_variables_of_a_surrounding_process_are_ignored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository(tmp_path / "other", {"other.py": "x = 1\n"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    repository = Repository.open(folder)

    assert repository.files() == ["app.py", "deep/er/file.txt", "run.sh"]
    assert repository.dirty_paths() == []
    assert repository.read("app.py") == "print('hé')\n".encode()
