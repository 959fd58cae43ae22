"""A clock that starts when the recorded run started and follows it.

`time.time` and `time_ns`, `localtime`, `gmtime`, `ctime` and `strftime` of the present moment,
`datetime.now` and `utcnow`, and through `time.time` also `today`, tell the recorded time. Types
stay what they are: `datetime` is a C type, so two methods in its own dictionary are replaced.
Monotonic clocks and sleeping stay real, so time-outs work, and so do event loops.

The clock moves with real time, but whenever a recorded run begins or ends again it jumps to when
that happened; it waits at most `PATIENCE_NS` for the next such moment before it passes it.
"""

import bisect
import ctypes
import datetime
import functools
import gc
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

PATIENCE_NS = 1_000_000_000
"""Longest stay before a recorded moment that does not come; longer, loops on time would hang."""

_REAL_NS = time.time_ns


def real_ns() -> int:
    """The real time in nanoseconds since the Unix epoch, UTC."""
    return _REAL_NS()


class TapeClock:
    """The clock of one process; it is the real one until `begin`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_begun = False
        self._at_ns = 0
        """Where the tape is."""
        self._since_ns = 0
        """When it came there, by the monotonic clock."""
        self._told_ns = 0
        self._moments: list[int] = []
        self._waiting: dict[str, list[tuple[int, int | None]]] = {}
        self._ends: dict[Hashable, int | None] = {}

    def install(self) -> None:
        """Put this clock into `time` and `datetime`."""
        _replace_functions(self.now_ns)
        _replace_methods(self.now_ns)

    def begin(self, start_ns: int, runs: Sequence[Sequence[Any]]) -> None:
        """Follow a recording from now on.

        Args:
            start_ns: when it started, nanoseconds UTC; 0 keeps the real clock.
            runs: kind, name, start and end (or null) of its runs, by start.
        """
        with self._lock:
            self._is_begun = start_ns > 0
            self._at_ns, self._since_ns, self._told_ns = start_ns, time.monotonic_ns(), 0
            self._waiting, self._ends = {}, {}
            for kind, name, start, end in runs:
                self._waiting.setdefault(f"{kind} {name}", []).append((start, end))
            self._moments = sorted({at for run in runs for at in run[2:] if at is not None})

    def started(self, run: Hashable, fields: Mapping[str, Any]) -> None:
        """A run begins, as recorded if there was one of its kind and name."""
        waiting = self._waiting.get(f"{fields.get('kind')} {fields.get('name')}")
        if waiting:
            start, self._ends[run] = waiting.pop(0)
            self._reach(start)

    def ended(self, run: Hashable) -> None:
        """A run has ended."""
        end = self._ends.pop(run, None)
        if end is not None:
            self._reach(end)

    def _reach(self, at_ns: int) -> None:
        with self._lock:
            if at_ns >= self._at_ns:
                self._at_ns, self._since_ns = at_ns, time.monotonic_ns()

    def now_ns(self) -> int:
        """The time by the tape; never earlier than told before."""
        if not self._is_begun:
            return _REAL_NS()
        with self._lock:
            passed = time.monotonic_ns() - self._since_ns
            now = self._at_ns + passed
            place = bisect.bisect_right(self._moments, self._at_ns)
            if place < len(self._moments) and now > self._moments[place]:
                over = now - self._moments[place]
                now = self._moments[place] + max(0, over - PATIENCE_NS)
            self._told_ns = max(self._told_ns, now)
            return self._told_ns


def _replace_functions(now_ns: Callable[[], int]) -> None:
    """Replace functions of `time` that tell the present moment."""

    def now_s() -> float:
        return now_ns() / 1_000_000_000

    @functools.wraps(time.time)
    def tell() -> float:
        return now_s()

    @functools.wraps(time.time_ns)
    def tell_ns() -> int:
        return now_ns()

    def of_now(real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def call(seconds: float | None = None, /) -> Any:
            return real(now_s() if seconds is None else seconds)

        return call

    strftime, localtime = time.strftime, time.localtime

    @functools.wraps(strftime)
    def write(form: str, moment: Any = None, /) -> str:
        return strftime(form, localtime(now_s()) if moment is None else moment)

    vars(time).update(
        time=tell,
        time_ns=tell_ns,
        strftime=write,
        **{name: of_now(getattr(time, name)) for name in ("localtime", "gmtime", "ctime")},
    )


def _replace_methods(now_ns: Callable[[], int]) -> None:
    """Replace `now` and `utcnow` in the dictionary of the C type `datetime`."""

    def moment(cls: Any, zone: Any) -> Any:
        seconds, rest = divmod(now_ns(), 1_000_000_000)
        return cls.fromtimestamp(seconds, zone).replace(microsecond=rest // 1000)

    def now(cls: Any, tz: Any = None) -> Any:
        return moment(cls, tz)

    def utcnow(cls: Any) -> Any:
        return moment(cls, datetime.UTC).replace(tzinfo=None)

    held = next(
        found for found in gc.get_referents(vars(datetime.datetime)) if isinstance(found, dict)
    )
    held["now"], held["utcnow"] = classmethod(now), classmethod(utcnow)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
