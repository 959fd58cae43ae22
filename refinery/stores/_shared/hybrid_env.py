"""The LMDB environment of the hybrid store: shared in a process, safe across forks, growing.

LMDB wants one environment a path and process, no transaction while the map grows, and none across
a fork: so writers of a process take turns under one lock, readers are counted, and growing and
forking wait for both. Writers of different processes take turns by a lock file, because LMDB
itself would wait without end.
"""

import contextlib
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import lmdb  # noqa: TID253  # this file is imported when a hybrid store is opened

from refinery import clock
from refinery.errors import StoreError
from refinery.stores._shared import hybrid_pages
from refinery.stores._shared.hybrid_keys import damaged

T = TypeVar("T")


class _ResizedError(Exception):
    """The map is larger than this process knows."""


DATABASES = (
    "meta",
    "run_ids",
    "heads",
    "bodies",
    "by_start",
    "of_trace",
    "by_parent",
    "trace_ids",
    "traces",
    "traces_by_start",
    "log",
    "feedback_ids",
    "feedback",
    "feedback_of",
    "feedback_waiting",
    "blobs",
    "blobs_of",
    "traces_of",
    "words",
    "unindexed",
)
"""Named databases; what each holds is told in `hybrid_records`."""

BUSY_TIMEOUT_S = 5.0
FIRST_MAP_BYTES = 16 * 2**20
"""Size of a new map; it doubles when full. Only address space: the file grows as it is used."""
MAX_MAP_BYTES = 2**40
"""Where doubling ends unless asked otherwise: one TiB."""

FULL, PROCESS = "full", "process"
"""Durability: `full` survives the machine's end, `process` that of the process."""

_open: "dict[str, Environment]" = {}
_all: "weakref.WeakSet[Environment]" = weakref.WeakSet()
_registry = threading.RLock()


