"""Git's lock files: wait for those of others, and remove only those that are provably ours.

git writes no owner into a lock. A lock that is there when we find our journal entry is ours when
it was not there just before our command (we waited for that), appeared within the time our
command may take, no git process works on the repository any more, and its content is what our
command writes: nothing yet, or the new commit.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from refinery.codebase.git import Git
from refinery.codebase.journal import Entry
from refinery.errors import InputError

WAIT_S = 5.0
"""Longest wait for another git command to end; chosen by us."""
WINDOW_S = 10.0
"""How long after the journal entry our own lock may appear; the command takes about 3 ms."""
_POLL_S = 0.02


def paths(git: Git, ref: str) -> list[Path]:
    """Lock files of the index, of HEAD and of a ref."""
    own = [git.git_dir / "index.lock", git.git_dir / "HEAD.lock"]
    return own if ref == "HEAD" else [*own, git.common_dir / f"{ref}.lock"]


def wait_until_free(git: Git, ref: str) -> None:
    """Wait until no other git command holds what we need.

    Raises:
        InputError: a lock is still there after `WAIT_S`.
    """
    until = time.monotonic() + WAIT_S
    while held := [path for path in paths(git, ref) if os.path.lexists(path)]:
        if time.monotonic() > until:
            raise InputError(
                f"{held[0]} exists: another git command is running, or one was killed",
                hint="when no git command runs any more, remove that file",
            )
        time.sleep(_POLL_S)


def remove_ours(git: Git, entry: Entry, recorded: Path, index_copy: Path) -> list[str]:
    """Remove the locks a killed process of ours left; says what was removed and what was not.

    Args:
        git: the repository.
        entry: what that process was doing.
        recorded: its `entry.json`, whose time tells when it began.
        index_copy: the file its index lock is a hard link of.
    """
    said = []
    is_busy = not wait_for_git(git)
    for path in paths(git, entry.ref):
        if not os.path.lexists(path):
            continue
        is_linked = index_copy.exists() and path.name == "index.lock" and path.samefile(index_copy)
        if is_linked or (not is_busy and _is_ours(path, entry, recorded)):
            path.unlink()
            said.append(f"removed our lock {path.name}")
        else:
            said.append(f"left the lock {path}: it may belong to another git command")
    return said


def _is_ours(path: Path, entry: Entry, recorded: Path) -> bool:
    if path.name == "index.lock":
        return False  # ours is always a link of our copy
    age = path.lstat().st_mtime_ns - recorded.stat().st_mtime_ns
    is_timely = -1e8 <= age <= WINDOW_S * 1e9  # file systems stamp in steps of some ms
    return is_timely and path.read_bytes().strip() in (b"", entry.new.encode())


def wait_for_git(git: Git) -> bool:
    """Whether all git commands in the repository ended within `WAIT_S`."""
    until = time.monotonic() + WAIT_S
    while any(_git_processes(git)):
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


def _git_processes(git: Git) -> Iterator[int]:
    """Processes of git whose working folder is in the repository."""
    proc = Path("/proc")
    for folder in proc.iterdir() if proc.is_dir() else ():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
            where = (folder / "cwd").readlink()
        except OSError:
            continue
        inside = any(where.is_relative_to(place) for place in (git.root, git.common_dir))
        if name.startswith("git") and inside:
            yield int(folder.name)
