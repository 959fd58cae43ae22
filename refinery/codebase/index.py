"""The user's index: read entries, and replace a few of them without losing the others.

A new index is made as a copy (with the old modification time, which git needs to tell entries
that changed in the same moment), gets its lock by a hard link, and takes the old one's place by a
rename. The lock is held for less than a millisecond, and since it is the same file as our copy, a
restart can prove that it is ours.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refinery.codebase.git import Git
from refinery.codebase.journal import Step
from refinery.errors import InputError, RefusedError

LOCK_WAIT_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One staged path."""

    mode: str
    blob: str

    def __str__(self) -> str:
        """The form of the journal."""
        return f"{self.mode} {self.blob}"


def entries(git: Git, paths: Sequence[str]) -> dict[str, IndexEntry]:
    """Index entries of the paths that have one.

    Raises:
        RefusedError: a path is unmerged, or git was told not to look at its file (skip-worktree,
            assume-unchanged).
    """
    listed = git.run(
        "--literal-pathspecs", "ls-files", "-z", "-v", "--stage", "--full-name", "--", *paths
    )
    found: dict[str, IndexEntry] = {}
    for line in listed.split(b"\0"):
        head, _, name = line.partition(b"\t")
        path = os.fsdecode(name)
        if path not in paths:
            continue
        flag, mode, blob, stage = head.decode("ascii").split(" ")
        if stage != "0":
            raise RefusedError(f"{path} has an unfinished merge", hint="git add it first")
        if flag != "H":
            raise RefusedError(
                f"git does not look at the file {path} (skip-worktree or assume-unchanged)",
                hint="git update-index --no-skip-worktree --no-assume-unchanged, or use --branch",
            )
        found[path] = IndexEntry(mode, blob)
    return found


def copy_name(git: Git, entry_id: str) -> Path:
    """Where the new index is made: beside the old one, so that it can be linked."""
    return git.git_dir / f"refinery-{entry_id}.index"


def install(git: Git, steps: Sequence[Step], entry_id: str) -> None:
    """Give the user's index the new entries of the steps, and no other change.

    Raises:
        InputError: another git command holds the index for `LOCK_WAIT_S`.
    """
    index, lock = git.git_dir / "index", git.git_dir / "index.lock"
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        before = index.stat()
        copy = _prepared(git, steps, copy_name(git, entry_id))
        try:
            os.link(copy, lock)
        except FileExistsError as error:
            if time.monotonic() > until:
                raise InputError(f"{lock} is held", hint="another git command?") from error
            time.sleep(_POLL_S)
            continue
        if _identity(index.stat()) == _identity(before):
            lock.rename(index)
            copy.unlink()
            return
        lock.unlink()


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _prepared(git: Git, steps: Sequence[Step], copy: Path) -> Path:
    """A copy of the user's index with the new entries, their file times filled in."""
    copy.unlink(missing_ok=True)
    shutil.copy2(git.git_dir / "index", copy)
    private = {"GIT_INDEX_FILE": str(copy)}
    lines = []
    for step in steps:
        zeros = "0" * len((step.index_before or "").partition(" ")[2])
        mode, _, blob = (step.index_after or f"0 {zeros}").partition(" ")
        lines.append(f"{mode} {blob}\t".encode() + os.fsencode(step.path) + b"\0")
    git.run("update-index", "-z", "--index-info", stdin=b"".join(lines), extra=private)
    present = [step.path for step in steps if step.index_after and step.after]
    if present:
        git.run(
            "--literal-pathspecs", "add", "--refresh", "--", *present, ok=(0, 1), extra=private
        )
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    return copy
