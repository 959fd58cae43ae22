"""The spool: a bounded queue, one writer thread, and append-only files that survive `kill -9`.

A line is one view of one run. The host's thread pays for `put` alone: two counters and a queue
that never blocks. Whatever was written has reached the operating system, so it outlives the
process (not a power cut). At exit the queue is flushed for at most `EXIT_S` seconds.
"""

import atexit
import contextlib
import json
import os
import queue
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

# Imported here and not on the writer thread: a process that forks in the middle of an import
# leaves its child a module that is half there.
try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # absence of the module is the marker
try:
    import fcntl
except ImportError:  # pragma: no cover  # not POSIX: files are told apart by process id alone
    fcntl = None  # type: ignore[assignment]  # absence of the module is the marker

QUEUE_BYTES = 64 << 20
"""Most bytes (estimated) that wait to be written; chosen by us: a burst of 20,000 runs of 2 KB."""
FILE_BYTES = 64 << 20
"""A file is closed and a new one begun at this size, so that a long process can be drained."""
BATCH = 256
"""Most views written by one call."""
EXIT_S = 0.55
"""Longest wait for the writer at exit; promised is a delay below one second in all."""
FLUSH_S = 0.9
"""Longest wait for the writer when the host asks to flush."""
GATHER_S = 0.02
"""Pause before a batch is taken: runs shorter than this are then encoded once, not twice."""
RETRY_S = 1.0
"""Pause before a folder that could not be written is tried again."""


class Record(Protocol):
    """What the sink takes: something that can become one JSON document later."""

    key: str
    """Records of one key replace each other while they wait."""
    size_bytes: int
    """Estimated size, for the bound of the queue."""

    def absorb(self, earlier: Any) -> None:
        """Take over what only an earlier record of the same key, not to be written, tells."""
        ...

    def document(self) -> dict[str, Any]:
        """The JSON document; called once, on the writer thread."""
        ...


def dump(document: dict[str, Any]) -> bytes:
    """One JSON document as a line; orjson when it is importable, else the standard library."""
    if orjson is not None:
        with contextlib.suppress(TypeError):  # e.g. an integer of more than 64 bits
            return orjson.dumps(document) + b"\n"
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


