"""Time, randomness and identifiers: the only place they come from."""

import os
import threading
import time

_is_forgetting = threading.Event()


def now_ns() -> int:
    """Current time in nanoseconds since the Unix epoch, UTC."""
    return time.time_ns()


def monotonic_s() -> float:
    """Seconds of a clock that never jumps; only differences mean something."""
    return time.monotonic()


def new_uuid() -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits.

    Lexical order of the strings is order of creation to the millisecond.
    """
    try:
        bits = _random_bits.pop()
    except IndexError:
        bits = _refilled()
    low = 1 << 63 | bits & (1 << 62) - 1
    digits = f"{now_ns() // 1_000_000:012x}7{bits >> 68:03x}{low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_random_bits: list[int] = []
"""Numbers of 80 random bits for `new_uuid`: asking the system for each would cost more."""


def _refilled() -> int:
    """Fill `_random_bits` and take one; a forked child begins with none."""
    if not _is_forgetting.is_set() and hasattr(os, "register_at_fork"):
        _is_forgetting.set()
        os.register_at_fork(after_in_child=_random_bits.clear)
    drawn = os.urandom(10 * 64)
    fresh = [int.from_bytes(drawn[at : at + 10], "big") for at in range(0, len(drawn), 10)]
    _random_bits.extend(fresh[1:])
    return fresh[0]


def short_id(prefix: str) -> str:
    """A short identifier for people, e.g. `fix-8c1f0a2b`: a prefix and 32 random bits."""
    return f"{prefix}-{os.urandom(4).hex()}"
