"""The spool: a bounded queue, one writer thread, and append-only files that survive `kill -9`.

The host's thread pays for `put` alone: two counters and a queue, no lock. The writer packs what
waits into one block and writes it by one call (see `spool_file`). Whatever was written has
reached the operating system, so it outlives the process (not a power cut). At exit the queue is
flushed for as long as blocks are written: a sink that writes none for `EXIT_S` seconds is given
up.
"""

import atexit
import contextlib
import os
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from pathlib import Path

from refinery.recorders.spool_file import best_format, shared_line

# Imported here and not on the writer thread: a process that forks in the middle of an import
# leaves its child a module that is half there.
try:
    import fcntl
except ImportError:  # pragma: no cover  # not POSIX: files are told apart by process id alone
    fcntl = None  # type: ignore[assignment]  # absence of the module is the marker

QUEUE_BYTES = 64 << 20
"""Most bytes (estimated) that wait to be written; chosen by us: a burst of 20,000 runs of 2 KB."""
FILE_BYTES = 64 << 20
"""A file is closed and a new one begun at this size, so that a long process can be drained."""
BATCH = 500
"""Most records packed into one block."""
BLOCK_BYTES = 4 << 20
"""Size (estimated) at which a block takes no further record."""
EXIT_S = 0.55
"""Longest wait at exit for a writer that writes nothing; promised is that a dead sink delays the
exit by less than a second in all."""
EXIT_MOST_S = 5.0
"""Longest wait at exit for one that does; chosen by us, a full queue takes about 1 s."""
HALT_S = 0.25
"""Longest wait at exit until a writer that was given up comes to rest."""
FLUSH_S = 0.9
"""Longest wait for the writer when the host asks to flush."""
GATHER_S = 0.1
"""Longest pause before a block is made: runs shorter than this are written once, not twice, and
a writer that wakes less often costs the host less (a tenth of all, against 0.02)."""
ALERT_S = 1.0
"""How long the writer looks again by itself, so that a busy host need not wake it each time."""
RETRY_S = 1.0
"""Pause before a folder that could not be written is tried again."""
_OVERHEAD = 500
"""Size counted for a record beside what it holds, in bytes."""


class Record:
    """What the sink takes: something that can become one line later."""

    __slots__ = ("__weakref__", "counted_bytes", "queue", "size_bytes")

    def __init__(self) -> None:
        self.size_bytes = 0
        """Estimated size, for the bound of the queue; may grow until the record is written."""
        self.counted_bytes = 0
        """The sink's: how much of it is counted at present."""
        self.queue: object = None
        """The sink's: the queue it waits in."""

    def line(self, shared: dict[str, bytes] | None) -> bytes:
        """What is to be written, as JSON with a line's end; called on the writer thread.

        Args:
            shared: where to put long texts, as JSON, that other lines of the block may tell too;
                None when the block has no place for them.
        """
        raise NotImplementedError

    def is_written(self) -> None:
        """Called on the writer thread when the line has reached the file."""