class SpoolSink:
    """Writes records to `<folder>/<pid>-<uuid>.jsonl`; no method ever raises.

    The file is locked (`flock`) for as long as its writer lives, which is how the reader knows
    that a file will not grow any more. A forked child begins a file of its own.
    """

    def __init__(self, folder: Path, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self.folder = folder
        self._limit = queue_bytes
        self.dropped = 0
        """Views lost since the last `close`."""
        self.reason = ""
        """Why the latest of them was lost."""
        self._reset()
        _enroll(self)

    def put(self, record: Record) -> bool:
        """Queue a record; False when it was dropped because the queue is full."""
        with self._count_lock:
            if self._waiting_bytes + record.size_bytes > self._limit:
                self.dropped += 1
                return False
            self._waiting_bytes += record.size_bytes
        self._queue.put(record)
        if self._thread is None:
            self._start()
        return True

    def lose(self, reason: str) -> None:
        """Count one view that could not be recorded, and remember why."""
        with self._count_lock:
            self.dropped += 1
            self.reason = reason

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until everything queued so far is written; False when time ran out first."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._queue.put(done)
        self._is_awaited.set()
        return done.wait(timeout_s)

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Flush, then tell on stderr in one line what was lost, if anything."""
        flushed = self.flush(timeout_s)
        lost = self.dropped + (0 if flushed else max(1, self._queue.qsize() - 1))
        if lost:
            why = self.reason or ("queue full" if flushed else "the disk is too slow")
            with contextlib.suppress(Exception):
                sys.stderr.write(f"refinery: {lost} run views were not recorded ({why})\n")
        self.dropped, self.reason = 0, ""

    def _reset(self) -> None:
        """Begin anew, with nothing queued; also what a forked child does."""
        self._queue: queue.SimpleQueue[Record | threading.Event] = queue.SimpleQueue()
        # Reentrant, so that a signal handler that records cannot wait for itself.
        self._count_lock = threading.RLock()
        self._waiting_bytes = 0
        self._is_awaited = threading.Event()
        self._thread: threading.Thread | None = None
        self._file: int | None = None
        self._file_bytes = 0
        self._retry_at = 0.0
        self.dropped = 0
        self.reason = ""

    def after_fork(self) -> None:
        """Drop the parent's file and queue; the parent writes what it had queued."""
        inherited = self._file
        self._reset()
        if inherited is not None:
            with contextlib.suppress(OSError):
                os.close(inherited)

    def _start(self) -> None:
        with self._count_lock:
            if self._thread is None:
                thread = threading.Thread(target=self._write_forever, args=(self._queue,))
                thread.name, thread.daemon = "refinery-recorder", True
                self._thread = thread
                try:
                    thread.start()
                    _flush_with_multiprocessing()
                except RuntimeError as error:  # at interpreter shutdown, or out of threads
                    self._thread = None
                    self.lose(str(error))

    def _write_forever(self, source: "queue.SimpleQueue[Record | threading.Event]") -> None:
        while source is self._queue:
            taken: list[Record | threading.Event] = [source.get()]
            self._is_awaited.wait(GATHER_S)
            self._is_awaited.clear()
            with contextlib.suppress(queue.Empty):
                while len(taken) < BATCH:
                    taken.append(source.get_nowait())
            try:
                self._write([item for item in taken if not isinstance(item, threading.Event)])
            except Exception as error:  # noqa: BLE001  # the writer must live on
                self.lose(f"{type(error).__name__}: {error}")
            for item in taken:
                if isinstance(item, threading.Event):
                    item.set()

    def _write(self, records: Iterable[Record]) -> None:
        """Write a batch; of several views of one run only the last, which holds the others."""
        latest: dict[str, Record] = {}
        freed = 0
        for record in records:
            freed += record.size_bytes
            if earlier := latest.pop(record.key, None):
                record.absorb(earlier)
            latest[record.key] = record
        lines = []
        for record in latest.values():
            try:
                lines.append(dump(record.document()))
            except Exception as error:  # noqa: BLE001  # a hostile value costs its own run only
                self.lose(f"{type(error).__name__} while encoding")
        try:
            if lines:
                self._append(b"".join(lines), len(lines))
        finally:
            with self._count_lock:
                self._waiting_bytes -= freed

    def _append(self, block: bytes, count: int) -> None:
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with self._count_lock:
                self.dropped += count
                self.reason = f"cannot write to {self.folder}: {error.strerror or error}"
            self._shut()
            return
        self._file_bytes += len(block)
        if self._file_bytes >= FILE_BYTES:
            self._shut()

    def _open(self) -> None:
        if time.monotonic() < self._retry_at:
            raise OSError(0, self.reason.rpartition(": ")[2] or "not writable")
        self._retry_at = time.monotonic() + RETRY_S
        prepare(self.folder)
        path = self.folder / f"{os.getpid()}-{uuid.uuid4().hex}.jsonl"
        unborn = path.with_suffix(".part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        self._file = os.open(unborn, flags, 0o600)
        self._file_bytes = 0
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Named only when locked: a reader deletes finished files, and an unlocked one is finished.
        unborn.rename(path)
        self._retry_at = 0.0

    def _shut(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
        self._file = None


def prepare(folder: Path) -> None:
    """Make the spool folder, private; its parent is a `.refinery` folder git must not see.

    Raises:
        OSError: it cannot be made.
    """
    parent = folder.parent
    is_new = not parent.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_new and parent.name == ".refinery":
        (parent / ".gitignore").write_text("*\n", encoding="utf-8")


_SINKS: "weakref.WeakSet[SpoolSink]" = weakref.WeakSet()
_hooked = threading.Event()


def _enroll(sink: SpoolSink) -> None:
    """Have a sink flushed at exit and begun anew in forked children."""
    _SINKS.add(sink)
    if not _hooked.is_set():
        _hooked.set()
        atexit.register(close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)


_shared: dict[Path, SpoolSink] = {}


def shared_sink(folder: Path) -> SpoolSink:
    """The one sink of this process that writes into a spool folder."""
    return _shared.setdefault(folder, SpoolSink(folder))


def flush_all(timeout_s: float = FLUSH_S) -> None:
    """Wait until everything queued in this process is written, or time runs out."""
    until = time.monotonic() + timeout_s
    for sink in list(_SINKS):
        sink.flush(max(0.0, until - time.monotonic()))


def close_all() -> None:
    """Close every sink of this process, all within `EXIT_S`."""
    until = time.monotonic() + EXIT_S
    for sink in list(_SINKS):
        sink.close(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    for sink in list(_SINKS):
        sink.after_fork()


def _flush_with_multiprocessing() -> None:
    """Forked workers of `multiprocessing` end without `atexit`; they run its finalizers."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util and process and process.parent_process() is not None:
        util.Finalize(None, close_all, exitpriority=10)
