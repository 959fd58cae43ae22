"""What live model answers of a trial cost, and a ceiling on it.

A request is not made when what is left does not carry the most it can cost; those under way count
at their most. A request that names no longest answer is taken to write `UNLIMITED_TOKENS`; images
and files are counted by the bytes of the request, not by what a vendor makes of them.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from refinery.llm.prices import price_of
from refinery.llm.purse import Purse
from refinery.model.trace import Json
from refinery.replay.live_answers import Answer, Asked, Lost

PART = "replays"
"""What the agent's own requests are called among the parts of a purse."""
UNLIMITED_TOKENS = 16_384
"""Longest answer of a request without a limit: what the vendors' chat models write at most by
default; reasoning models may write more."""
OVERHEAD_TOKENS = 1_000
"""What vendors add to a request, as in `llm.router`."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What was asked of live models."""

    requests: int
    usd: float
    """Estimated cost of the requests whose model has a known price."""
    unpriced: int
    """Requests of models without a known price, or whose answer says no usage."""

    def __str__(self) -> str:
        """For a line of progress."""
        some = "1 live request" if self.requests == 1 else f"{self.requests} live requests"
        unknown = f" and {self.unpriced} of unknown price" if self.unpriced else ""
        return f"{some}, ${self.usd:.2f}{unknown}" if self.requests else some


class Metered:
    """Somebody who is asked, with a count of what it costs; safe for threads.

    Args:
        asked: who answers.
        purse: what may be spent, together with others. It holds only for models whose price is
            known.
    """

    def __init__(self, asked: Asked, purse: Purse) -> None:
        self.asked = asked
        self.purse = purse
        self._spent = Spent(0, 0.0, 0)
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spent:
        """What has been spent so far through this one."""
        with self._lock:
            return self._spent

    @property
    def is_used_up(self) -> bool:
        """Whether what is left does not carry every request."""
        return self.purse.is_used_up

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        """The answer whatever its status, or why there is none, in words."""
        most = most_usd(body)
        if not self.purse.take(PART, most):
            return (
                f"the budget of {self.purse.limit_usd or 0.0:.2f} USD is used up: this request "
                f"could cost {most:.4f}, and {self.purse.left_usd or 0.0:.4f} are left"
            )
        used: float | None = most
        try:
            answer = self.asked.ask(path, body, headers, lane)
            if isinstance(answer, Answer):
                used = _charged(body, answer, most)
            elif not isinstance(answer, Lost):
                used = None
        finally:
            self.purse.settle(PART, most, used)
        if isinstance(answer, Answer):
            cost = cost_usd(body, answer)
            with self._lock:
                self._spent = Spent(
                    self._spent.requests + 1,
                    self._spent.usd + (cost or 0.0),
                    self._spent.unpriced + (cost is None),
                )
        return answer


def _charged(body: bytes, answer: Answer, most: float) -> float:
    """What an exchange counts for: its cost, or the most it can have cost by its size."""
    cost, price = cost_usd(body, answer), price_of(str(_object(body).get("model") or ""))
    if cost is not None or price is None:
        return cost or 0.0
    return min(most, price.cost_usd(len(body) + OVERHEAD_TOKENS, len(answer.body)))


def most_usd(body: bytes) -> float:
    """The most a request can cost: a token is at least one byte; 0 when the price is unknown."""
    asked = _object(body)
    price = price_of(str(asked.get("model") or ""))
    if price is None:
        return 0.0
    limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    written = _count(asked, *limits) or UNLIMITED_TOKENS
    return price.cost_usd(len(body) + OVERHEAD_TOKENS, written * max(1, _count(asked, "n")))


def spent_by(asked: Asked | None) -> Spent:
    """What was spent through somebody; nothing when it is not counted."""
    return asked.spent if isinstance(asked, Metered) else Spent(0, 0.0, 0)


def cost_usd(body: bytes, answer: Answer) -> float | None:
    """Estimated cost of one exchange; None when price or usage are not known."""
    price = price_of(str(_object(body).get("model") or ""))
    if price is None:
        return None
    if answer.status >= 400:
        return 0.0
    reading = writing = 0
    for usage in _usages(answer.body):
        # Streams repeat counts as they grow, so the largest is the sum.
        reading = max(reading, _count(usage, "prompt_tokens", "input_tokens"))
        writing = max(writing, _count(usage, "completion_tokens", "output_tokens"))
    return price.cost_usd(reading, writing) if reading or writing else None


def _usages(body: bytes) -> Iterator[Mapping[str, Any]]:
    """Usage records of an answer: one JSON document, or the events of a stream."""
    lines = [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
    for text in lines or [body]:
        found = _object(text)
        for holder in (found, found.get("message"), found.get("response")):
            usage = holder.get("usage") if isinstance(holder, Mapping) else None
            if isinstance(usage, Mapping):
                yield usage


def _count(usage: Mapping[str, Any], *names: str) -> int:
    found = [usage[name] for name in names if isinstance(usage.get(name), int)]
    return max(0, *found) if found else 0


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}
