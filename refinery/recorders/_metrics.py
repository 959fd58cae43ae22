"""What a run cost: wall and processor time, memory, bytes read and written.

Times are read at every run. Memory and I/O come from files of `/proc`; a reading costs 12 µs,
100 µs when the processor's caches are cold, and lets other threads in. So runs last, in sum, at
least `PER_READING` times as long as readings take: runs of a few tenths of a second have one at
their beginning and one at their end, of shorter ones as many as that pays for, the first run of
the process among them. A run that began when the latest reading on its thread was older than
`FRESH_NS` says nothing of what has changed, rather than something untrue.

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
from dataclasses import dataclass
from typing import Any

PER_READING = 1_000
"""Runs last, in sum, at least so many times as long as the readings taken for them; chosen by us:
an operation of 10 ms is to cost 1 % in all at most, so of readings 0.1 %."""
PAUSE_NS = 10_000_000
"""Shortest time between two readings for the beginnings of runs on one thread, and the oldest
reading told as a run's memory."""
LONG_NS = 1_000_000
"""A run longer than this, whose beginning another reading stands for, has one at its end when
that is paid for."""
FRESH_NS = 1_000_000
"""Oldest reading that stands for the beginning of a run."""
_DEAREST_NS = 200_000
"""Most that one reading counts for: what takes longer, other threads or processes have taken."""
_SAVED_NS = 1_000_000
"""Most that is saved up for readings to come."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class _Reading(threading.local):
    """The latest reading on a thread."""

    at_ns = -PAUSE_NS
    rss: int | None = None
    io: int | None = None
    own = 0
    """Bytes our readings themselves have read, which the system counts as the thread's."""


_latest = _Reading()


class _Purse:
    """What readings may still cost in this process; a sum lost between threads does no harm."""

    __slots__ = ("fresh_until_ns", "left_ns", "told_until_ns")

    def __init__(self) -> None:
        self.left_ns = 1
        self.fresh_until_ns = 0
        """Until then the latest reading of some thread stands for the beginning of a run."""
        self.told_until_ns = 0
        """Until then it is told as a run's memory."""


_purse = _Purse()


@dataclass(slots=True)
class _Seen:
    """Memory and I/O at the beginning of a run, and what became of them."""

    is_paid: bool
    """Whether the run has a reading of its own at its beginning, and so one at its end."""
    rss: int | None = None
    io: int | None = None
    rss_bytes: int | None = None
    rss_delta: int | None = None
    io_bytes: int | None = None


class Meter:
    """Measures one run, from `start` to `stop`; `resume` and `pause` bracket its stretches."""

    __slots__ = ("_begun_ns", "_cpu_ns", "_mark_ns", "_seen", "_thread", "_wall_ns")

    _begun_ns: int
    _cpu_ns: int | None
    """Processor time of the stretches that have ended; None when it is unknown."""
    _mark_ns: int | None
    """Processor time of the thread when the stretch at work began; None between two."""
    _seen: _Seen | None
    """None when no reading stands for its beginning."""
    _thread: int
    _wall_ns: int

    def start(self) -> None:
        """The run begins, with a stretch of work on this thread."""
        self._begun_ns = now = time.monotonic_ns()
        purse = _purse
        has_look = purse.left_ns > 0 or now < purse.fresh_until_ns
        self._seen = _look(now) if has_look else None
        self._wall_ns = 0
        self._cpu_ns = 0
        self._thread = threading.get_ident()
        self._mark_ns = time.thread_time_ns()

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

    def stop(self) -> None:
        """End the last stretch and the run; afterwards `told` has its figures."""
        if self._mark_ns is not None and self._cpu_ns is not None:  # as `pause`, without the call
            if threading.get_ident() == self._thread:
                self._cpu_ns += time.thread_time_ns() - self._mark_ns
            else:
                self._cpu_ns = None
        now = time.monotonic_ns()
        self._wall_ns = wall_ns = now - self._begun_ns
        purse = _purse
        left_ns = purse.left_ns + wall_ns // PER_READING
        purse.left_ns = left_ns = left_ns if left_ns < _SAVED_NS else _SAVED_NS
        if self._seen is not None or now <= purse.told_until_ns:
            self._look_again(now, left_ns > 0 and wall_ns > LONG_NS)

    def _look_again(self, now: int, is_paid: bool) -> None:
        """Learn what memory and I/O are at the end."""
        latest, seen = _latest, self._seen
        if seen is not None and (seen.is_paid or (is_paid and seen.rss is not None)):
            _read(now)
            if seen.io is not None and latest.io is not None:
                is_here = threading.get_ident() == self._thread
                seen.io_bytes = max(0, latest.io - seen.io) if is_here else None
            if seen.rss is not None and latest.rss is not None:
                seen.rss_delta = latest.rss - seen.rss
        if now - latest.at_ns <= PAUSE_NS:
            self._seen = seen = seen or _Seen(is_paid=False)
            seen.rss_bytes = latest.rss

    def told(self) -> dict[str, float]:
        """`Run.metrics`, of which what is not known is left out."""
        seen = self._seen or _UNSEEN
        found = {
            "wall_ms": self._wall_ns / 1e6,
            "cpu_ms": None if self._cpu_ns is None else self._cpu_ns / 1e6,
            "io_bytes": seen.io_bytes,
            "rss_delta_bytes": seen.rss_delta,
            "rss_bytes": seen.rss_bytes,
        }
        return {name: value for name, value in found.items() if value is not None}


_UNSEEN = _Seen(is_paid=False)


def _look(now: int) -> _Seen | None:
    """What memory and I/O are at the beginning of a run; None when they are not known."""
    latest = _latest
    age_ns = now - latest.at_ns
    is_paid = _purse.left_ns > 0 and age_ns > PAUSE_NS
    if is_paid:
        _read(now)
    return _Seen(is_paid, latest.rss, latest.io) if is_paid or age_ns <= FRESH_NS else None


def _read(now_ns: int) -> None:
    """Take a reading on this thread; what cannot be read is None."""
    _latest.io = _io_of_thread() if _ON_LINUX else _io_elsewhere()
    _latest.rss = _rss() if _ON_LINUX else _rss_elsewhere()
    _latest.at_ns = now_ns
    _purse.fresh_until_ns = now_ns + FRESH_NS
    _purse.told_until_ns = now_ns + PAUSE_NS
    _purse.left_ns -= min(time.monotonic_ns() - now_ns, _DEAREST_NS)


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
