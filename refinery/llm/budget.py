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
        # Whole tokens only: sums of money would drift.
        self._input = 0
        self._output = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spending:
        """What has been spent or is reserved so far."""
        return Spending(self._input + self._output, self.cost(self._input, self._output))

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """Estimated cost in USD; None when the price is unknown."""
        return self._price.cost_usd(input_tokens, output_tokens) if self._price else None

    def reserve(self, input_tokens: int, output_tokens: int) -> None:
        """Set aside the most a call can use.

        Raises:
            BudgetError: the call could exceed the budget; nothing is set aside.
        """
        with self._lock:
            spent = self.cost(self._input, self._output) or 0.0
            after = self.cost(self._input + input_tokens, self._output + output_tokens) or 0.0
            if self._usd_limit is not None and after > self._usd_limit:
                raise BudgetError(
                    f"the next model call could cost {after - spent:.4f} USD; {spent:.4f} of "
                    f"{self._usd_limit:.4f} USD are spent",
                    hint="raise REFINERY_BUDGET_USD, or use a cheaper model",
                )
            wanted = input_tokens + output_tokens
            if self._input + self._output + wanted > self._tokens_limit:
                raise BudgetError(
                    f"the next model call could use {wanted} tokens; "
                    f"{self._input + self._output} of {self._tokens_limit} are spent",
                    hint="analyse a smaller trace, or use a cheaper model",
                )
            self._input += input_tokens
            self._output += output_tokens

    def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Replace a reservation by what the call really used.

        Args:
            reserved: input and output tokens as passed to `reserve`.
            used: input and output tokens of the call.
        """
        with self._lock:
            self._input += used[0] - reserved[0]
            self._output += used[1] - reserved[1]
