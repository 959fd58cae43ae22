"""What live models answered during a trial, kept so that the trial can be executed again.

Every case of every arm has a lane of its own: two arms that ask the same may be told different
things, and each must be told the same again.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from refinery.replay.canonical import ALL_TIMES, Fresh, normalise


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One live request and its answer."""

    lane: str
    """Arm, trace and repeat that asked."""
    path: str
    key: str
    """SHA-256 hex of the request without fresh identifiers and times."""
    answer: Answer


class Lost(str):
    """Why there is no answer to a request that was sent: it may have to be paid for."""

    __slots__ = ()


class Asked(Protocol):
    """Whom the gateway asks for what was not recorded."""

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        """The answer whatever its status, or why there is none, in words."""
        ...


@dataclass(frozen=True, slots=True)
class Lane:
    """One case's way to whoever is asked."""

    asked: Asked
    name: str

    def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer | str:
        """Ask in this lane."""
        return self.asked.ask(path, body, headers, self.name)


class ExchangeLog:
    """The exchanges of a trial in order of their answers; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Exchange] = []

    def add(self, lane: str, path: str, body: bytes, answer: Answer) -> None:
        """Keep one exchange."""
        with self._lock:
            self._found.append(Exchange(lane, path, key_of(body), answer))

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All of them."""
        with self._lock:
            return tuple(self._found)


class Recalled:
    """Answers requests as they were answered before; nobody is asked.

    Equal requests of a lane get their answers in order; the last one repeats.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str, str], list[Answer]] = {}
        for item in exchanges:
            self._waiting.setdefault((item.lane, item.path, item.key), []).append(item.answer)

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        """The recorded answer, or that there is none."""
        del headers
        with self._lock:
            found = self._waiting.get((lane, path, key_of(body)))
            if not found:
                return "the receipt holds no answer to this request"
            return found.pop(0) if len(found) > 1 else found[0]


def key_of(body: bytes) -> str:
    """What requests are compared by: the body without fresh identifiers and times."""
    text = normalise(body.decode("utf-8", "replace"), Fresh(ALL_TIMES))
    return hashlib.sha256(text.encode()).hexdigest()