class SpoolSink:
    """Writes records to `<folder>/<pid>-<uuid>.jsonl.zst`; no method ever raises.

    The file is locked (`flock`) for as long as its writer lives, which is how the reader knows
    that a file will not grow any more. A forked child begins a file of its own.
    """

    def __init__(self, folder: Path, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self.folder = folder
        self._limit = queue_bytes
        self._waiting_bytes = 0
        self._is_awake = False
        self._awaited = threading.Event()
        self._format = best_format()
        self.dropped = 0
        """Views lost since the last `close`."""
        self.reason = ""
        """Why the latest of them was lost."""
        self.left_out = 0
        """Traces left out by sampling since then."""
        self.left_out_failed = 0
        self._reset()
        _enroll(self)

    def put(self, record: Record) -> bool:
        """Queue a record; False when it was dropped because the queue is full.

        One that waits already is not queued again: it is written as it is by then.
        """
        # Nothing here calls what could let another thread in between reading and writing the sum;
        # should it happen all the same, the writer sets it right when nothing waits.
        queue, size = self._queue, record.size_bytes + _OVERHEAD
        waits = record.queue is queue
        waiting = self._waiting_bytes + size
        if waits:
            waiting -= record.counted_bytes
        if waiting > self._limit:
            with self._lock:
                self.dropped += 1
            return False
        self._waiting_bytes = waiting
        record.counted_bytes = size
        if waits:
            return True
        record.queue = queue
        queue.append(record)
        if len(queue) == BATCH:
            self._awaited.set()
        if not self._is_awake:
            self._rouse()
        return True

    def lose(self, reason: str) -> None:
        """Count one view that could not be recorded, and remember why."""
        with self._lock:
            self.dropped += 1
            self.reason = reason

    def leave_out(self, *, traces: int = 0, failed: int = 0) -> None:
        """Count traces that sampling leaves out, and those of them that turned out to fail."""
        with self._lock:
            self.left_out += traces
            self.left_out_failed += failed

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until everything queued so far is written; False when time ran out first."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._queue.append(done)
        self._awaited.set()
        self._rouse()
        return done.wait(timeout_s)

    def close(self, patience_s: float = EXIT_S) -> bool:
        """Flush, then tell on stderr in one line each what was lost and what left out.

        Args:
            patience_s: how long to wait while nothing is written.

        Returns:
            Whether all that waited has been taken.
        """
        flushed = self._drain(patience_s)
        waiting = sum(isinstance(item, Record) for item in list(self._queue))
        lost = self.dropped + (0 if flushed else max(1, waiting))
        told = []
        if lost:
            why = self.reason or ("queue full" if flushed else "the disk is too slow")
            told.append(f"refinery: {lost} run views were not recorded ({why})\n")
        if self.left_out:
            failed = f", {self.left_out_failed} of them failed" if self.left_out_failed else ""
            told.append(f"refinery: sampling left out {self.left_out} traces{failed}\n")
        if told:
            with contextlib.suppress(Exception):
                sys.stderr.write("".join(told))
        self.dropped, self.reason = 0, ""
        self.left_out = self.left_out_failed = 0
        return flushed

    def _drain(self, patience_s: float) -> bool:
        """Wait for the writer while it gets on; False when it does not, or for too long."""
        until = time.monotonic() + EXIT_MOST_S
        written, is_empty = self._blocks, self.flush(patience_s)
        while not is_empty and self._blocks != written and time.monotonic() < until:
            written, is_empty = self._blocks, self.flush(patience_s)
        return is_empty

    def halt(self) -> None:
        """Have the writer rest for good: the interpreter is about to end.

        A thread that is inside RE2 by then would abort the whole process when it comes back.
        """
        self._is_halted = True
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._awaited.set()
            self._wake.set()
            until = time.monotonic() + HALT_S
            # In the middle of a write it does no harm, and may be there for ever.
            while not self._is_writing and time.monotonic() < until:
                if self._rests.wait(0.01):
                    break

    def _rest_if_halted(self) -> None:
        while self._is_halted:
            self._rests.set()
            time.sleep(3600)

    def _reset(self) -> None:
        """Begin anew, with nothing queued; also what a forked child does."""
        self._queue: deque[Record | threading.Event] = deque()
        # Reentrant, so that a signal handler that records cannot wait for itself.
        self._lock = threading.RLock()
        self._waiting_bytes = 0
        self._wake = threading.Event()
        self._is_awake = False
        self._awaited = threading.Event()
        self._thread: threading.Thread | None = None
        self._file: int | None = None
        self._file_bytes = 0
        self._retry_at = 0.0
        self._blocks = 0
        """Blocks that were written, or could not be."""
        self._is_halted = self._is_writing = False
        self._rests = threading.Event()
        self.dropped, self.reason = 0, ""
        self.left_out = self.left_out_failed = 0

    def after_fork(self) -> None:
        """Drop the parent's file and queue; the parent writes what it had queued."""
        inherited = self._file
        self._reset()
        self._format = best_format()  # a compressor may have been at work
        if inherited is not None:
            with contextlib.suppress(OSError):
                os.close(inherited)

    def _rouse(self) -> None:
        """Have the writer look at the queue, which it does for `ALERT_S` from then on."""
        self._is_awake = True
        self._wake.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._write_forever, daemon=True)
                thread.name = "refinery-recorder"
                self._thread = thread
                try:
                    thread.start()
                    _flush_with_multiprocessing()
                except RuntimeError as error:  # at interpreter shutdown, or out of threads
                    self._thread = None
                    self._is_awake = False
                    self.lose(str(error))

    def _write_forever(self) -> None:
        while True:
            try:
                self._rest_if_halted()
                self._wake.wait()
                self._wake.clear()
                until = time.monotonic() + ALERT_S
                while time.monotonic() < until and not self._is_halted:
                    if len(self._queue) < BATCH:
                        self._awaited.wait(GATHER_S)
                        self._awaited.clear()
                    if self._queue:
                        self._write_some()
                        until = time.monotonic() + ALERT_S
                self._is_awake = False
                if self._queue:  # put between the last look and now
                    self._rouse()
            except BaseException as error:  # noqa: BLE001  # the writer must live on
                self._wake.set()
                self.lose(f"{type(error).__name__}: {error}")

    def _write_some(self) -> None:
        """Write one block, and tell who waits for it."""
        records: list[Record] = []
        waiters: list[threading.Event] = []
        freed = 0
        while self._queue and len(records) < BATCH and freed < BLOCK_BYTES:
            item = self._queue.popleft()
            if isinstance(item, threading.Event):
                waiters.append(item)
                continue
            item.queue = None  # before its line is made: what comes later is put again
            freed += item.counted_bytes
            records.append(item)
        try:
            self._write(records)
        finally:
            self._blocks += 1
            self._waiting_bytes -= freed
            if not self._queue:
                self._waiting_bytes = 0
            for waiter in waiters:
                waiter.set()

    def _write(self, records: list[Record]) -> None:
        shared: dict[str, bytes] | None = {} if self._format.head_bytes else None
        lines, told = [], []
        for record in records:
            self._rest_if_halted()
            try:
                lines.append(record.line(shared))
            except BaseException as error:  # noqa: BLE001  # a hostile value costs its own run only
                self.lose(f"{type(error).__name__} while encoding")
            else:
                told.append(record)
        if shared:
            lines.insert(0, shared_line(shared.items()))
        if lines and self._append(self._format.pack(b"".join(lines)), len(told)):
            for record in told:
                record.is_written()

    def _append(self, block: bytes, count: int) -> bool:
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            rest = memoryview(block)
            self._is_writing = True
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with self._lock:
                self.dropped += count
                self.reason = f"cannot write to {self.folder}: {error.strerror or error}"
            self._shut(cut=True)
            return False
        finally:
            self._is_writing = False
        self._file_bytes += len(block)
        if self._file_bytes >= FILE_BYTES:
            self._shut()
        return True

    def _open(self) -> None:
        if time.monotonic() < self._retry_at:
            raise OSError(0, self.reason.rpartition(": ")[2] or "not writable")
        self._retry_at = time.monotonic() + RETRY_S
        prepare(self.folder)
        name = f"{os.getpid()}-{uuid.uuid4().hex}"
        unborn = self.folder / f"{name}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        self._file = os.open(unborn, flags, 0o600)
        self._file_bytes = 0
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Named only when locked: a reader deletes finished files, and an unlocked one is finished.
        unborn.rename(self.folder / f"{name}{self._format.suffix}")
        self._retry_at = 0.0

    def _shut(self, *, cut: bool = False) -> None:
        """Close the file, so that the next block begins another; `cut` takes half a block off."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if cut:
                    os.ftruncate(self._file, self._file_bytes)
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
        atexit.register(_at_exit)
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


def close_all() -> bool:
    """Close every sink of this process; those that write nothing within `EXIT_S` in all.

    Returns:
        Whether all that waited has been taken.
    """
    patience_s, are_flushed = EXIT_S, True
    for sink in list(_SINKS):
        began = time.monotonic()
        if not sink.close(patience_s):
            are_flushed = False
            patience_s = max(0.0, patience_s - (time.monotonic() - began))
    return are_flushed


def _at_exit() -> None:
    if not close_all():
        for sink in list(_SINKS):
            sink.halt()


def _after_fork() -> None:
    for sink in list(_SINKS):
        sink.after_fork()


def _flush_with_multiprocessing() -> None:
    """Forked workers of `multiprocessing` end without `atexit`; they run its finalizers."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util and process and process.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=10)
