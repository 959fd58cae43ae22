"""What a run cost: wall and processor time, memory, bytes read and written.

Times are read at every run. Memory and I/O come from files of `/proc`; a reading costs about
12 µs and lets other threads in, so one is taken at most every `PAUSE_NS` on each thread, and
besides at the end of runs longer than `LONG_NS`. A run that began when the latest reading was
older than `FRESH_NS` says nothing of them, rather than something untrue.

- `wall_ms`: from the beginning to the end.
- `cpu_ms`: time the processor worked for this thread (`time.thread_time`). Of a coroutine or a
  generator only its own steps count, not what else the thread did meanwhile; of a `with` block
  that awaits, the whole thread does.
- `rss_bytes`: resident memory of the process at the end of the run, at most `PAUSE_NS` old.
- `rss_delta_bytes`: by how much it grew since the beginning, or shrank.
- `io_bytes`: bytes this thread passed through read and write calls meanwhile (`rchar` + `wchar`
  of `/proc/thread-self/io`); where there is none, of the process, if psutil is importable.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

PAUSE_NS = 10_000_000
"""Shortest time between two readings of memory and I/O on one thread; chosen by us: about 0.1 %
of the thread's time."""
LONG_NS = 1_000_000
"""A run longer than this has memory and I/O read at its end in any case."""
FRESH_NS = 1_000_000
"""Oldest reading that stands for the beginning of a run."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class _Reading(threading.local):
    """The latest reading on a thread."""

    at_ns = -PAUSE_NS
    rss: int | None = None
    io: int | None = None
    own = 0
    """Bytes our readings themselves have read, which the system counts as the thread's."""


_latest = _Reading()


class Meter:
    """Measures one run; `resume` and `pause` bracket each stretch of its work."""

    __slots__ = ("_begun_ns", "_cpu_ns", "_io", "_is_paid", "_mark_ns", "_rss", "_thread")

    def __init__(self) -> None:
        latest = _latest
        self._begun_ns = now = time.perf_counter_ns()
        age_ns = now - latest.at_ns
        self._is_paid = age_ns > PAUSE_NS
        if self._is_paid:
            _read(now)
        is_known = self._is_paid or age_ns <= FRESH_NS
        self._rss, self._io = (latest.rss, latest.io) if is_known else (None, None)
        self._cpu_ns: int | None = 0
        self._thread = threading.get_ident()
        self._mark_ns: int | None = time.thread_time_ns()

    def resume(self) -> None:
        """A stretch of work begins on this thread."""
        self._thread = threading.get_ident()
        self._mark_ns = time.thread_time_ns()

    def pause(self) -> None:
        """The stretch ends; on another thread than it began, the processor time is unknown."""
        if self._cpu_ns is None or self._mark_ns is None:
            return
        if threading.get_ident() == self._thread:
            self._cpu_ns += time.thread_time_ns() - self._mark_ns
        else:
            self._cpu_ns = None
        self._mark_ns = None

    def result(self) -> dict[str, float]:
        """`Run.metrics`; what is not known is left out."""
        now = time.perf_counter_ns()
        wall_ns = now - self._begun_ns
        measured = {"wall_ms": wall_ns / 1e6}
        if self._cpu_ns is not None:
            measured["cpu_ms"] = self._cpu_ns / 1e6
        if self._is_paid or wall_ns > LONG_NS:
            _read(now)
            self._compare(measured)
        if _latest.rss is not None and now - _latest.at_ns <= PAUSE_NS:
            measured["rss_bytes"] = _latest.rss
        return measured

    def _compare(self, measured: dict[str, float]) -> None:
        """Add what has changed since the beginning."""
        is_here = threading.get_ident() == self._thread
        if self._io is not None and _latest.io is not None and is_here:
            measured["io_bytes"] = max(0, _latest.io - self._io)
        if self._rss is not None and _latest.rss is not None:
            measured["rss_delta_bytes"] = _latest.rss - self._rss


def _read(now_ns: int) -> None:
    """Take a reading on this thread; what cannot be read is None."""
    _latest.io = _io_of_thread() if _ON_LINUX else _io_elsewhere()
    _latest.rss = _rss() if _ON_LINUX else _rss_elsewhere()
    _latest.at_ns = now_ns


def _slurp(path: str) -> bytes:
    """The beginning of a small file of `/proc`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, 512)
    finally:
        os.close(descriptor)
    return content


def _io_of_thread() -> int | None:
    try:
        content = _slurp("/proc/thread-self/io")
        words = content.split()
        counted = int(words[1]) + int(words[3]) - _latest.own
        _latest.own += len(content)
    except (OSError, ValueError, IndexError):  # some containers forbid it
        return None
    return counted


def _rss() -> int | None:
    try:
        content = _slurp("/proc/self/statm")
        _latest.own += len(content)
        return int(content.split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


def _rss_elsewhere() -> int | None:
    process = _psutil_process()
    if process is not None:
        return int(process.memory_info().rss)
    try:
        import resource
    except ImportError:  # not a POSIX system
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _io_elsewhere() -> int | None:
    counters: Callable[[], Any] | None = getattr(_psutil_process(), "io_counters", None)
    if counters is None:
        return None
    counted = counters()
    return int(counted.read_bytes + counted.write_bytes)


def _psutil_process() -> Any:
    try:
        import psutil
    except ImportError:
        return None
    return psutil.Process()


_ON_LINUX = os.path.exists("/proc/thread-self/io")  # noqa: PTH110  # pathlib takes 10 ms to import
