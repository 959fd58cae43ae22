"""A hostile repository names programs wherever git lets it; none of them may run."""

import subprocess
from pathlib import Path

import pytest

from refinery.codebase.commit import apply, recover, revert
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import RefusedError
from refinery.model.patch import FileChange
from tests.kits.repositories import git, make_repository, write_files

HOOKS = [
    "pre-commit",
    "commit-msg",
    "prepare-commit-msg",
    "post-commit",
    "post-checkout",
    "post-index-change",
    "reference-transaction",
    "pre-merge-commit",
    "post-merge",
    "post-rewrite",
    "pre-auto-gc",
    "fsmonitor-watchman",
]


class Trap:
    """A repository full of programs that leave a mark when they run."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_repository(
            folder / "repo",
            {"a.py": "one\ntwo\nthree\n", "b.txt": "text\n", "c.md": "x\n", "d.bin": "d\n"},
        )
        self.marks = folder / "marks"
        self._programs = folder / "programs"
        self._programs.mkdir()
        self._set()

    def _program(self, name: str, tail: str = "exit 0") -> str:
        path = self._programs / name
        path.write_text(f"#!/bin/sh\necho {name} >> {self.marks}\n{tail}\n")
        path.chmod(0o755)
        return str(path)

    def _set(self) -> None:
        for hook in HOOKS:
            path = self.folder / ".git/hooks" / hook
            path.write_bytes(Path(self._program(f"hook-{hook}")).read_bytes())
            path.chmod(0o755)
        included = self.folder.parent / "included"
        settings = {
            "core.fsmonitor": self._program("fsmonitor", "printf '/\\0'"),
            "core.pager": self._program("pager", "cat"),
            "core.editor": self._program("editor"),
            "core.sshCommand": self._program("ssh", "exit 1"),
            "core.askPass": self._program("askpass"),
            "core.alternateRefsCommand": self._program("alternates"),
            "commit.gpgSign": "true",
            "gpg.program": self._program("gpg", "exit 1"),
            "credential.helper": self._program("credential"),
            "diff.external": self._program("diff-external"),
            "interactive.diffFilter": self._program("diff-filter", "cat"),
            "filter.evil.clean": self._program("clean", "cat"),
            "filter.evil.smudge": self._program("smudge", "cat"),
            "filter.a=b.clean": self._program("clean-equals", "cat"),
            "filter.a=b.required": "true",
            "filter.proc.process": self._program("process", "exit 1"),
            "filter.UPPER.Clean": self._program("clean-upper", "cat"),
            "diff.evil.textconv": self._program("textconv", 'cat "$1"'),
            "diff.evil.command": self._program("diff-command"),
            "merge.evil.driver": self._program("merge-driver") + " %A",
            "alias.status": "!" + self._program("alias"),
            "include.path": str(included),
            "extensions.partialClone": "origin",
            "remote.origin.url": f"ext::{self._program('transport', 'exit 1')}",
            "remote.origin.promisor": "true",
            "protocol.ext.allow": "always",
            "uploadpack.packObjectsHook": self._program("pack-objects"),
        }
        for name, value in settings.items():
            git(self.folder, "config", name, value)
        included.write_text(
            f'[filter "inc"]\n\tclean = {self._program("clean-included", "cat")}\n'
        )
        (self.folder / ".git/info/attributes").write_text(
            "b.txt filter=evil diff=evil merge=evil\nc.md filter=a=b\nd.bin filter=inc\n"
            "*.py diff=evil merge=evil\n"
        )

    def ran(self) -> list[str]:
        """Names of the programs that ran since the last call."""
        found = sorted(set(self.marks.read_text().split())) if self.marks.exists() else []
        self.marks.unlink(missing_ok=True)
        return found


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


def dirty(folder: Path) -> None:
    write_files(folder, {"a.py": "one\ntwo\nthree\nmine\n", "b.txt": "dirty\n", "c.md": "dirty\n"})
    write_files(folder, {"d.bin": "dirty\n"})


def test_plain_git_does_run_them(trap: Trap) -> None:
    dirty(trap.folder)
    for command in (
        ["status"],
        ["diff"],
        ["add", "-A"],
        ["log", "-p", "-1"],
        ["commit", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=trap.folder, capture_output=True, check=False)

    ran = trap.ran()

    assert {"clean", "clean-equals", "clean-included", "diff-command", "fsmonitor"} <= set(ran)
    assert "hook-post-index-change" in ran


def use_everything(folder: Path, out: Path) -> None:
    """Every operation of ours, on a clean and on a dirty work tree."""
    repository = Repository.open(folder)
    head = repository.head_commit()
    repository.files()
    repository.read("a.py")
    dirty(folder)
    diff = repository.dirty_diff()
    assert repository.dirty_paths() == ["a.py"]
    repository.export(head, out, diff)
    change = FileChange("a.py", b"one\ntwo\nthree\n", b"ONE\ntwo\nthree\n")
    patch = build((), (change,), head)
    commit = apply(repository, patch, "fix", out.parent / "journal")
    revert(repository, commit, "back", out.parent / "journal")
    apply(
        repository,
        build((), _again(repository), repository.head_commit()),
        "to another branch",
        out.parent / "journal",
        branch="other",
    )
    recover(repository, out.parent / "journal")


def _again(repository: Repository) -> tuple[FileChange, ...]:
    return (FileChange("a.py", repository.read("a.py"), b"ONE\ntwo\nthree\n"),)


def test_ours_runs_none_of_them(trap: Trap, tmp_path: Path) -> None:
    trap.ran()

    use_everything(trap.folder, tmp_path / "out")

    assert trap.ran() == []
    assert (trap.folder / "a.py").read_text() == "one\ntwo\nthree\nmine\n"
    assert (tmp_path / "out/a.py").read_text() == "one\ntwo\nthree\nmine\n"


@pytest.mark.parametrize("path", ["b.txt", "c.md", "d.bin"])
def test_a_filtered_path_is_refused_and_its_filter_does_not_run(
    trap: Trap, tmp_path: Path, path: str
) -> None:
    repository = Repository.open(trap.folder)
    change = FileChange(path, repository.read(path), b"new\n")

    with pytest.raises(RefusedError, match="filter"):
        apply(repository, build((), (change,), repository.head_commit()), "x", tmp_path / "j")

    assert trap.ran() == []


def test_a_missing_object_is_not_fetched(trap: Trap, tmp_path: Path) -> None:
    blob = git(trap.folder, "rev-parse", "HEAD:a.py").strip()
    (trap.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    trap.ran()

    with pytest.raises(Exception, match="missing"):
        Repository.open(trap.folder).read("a.py")
    with pytest.raises(Exception, match="missing"):
        Repository.open(trap.folder).export("HEAD", tmp_path / "out")

    assert trap.ran() == []


@pytest.mark.parametrize("worktree", ["/", ".."])
def test_a_work_tree_named_elsewhere_is_not_believed(
    trap: Trap, worktree: str, tmp_path: Path
) -> None:
    git(trap.folder, "config", "core.worktree", worktree)

    repository = Repository.open(trap.folder)
    change = FileChange("a.py", repository.read("a.py"), b"new\n")
    apply(repository, build((), (change,), repository.head_commit()), "x", tmp_path / "j")

    assert (trap.folder / "a.py").read_text() == "new\n"


def test_a_git_in_the_repository_is_not_used(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    (trap.folder / "git").write_bytes((trap.folder / ".git/hooks/pre-commit").read_bytes())
    (trap.folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", ":.:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.chdir(trap.folder)

    Repository.open(Path()).read("a.py")

    assert trap.ran() == []
