"""What tokens cost: a small, dated table; a model that is not in it has no known price."""

import re
from dataclasses import dataclass

AS_OF = "2026-06"
"""Month the prices were last compared with published lists; they may have changed since."""

_PER_MILLION: dict[str, tuple[float, float]] = {
    "gpt-5.5": (5.00, 30.00),
    "gpt-5.4": (2.50, 15.00),
    "gpt-5.4-mini": (0.75, 4.50),
    "gpt-5.4-nano": (0.20, 1.25),
    "gpt-5.1": (1.25, 10.00),
    "gpt-5": (1.25, 10.00),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5-nano": (0.05, 0.40),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-mini": (0.15, 0.60),
    "o3": (2.00, 8.00),
    "o4-mini": (1.10, 4.40),
    "claude-opus-4-6": (5.00, 25.00),
    "claude-opus-4-5": (5.00, 25.00),
    "claude-opus-4-1": (15.00, 75.00),
    "claude-sonnet-4-5": (3.00, 15.00),
    "claude-sonnet-4": (3.00, 15.00),
    "claude-haiku-4-5": (1.00, 5.00),
    "claude-3-7-sonnet": (3.00, 15.00),
    "claude-3-5-haiku": (0.80, 4.00),
}
"""USD per million input and output tokens, standard tier."""

_VERSION = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
"""A dated or floating version of the same model, e.g. `-20250929`, `-2024-08-06`, `-latest`."""


@dataclass(frozen=True, slots=True)
class Price:
    """Price of one model."""

    input_usd: float
    """USD per token read; cheaper cached tokens are counted in full."""
    output_usd: float
    """USD per token written, reasoning included."""

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Estimated cost of a call."""
        return input_tokens * self.input_usd + output_tokens * self.output_usd


def price_of(model: str) -> Price | None:
    """Price of a model by name, with or without a version; None when it is not known."""
    pair = _PER_MILLION.get(model) or _PER_MILLION.get(_VERSION.sub("", model))
    return Price(pair[0] / 1e6, pair[1] / 1e6) if pair else None
