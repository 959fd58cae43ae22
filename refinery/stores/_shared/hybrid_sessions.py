"""Sessions of the hybrid store: `{name}_{timestamp}` in a folder, and their archive."""

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from refinery import clock
from refinery.errors import InputError, StoreError
from refinery.stores._shared import hybrid_env, hybrid_sync
from refinery.stores._shared.analytics import Copy

ARCHIVE = "archive"
"""Folder that old sessions are moved to."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SESSION = re.compile(r"(?P<name>.+)_(?P<stamp>[0-9]{8}T[0-9]{6})(-[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Session:
    """One session's files."""

    base: Path
    """Path without `.lmdb` and `.duckdb`."""
    name: str
    started_ns: int
    """From its file name, nanoseconds UTC."""

    @property
    def lmdb(self) -> Path:
        """The folder of its records."""
        return self.base.with_name(self.base.name + ".lmdb")

    @property
    def duckdb(self) -> Path:
        """The file of its columns."""
        return self.base.with_name(self.base.name + ".duckdb")


def new_session(folder: Path, name: str) -> Path:
    """Base path of a new session; its folder is made, so no two calls get the same.

    Raises:
        InputError: the name cannot be a file's.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:100]!r} cannot name a session", hint="use letters, digits, dots and dashes"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be made: {error.strerror}", hint="choose another"
        ) from error
    stamp = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).strftime("%Y%m%dT%H%M%S")
    for number in range(1, 10_000):
        base = folder / (f"{name}_{stamp}" + (f"-{number}" if number > 1 else ""))
        try:
            base.with_name(base.name + ".lmdb").mkdir(mode=0o700)
        except FileExistsError:
            continue
        return base
    raise StoreError(f"{folder} holds too many sessions of one second", hint="try again")


def sessions(folder: Path) -> list[Session]:
    """Sessions in a folder, oldest first; those of the archive are not among them."""
    found = []
    for entry in sorted(folder.glob("*.lmdb")) if folder.is_dir() else ():
        base = entry.with_suffix("")
        parts = _SESSION.fullmatch(base.name)
        if parts and (entry / "data.mdb").is_file():
            moment = datetime.strptime(parts["stamp"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            found.append(Session(base, parts["name"], int(moment.timestamp()) * 10**9))
    return sorted(found, key=lambda one: (one.started_ns, one.base.name))


def archive(folder: Path, before_ns: int) -> list[Session]:
    """Move sessions that started before a moment to the archive; returns those moved.

    Each is synced first, and compacted; one that any process has open stays. The records are
    complete in the archive before they go from the folder.
    """
    moved = []
    for session in sessions(folder):
        if session.started_ns >= before_ns or hybrid_env.is_in_use(session.lmdb):
            continue
        _archive_one(session, folder / ARCHIVE)
        moved.append(session)
    return moved


def _archive_one(session: Session, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    fresh = target / f".{session.base.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    environment = hybrid_env.acquire(session.lmdb, hybrid_env.FULL, hybrid_env.MAX_MAP_BYTES)
    try:
        hybrid_sync.sync(environment, Copy(session.duckdb), hybrid_env.BUSY_TIMEOUT_S)
        environment.copy_to(fresh)
    finally:
        hybrid_env.release(environment)
    file = os.open(fresh / "data.mdb", os.O_RDONLY)
    os.fsync(file)
    os.close(file)
    shutil.move(session.duckdb, target / session.duckdb.name)
    fresh.rename(target / session.lmdb.name)
    shutil.rmtree(session.lmdb)
    session.duckdb.with_name(session.duckdb.name + ".lock").unlink(missing_ok=True)
