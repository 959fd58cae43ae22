"""The user's git repository, seen without running anything it names."""

import os
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from refinery.codebase.git import Git, GitError
from refinery.codebase.tree import EXECUTABLE, REGULAR, TreeEntry, parse_tree
from refinery.errors import InputError

if TYPE_CHECKING:
    from refinery.codebase.blobs import BlobReader

_UNFINISHED = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or a mail application",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or revert of several commits",
    "BISECT_LOG": "a bisection",
}


class Repository:
    """A work tree with at least one commit; `open` makes one."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self.root = git.root
        self._trees: dict[str, dict[str, TreeEntry]] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> "Repository":
        """The repository that holds a folder; uncommitted work is no obstacle.

        Raises:
            InputError: the folder is missing, in no repository, in a bare one or in one without
                commits, or a merge, rebase or the like is unfinished.
        """
        root = _find_root(path)
        repository = cls(Git(root, _git_dir(root)))
        repository.check_state()
        return repository

    def check_state(self) -> None:
        """Refuse a bare repository, one without commits, or one amid a merge or the like.

        Raises:
            InputError: it is one of these.
        """
        if self.git.text("config", "--bool", "core.bare", ok=(0, 1)) == "true":
            raise InputError(f"{self.root} is a bare repository", hint="use a clone of it")
        try:
            self.head_commit()
        except GitError as error:
            if self.git.run("for-each-ref", "--count=1"):
                reason = f"HEAD of {self.root} names no commit"
                raise InputError(reason, hint="git switch <branch>") from error
            raise InputError(
                f"{self.root} has no commits yet", hint="git add -A && git commit -m 'first'"
            ) from error
        for name, what in _UNFINISHED.items():
            if (self.git.git_dir / name).exists():
                raise InputError(
                    f"{self.root} is amid {what}", hint="finish or abort it first, see git status"
                )

    def head_commit(self) -> str:
        """Full hash of HEAD."""
        return self.git.text("rev-parse", "--verify", "--quiet", "HEAD^{commit}")

    def branch(self) -> str | None:
        """Name of the current branch; None when HEAD is detached."""
        return self.git.text("symbolic-ref", "--quiet", "--short", "HEAD", ok=(0, 1)) or None

    def resolve(self, commit: str) -> str:
        """Full hash of a commit given by any name git knows.

        Raises:
            InputError: there is no such commit.
        """
        if len(commit) >= 40 and commit in self._trees:
            return commit
        try:
            return self.git.text(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"
            )
        except GitError as error:
            raise InputError(
                f"no commit {commit!r} in {self.root}", hint="git fetch, or name another commit"
            ) from error

    def tree(self, commit: str = "HEAD") -> dict[str, TreeEntry]:
        """Every path of a commit, by path; read once per commit."""
        full = self.resolve(commit)
        if full not in self._trees:
            listed = self.git.run("ls-tree", "-r", "-z", "--full-tree", full)
            self._trees[full] = parse_tree(listed)
        return self._trees[full]

    def files(self, commit: str = "HEAD") -> list[str]:
        """Paths of a commit's regular files, in byte order."""
        regular = (REGULAR, EXECUTABLE)
        return [path for path, entry in self.tree(commit).items() if entry.mode in regular]

    def read(self, path: str, commit: str = "HEAD") -> bytes | None:
        """Bytes of a regular file as committed; None when the commit has no such file."""
        entry = self.tree(commit).get(path)
        if entry is None or entry.mode not in (REGULAR, EXECUTABLE):
            return None
        with self._lock:
            return self._blobs.read(entry.blob)

    def dirty_paths(self) -> list[str]:
        """Tracked files that differ from HEAD in the index or the work tree, in byte order.

        Paths behind a filter (LFS, git-crypt) are left out: telling whether they changed would
        mean running the filter.
        """
        named = self.git.run("diff", *_PLAIN, "--name-only", "-z", "HEAD", "--")
        paths = [os.fsdecode(path) for path in named.split(b"\0") if path]
        filtered = self.filtered_paths(paths)
        return [path for path in paths if path not in filtered]

    def dirty_diff(self) -> str | None:
        """`git diff --binary HEAD` of `dirty_paths`; None when there are none.

        Bytes that are no UTF-8 are kept as surrogates (`os.fsencode` gives them back).
        """
        paths = self.dirty_paths()
        if not paths:
            return None
        diff = self.git.run(
            "--literal-pathspecs",
            "diff",
            *_PLAIN,
            "--binary",
            "--full-index",
            "HEAD",
            "--",
            *paths,
        )
        return diff.decode("utf-8", "surrogateescape") or None

    def filtered_paths(self, paths: list[str]) -> set[str]:
        """Which of the paths have a `filter` attribute, the user's attribute files included."""
        if not paths:
            return set()
        listed = self.git.run("check-attr", "-z", "filter", "--", *paths)
        fields = [os.fsdecode(item) for item in listed.split(b"\0")]
        triples = zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
        return {path for path, _, value in triples if value not in ("unspecified", "unset")}

    def export(self, commit: str, target: Path, dirty_diff: str | None = None) -> None:
        """Write the files of a commit into a folder without `.git`; see `codebase.export`.

        Raises:
            InputError: no such commit, the folder is not empty, or the diff does not apply.
        """
        from refinery.codebase.export import export

        export(self.git, self.tree(commit), target, dirty_diff)

    @cached_property
    def _blobs(self) -> "BlobReader":
        from refinery.codebase.blobs import BlobReader

        return BlobReader(self.git)


_PLAIN = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-renames",
    "--ignore-submodules=all",
)


def is_tracked(path: Path) -> bool:
    """Whether git tracks the path or anything below it; False outside a repository."""
    try:
        root = _find_root(path.parent)
        git = Git(root, _git_dir(root))
        relative = path.parent.resolve().relative_to(root) / path.name
        return bool(git.text("ls-files", "-z", "--", f":(literal){relative.as_posix()}"))
    except (InputError, GitError):
        return False


def _find_root(path: Path) -> Path:
    """The nearest folder at or above `path` with a `.git` entry."""
    if not path.exists():
        raise InputError(f"no folder {path}", hint="name the repository with --repo DIR")
    start = path.resolve()
    for folder in (start, *start.parents):
        if (folder / ".git").exists() or (folder / ".git").is_symlink():
            if ".git" in start.relative_to(folder).parts:
                raise InputError(f"{path} is inside a .git folder", hint=f"use {folder}")
            return folder
        if all((folder / name).exists() for name in ("HEAD", "objects", "refs")):
            raise InputError(f"{folder} is a bare repository", hint="use a clone of it")
    raise InputError(f"{path} is not in a git repository", hint="git init, or --repo DIR")


def _git_dir(root: Path) -> Path:
    """The folder behind `.git`, which is a file in linked work trees and submodules."""
    dot = root / ".git"
    folder = dot
    if dot.is_file():
        text = dot.read_text(encoding="utf-8", errors="surrogateescape").strip()
        folder = root / text.removeprefix("gitdir:").strip()
    if not (folder / "HEAD").exists() and not (folder / "HEAD").is_symlink():
        raise InputError(
            f"{root / '.git'} leads to no git repository ({folder})",
            hint="git worktree repair, or git submodule update --init",
        )
    return folder.resolve()
