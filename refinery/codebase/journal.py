"""The journal: what a commit is about to do, on disk before it does it.

One folder per commit under way, `<journal>/<id>/`: `entry.json`, the before-image and the
after-image of every file. A folder without `entry.json` never began. The journal's lock is a
`flock` that every git command started under it inherits, so it is free as soon as the process
that held it **and its git commands** are gone. Without that a git command that outlives its
starter moves the ref after a restart has looked, and the change is neither made nor dropped.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from refinery import clock
from refinery.codebase.git import Git
from refinery.errors import InputError

LOCK_WAIT_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one file of the work tree and its index entry."""

    path: str
    before: str | None
    """SHA-256 of the content now; None when there is no file."""
    after: str | None
    """SHA-256 of the content to come; None removes the file."""
    index_before: str | None
    """`<mode> <blob>` of the index entry now; None when there is none."""
    index_after: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit under way."""

    entry_id: str
    root: str
    ref: str
    """Full name of the branch, or `HEAD` when it is detached."""
    old: str
    """Commit the ref must be at; zeros when it does not exist yet."""
    new: str
    created_ns: int
    steps: tuple[Step, ...]
    """Empty when the work tree is not touched."""


@contextlib.contextmanager
def locked(journal: Path, git: Git) -> Iterator[None]:
    """Hold the journal alone, and let every git command of this repository hold it as well.

    Raises:
        InputError: the folder cannot be made, or another process holds it for `LOCK_WAIT_S`.
    """
    try:
        journal.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(journal / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(
            f"cannot use the journal {journal}: {error.strerror}",
            hint="check space and permissions",
        ) from error
    try:
        _wait_for(descriptor, journal)
        with git.holding(descriptor):
            yield
    finally:
        # Closed, not unlocked: a git command that is still alive goes on holding it.
        os.close(descriptor)


def _wait_for(descriptor: int, journal: Path) -> None:
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                raise InputError(f"cannot lock {journal}: {error.strerror}") from error
        else:
            return
        if time.monotonic() > until:
            raise InputError(
                "another refinery process is changing this repository",
                hint="try again when it is done",
            )
        time.sleep(_POLL_S)


def new_folder(journal: Path) -> Path:
    """A fresh folder for one entry; its name is the entry's id."""
    folder = journal / clock.short_id("apply")
    folder.mkdir(mode=0o700)
    return folder


def begin(folder: Path, entry: Entry) -> None:
    """Write the entry; from now on a restart knows of it."""
    text = json.dumps(asdict(entry), indent=1).encode()
    write_synced(folder / "entry.tmp", text, 0o600)
    (folder / "entry.tmp").rename(folder / "entry.json")
    sync_folder(folder)
    sync_folder(folder.parent)


def unfinished(journal: Path) -> list[tuple[Path, Entry]]:
    """Entries that a process left, oldest first; folders that never began are removed."""
    found = []
    for folder in sorted(journal.glob("apply-*")) if journal.is_dir() else []:
        try:
            raw = json.loads((folder / "entry.json").read_bytes())
            steps = tuple(Step(**step) for step in raw.pop("steps"))
            found.append((folder, Entry(**raw, steps=steps)))
        except FileNotFoundError:
            finish(folder)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"the journal entry {folder} is damaged: {error}",
                hint="its before-*-files hold your files; move the folder away when done",
            ) from error
    return sorted(found, key=lambda pair: pair[1].created_ns)


def finish(folder: Path) -> None:
    """Forget an entry: its `entry.json` goes first, so that no half entry is ever read."""
    (folder / "entry.json").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        sync_folder(folder)
        shutil.rmtree(folder)


def write_synced(path: Path, content: bytes, mode: int) -> None:
    """Write a new file with these permission bits and make it last."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(content: bytes | None) -> str | None:
    """SHA-256 hex of a file's content; None for no file."""
    return None if content is None else sha256(content).hexdigest()


def default_mode(*, is_executable: bool) -> int:
    """Permission bits of a new file under the user's umask."""
    mask = os.umask(0o077)
    os.umask(mask)
    return (0o777 if is_executable else 0o666) & ~mask
