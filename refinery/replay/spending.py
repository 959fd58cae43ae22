"""What live model answers of a trial cost, and a ceiling on it.

A request is refused once the ceiling is reached; what one request will cost is known only
afterwards, so the requests under way at that moment may go beyond it.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from refinery.llm.prices import price_of
from refinery.model.trace import Json
from refinery.replay.live_answers import Answer, Asked


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
        budget_usd: what may be spent; None: no ceiling. It holds only for models whose price is
            known.
    """

    def __init__(self, asked: Asked, budget_usd: float | None = None) -> None:
        self.asked = asked
        self.budget_usd = budget_usd
        self._spent = Spent(0, 0.0, 0)
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spent:
        """What has been spent so far."""
        with self._lock:
            return self._spent

    @property
    def is_used_up(self) -> bool:
        """Whether no further request is made."""
        return self.budget_usd is not None and self.spent.usd >= self.budget_usd

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        """The answer whatever its status, or why there is none, in words."""
        if self.is_used_up:
            return f"the budget of {self.budget_usd:.2f} USD is used up"
        answer = self.asked.ask(path, body, headers, lane)
        if isinstance(answer, Answer):
            cost = cost_usd(body, answer)
            with self._lock:
                self._spent = Spent(
                    self._spent.requests + 1,
                    self._spent.usd + (cost or 0.0),
                    self._spent.unpriced + (cost is None),
                )
        return answer


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