class Environment:
    """One LMDB folder as this process sees it; `acquire` and `release` count its users."""

    def __init__(self, folder: Path, durability: str, max_map_bytes: int) -> None:
        self.folder = folder
        self._durability = durability
        self._max_map_bytes = max_map_bytes
        self._lock = threading.RLock()
        self._is_idle = threading.Condition(self._lock)
        self._readers = 0
        self._users = 0
        self._env: Any = None
        self._turn = -1
        self._in_use = -1
        self.dbs: dict[str, Any] = {}
        self._process = os.getpid()

    def _start(self) -> None:
        with _explained(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._turn = _lock_file(self.folder / "writer.lock")
            self._in_use = _lock_file(self.folder / "in-use.lock")
            self._take_turn(self._in_use, fcntl.LOCK_SH)
            self._take_turn(self._turn, fcntl.LOCK_EX)
            try:
                self._open_map()
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _open_map(self) -> None:
        file = self.folder / "data.mdb"
        is_new = not file.exists()
        if not is_new:
            hybrid_pages.check(file)
        self._env = lmdb.open(
            str(self.folder),
            map_size=max(FIRST_MAP_BYTES, 0 if is_new else file.stat().st_size),
            max_dbs=len(DATABASES) + 4,
            max_readers=510,
            mode=0o600,
            sync=self._durability == FULL,
        )
        self._env.reader_check()
        self.dbs = self._databases(is_new=is_new)

    def _databases(self, *, is_new: bool) -> dict[str, Any]:
        if not is_new:
            with self._env.begin() as txn:
                names = {bytes(key) for key, _ in txn.cursor()}
            if names and b"meta" not in names:
                raise StoreError(
                    f"{self.folder} is an LMDB store of another program",
                    hint="read it with `refinery import`, and choose another name for the store",
                )
        return {name: self._env.open_db(name.encode()) for name in DATABASES}

    def _take_turn(self, file: int, kind: int) -> None:
        """Wait for a lock file, for a bounded time."""
        deadline = clock.monotonic_s() + BUSY_TIMEOUT_S
        pause_s = 0.0001
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if clock.monotonic_s() > deadline:
                    raise StoreError(
                        f"the hybrid store {self.folder} has been in use by another process for "
                        f"more than {BUSY_TIMEOUT_S:.0f} s",
                        hint="try again when the other program is done",
                    ) from error
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.005)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Keep other writers of this process out; readers go on."""
        with self._lock, _explained(self.folder):
            self._see_that_it_is_open()
            yield

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Keep the map as it is; others may read and write meanwhile."""
        with self._lock, _explained(self.folder):
            self._see_that_it_is_open()
            self._readers += 1
        try:
            with _explained(self.folder):
                yield
        finally:
            with self._lock:
                self._readers -= 1
                self._is_idle.notify_all()

    def _see_that_it_is_open(self) -> None:
        if self._users <= 0:
            raise StoreError(f"the hybrid store {self.folder} is closed", hint="open it again")
        if self._process != os.getpid():
            self._reopen_after_fork()

    def wait_for_readers(self) -> None:
        """Wait until no transaction of this process reads; the lock must be held."""
        while self._readers:
            self._is_idle.wait()

    def _reopen_after_fork(self) -> None:
        self._process = os.getpid()
        self._env.close()  # only this process's view: no transaction was open when it forked
        for file in (self._turn, self._in_use):
            os.close(file)
        self._start()

    def read(self, work: Callable[[Any], T]) -> T:
        """Do something with a read transaction: one moment of the store."""
        while True:
            try:
                with self._reading(), self._env.begin() as txn:
                    return work(txn)
            except _ResizedError:  # another process has made the map grow
                with self._held():
                    self.wait_for_readers()
                    self._env.set_mapsize(0)

    def write(self, work: Callable[[Any], T]) -> T:
        """Do something in one write transaction; it may be done again when the map must grow.

        Raises:
            StoreError: another process writes for too long, or there is no more room.
        """
        with self._held():
            self._take_turn(self._turn, fcntl.LOCK_EX)
            try:
                while True:
                    try:
                        with self._env.begin(write=True) as txn:
                            return work(txn)
                    except lmdb.MapResizedError:
                        self.wait_for_readers()
                        self._env.set_mapsize(0)
                    except lmdb.MapFullError:
                        self._grow()
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _grow(self) -> None:
        size = self._env.info()["map_size"]
        if size >= self._max_map_bytes:
            raise StoreError(
                f"the hybrid store {self.folder} is full: its map may not exceed "
                f"{self._max_map_bytes} bytes",
                hint="delete old traces, or raise max_map_mb in the store's URL",
            )
        self.wait_for_readers()
        self._env.set_mapsize(min(size * 2, self._max_map_bytes))

    def flush(self) -> None:
        """Write what the system still holds in memory to the disk, where commits do not."""
        if self._durability != PROCESS:
            return
        with self._held():
            self._users += 1  # so that it stays open; writers need not wait for the disk
            environment = self._env
        try:
            with _explained(self.folder):
                environment.sync(True)
        finally:
            self.release()

    def map_bytes(self) -> int:
        """Size of the map in this process."""
        with self._held():
            return int(self._env.info()["map_size"])

    def copy_to(self, folder: Path) -> None:
        """Write a compact copy of one moment."""
        with self._held():
            self._env.copy(str(folder), compact=True)

    def acquire(self) -> None:
        """One more user; the first opens it."""
        with self._lock:
            if self._users == 0:
                self._process = os.getpid()
                try:
                    self._start()
                except BaseException:
                    self._end()
                    raise
            self._users += 1

    def release(self) -> None:
        """One user less; the last closes it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.wait_for_readers()
                self._end()

    def _end(self) -> None:
        if self._env is not None:
            self._env.close()
        self._env = None
        for file in (self._turn, self._in_use):
            if file >= 0:
                os.close(file)
        self._turn = self._in_use = -1


def acquire(folder: Path, durability: str, max_map_bytes: int) -> Environment:
    """The environment of a folder, opened when this is its first user in the process."""
    with _registry:
        key = str(folder.absolute())
        found = _open.get(key)
        if found is None:
            found = Environment(folder, durability, max_map_bytes)
            _all.add(found)
        found.acquire()
        _open[key] = found
        return found


def release(environment: Environment) -> None:
    """Let go of an environment got by `acquire`."""
    with _registry:
        environment.release()
        if environment._users == 0:
            _open.pop(str(environment.folder.absolute()), None)


def is_in_use(folder: Path) -> bool:
    """Whether any process has the environment open."""
    try:
        file = os.open(folder / "in-use.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _lock_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what LMDB and the system raise inside into a `StoreError` that says what to do."""
    try:
        yield
    except lmdb.MapResizedError as error:
        raise _ResizedError from error
    except lmdb.DiskError as error:
        raise StoreError(
            f"the hybrid store {folder} cannot be written: {error}", hint="check the disk"
        ) from error
    except lmdb.ReadersFullError as error:
        raise StoreError(
            f"too many processes read the hybrid store {folder}", hint="end some of them"
        ) from error
    except lmdb.Error as error:
        raise damaged(f"{folder}: {error}") from error
    except OSError as error:
        raise StoreError(
            f"the hybrid store {folder} cannot be used: {error.strerror or error}",
            hint="choose another place with --store, or correct its rights",
        ) from error


def _before_fork() -> None:
    _registry.acquire()
    for one in list(_all):
        one._lock.acquire()
        one.wait_for_readers()


def _after_fork() -> None:
    for one in list(_all):
        one._lock.release()
    _registry.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
