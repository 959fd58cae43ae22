"""The ceiling of a command's spending: reserved before each call, settled after it."""

import threading
from dataclasses import dataclass

from refinery.errors import BudgetError
from refinery.llm.prices import Price
from refinery.llm.purse import Purse


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
        purse: most money, which others may spend too; not enforceable, and so not enforced, when
            the price is unknown.
        price: of the model; None when unknown.
    """

    def __init__(self, tokens: int, purse: Purse, price: Price | None) -> None:
        self._tokens_limit = tokens
        self._purse = purse
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

    def reserve(self, input_tokens: int, output_tokens: int, part: str = "answer") -> None:
        """Set aside the most a call can use.

        Args:
            input_tokens: most it can read.
            output_tokens: most it can write.
            part: what the call is for, see `Purse`.

        Raises:
            BudgetError: the call could exceed the budget; nothing is set aside.
        """
        with self._lock:
            wanted = input_tokens + output_tokens
            if self._input + self._output + wanted > self._tokens_limit:
                raise BudgetError(
                    f"the next model call could use {wanted} tokens; "
                    f"{self._input + self._output} of {self._tokens_limit} are spent",
                    hint="analyse a smaller trace, or use a cheaper model",
                )
            cost = self.cost(input_tokens, output_tokens)
            spent = self._purse.spent_usd
            if not self._purse.take(part, cost or 0.0):
                raise BudgetError(
                    f"the next model call could cost {cost or 0.0:.4f} USD; {spent:.4f} of "
                    f"{self._purse.limit_usd or 0.0:.4f} USD are spent",
                    hint="raise REFINERY_BUDGET_USD, or use a cheaper model",
                )
            self._input += input_tokens
            self._output += output_tokens

    def settle(
        self, reserved: tuple[int, int], used: tuple[int, int], part: str = "answer"
    ) -> None:
        """Replace a reservation by what the call really used.

        Args:
            reserved: input and output tokens as passed to `reserve`.
            used: input and output tokens of the call.
            part: as passed to `reserve`.
        """
        self._purse.settle(part, self.cost(*reserved) or 0.0, self.cost(*used) or 0.0)
        with self._lock:
            self._input += used[0] - reserved[0]
            self._output += used[1] - reserved[1]
