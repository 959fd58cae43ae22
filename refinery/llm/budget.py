"""The ceiling of a command's spending: reserved before each call, settled after it."""

import threading
from dataclasses import dataclass

from refinery.errors import BudgetError
from refinery.llm.prices import Price


@dataclass(frozen=True, slots=True)
class Spending:
    """What has been spent."""

    tokens: int
    """Input and output tokens of all calls, those of calls without an answer at their bound."""
    cost_usd: float | None
    """None when the model's price is not known."""


class Budget:
    """Counts tokens and money; `reserve` refuses the call that could exceed either.

    Args:
        tokens: most tokens, input and output together.
        usd: most money; not enforceable, and so not enforced, when the price is unknown.
        price: of the model; None when unknown.
    """

    def __init__(self, tokens: int, usd: float | None, price: Price | None) -> None:
        self._tokens_limit = tokens
        self._usd_limit = usd if price else None
        self._price = price
        self._tokens = 0
        self._usd = 0.0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spending:
        """What has been spent or is reserved so far."""
        return Spending(self._tokens, self._usd if self._price else None)

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """Estimated cost of a call in USD; None when the price is unknown."""
        return self._price.cost_usd(input_tokens, output_tokens) if self._price else None

    def reserve(self, input_tokens: int, output_tokens: int) -> None:
        """Set aside the most a call can use.

        Raises:
            BudgetError: the call could exceed the budget; nothing is set aside.
        """
        cost = self.cost(input_tokens, output_tokens) or 0.0
        with self._lock:
            if self._usd_limit is not None and self._usd + cost > self._usd_limit:
                raise BudgetError(
                    f"the next model call could cost {cost:.4f} USD; {self._usd:.4f} of "
                    f"{self._usd_limit:.4f} USD are spent",
                    hint="raise REFINERY_BUDGET_USD, or use a cheaper model",
                )
            total = self._tokens + input_tokens + output_tokens
            if total > self._tokens_limit:
                raise BudgetError(
                    f"the next model call could use {input_tokens + output_tokens} tokens; "
                    f"{self._tokens} of {self._tokens_limit} are spent",
                    hint="analyse a smaller trace, or use a model whose price is known",
                )
            self._tokens = total
            self._usd += cost

    def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Replace a reservation by what the call really used.

        Args:
            reserved: input and output tokens as passed to `reserve`.
            used: input and output tokens of the call.
        """
        with self._lock:
            self._tokens += sum(used) - sum(reserved)
            self._usd += (self.cost(*used) or 0.0) - (self.cost(*reserved) or 0.0)
