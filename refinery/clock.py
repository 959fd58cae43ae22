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


def new_uuid(at_ns: int | None = None) -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits.

    Lexical order of the strings is order of creation to the millisecond.

    Args:
        at_ns: when that was, nanoseconds UTC; default: now.
    """
    global _head  # the same for a minute
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _refilled()
    now_ms = (time.time_ns() if at_ns is None else at_ns) // 1_000_000
    known, head = _head
    if known != now_ms >> 16:
        known, head = _head = (now_ms >> 16, f"{now_ms >> 16 & 0xFFFFFFFF:08x}-")
    return f"{head}{now_ms & 0xFFFF:04x}-7{tail}"


_head: tuple[int, str] = (-1, "")
"""The upper 32 of the 48 bits of a time in milliseconds, and what they are written as."""
_tails: list[str] = []
"""Ends of 74 random bits for `new_uuid`: asking the system for each would cost more."""
_TAILS = 16
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that tells the variant (RFC 9562 section 4.1), with two random bits."""


def _refilled() -> str:
    """Fill `_tails` and take one; a forked child begins with none."""
    if not _is_forgetting.is_set() and hasattr(os, "register_at_fork"):
        _is_forgetting.set()
        os.register_at_fork(after_in_child=_tails.clear)
    drawn = os.urandom(10 * _TAILS).hex()
    fresh = [
        f"{drawn[at : at + 3]}-{_VARIANT[drawn[at + 3]]}{drawn[at + 4 : at + 7]}"
        f"-{drawn[at + 7 : at + 19]}"
        for at in range(0, len(drawn), 20)
    ]
    _tails.extend(fresh[1:])
    return fresh[0]


def short_id(prefix: str) -> str:
    """A short identifier for people, e.g. `fix-8c1f0a2b`: a prefix and 32 random bits."""
    return f"{prefix}-{os.urandom(4).hex()}"
