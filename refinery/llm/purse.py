"""One ceiling on the money of a command, whoever spends it: analysis, judge, replays.

Every call takes the most it can cost before it begins and settles for what it did cost. What one
part will need can be set aside, so that no other part spends it. Sums are whole: money kept as
floats would drift.
"""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from refinery.model.trace import Json

_UNITS = 10**12
"""Units of one USD; the cheapest token costs 50,000 of them."""


@dataclass
class _Part:
    """What one part of the work has to do with the money, in units."""

    spent: int = 0
    taken: int = 0
    """By calls under way."""
    aside: int = 0
    foreseen: int = 0
    calls: int = 0


class Purse:
    """Money of one command; safe for threads.

    Args:
        limit_usd: most that may be spent; None: no ceiling.
        earlier: `document` of the process this one goes on for; what it spent counts.
    """

    def __init__(self, limit_usd: float | None = None, earlier: Json = None) -> None:
        self.limit_usd = limit_usd
        self._limit = None if limit_usd is None else math.floor(limit_usd * _UNITS)
        self._parts: dict[str, _Part] = {}
        self._is_refusing = False
        self._lock = threading.Lock()
        told = earlier.get("parts") if isinstance(earlier, dict) else None
        for name, part in told.items() if isinstance(told, dict) else ():
            self._parts[str(name)] = _earlier(part)

    @property
    def spent_usd(self) -> float:
        """What all parts have spent, calls under way at the most they can cost."""
        with self._lock:
            return self._used() / _UNITS

    @property
    def left_usd(self) -> float | None:
        """What is neither spent nor taken; None: there is no ceiling."""
        with self._lock:
            return None if self._limit is None else max(0, self._limit - self._used()) / _UNITS

    @property
    def is_used_up(self) -> bool:
        """Whether a call has been refused, or nothing is left."""
        with self._lock:
            return self._is_refusing or (self._limit is not None and self._used() >= self._limit)

    def take(self, part: str, usd: float) -> bool:
        """Take the most a call can cost; False, and nothing is taken, when it is not there."""
        wanted = math.ceil(usd * _UNITS)
        with self._lock:
            others = sum(p.aside for name, p in self._parts.items() if name != part)
            if self._limit is not None and self._used() + others + wanted > self._limit:
                self._is_refusing = True
                return False
            self._part(part).taken += wanted
            return True

    def settle(self, part: str, taken_usd: float, used_usd: float | None) -> None:
        """Replace what was taken by what the call cost; None: it was not made after all."""
        used = math.ceil((used_usd or 0.0) * _UNITS)
        with self._lock:
            mine = self._part(part)
            mine.taken -= math.ceil(taken_usd * _UNITS)
            mine.spent += used
            mine.aside = max(0, mine.aside - used)
            mine.calls += used_usd is not None

    def foresee(self, part: str, usd: float) -> None:
        """Note what a part was expected to cost, beside what it did."""
        with self._lock:
            self._part(part).foreseen += math.ceil(usd * _UNITS)

    @contextmanager
    def set_aside(self, expected: Mapping[str, float]) -> Iterator[bool]:
        """Keep what parts are expected to cost from all others; tells whether that is there.

        When it is not, nothing is set aside, and the work should not be begun.
        """
        wanted = {part: math.ceil(usd * _UNITS) for part, usd in expected.items() if usd}
        with self._lock:
            is_there = self._limit is None or self._used() + sum(wanted.values()) <= self._limit
            if is_there:
                for part, units in wanted.items():
                    self._part(part).aside += units
                    self._part(part).foreseen += units
        try:
            yield is_there
        finally:
            with self._lock:
                for part in wanted if is_there else ():
                    self._part(part).aside = 0

    def document(self) -> dict[str, Json]:
        """What was spent and foreseen, in all and by part."""
        with self._lock:
            parts: dict[str, Json] = {
                name: {
                    "calls": part.calls,
                    "spent_usd": (part.spent + part.taken) / _UNITS,
                    "forecast_usd": part.foreseen / _UNITS,
                }
                for name, part in self._parts.items()
            }
            used = self._used() / _UNITS
        return {"budget_usd": self.limit_usd, "spent_usd": used, "parts": parts}

    def _used(self) -> int:
        return sum(part.spent + part.taken for part in self._parts.values())

    def _part(self, name: str) -> _Part:
        return self._parts.setdefault(name, _Part())


def _earlier(part: Json) -> _Part:
    told = part if isinstance(part, dict) else {}
    spent, foreseen, calls = (told.get(k) or 0 for k in ("spent_usd", "forecast_usd", "calls"))
    return _Part(
        spent=math.ceil(float(spent) * _UNITS),
        foreseen=math.ceil(float(foreseen) * _UNITS),
        calls=int(calls),
    )
