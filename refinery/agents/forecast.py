"""What an analysis by a model will take, told before the model is asked."""

from refinery.agents.digest import BYTES_PER_TOKEN
from refinery.llm.replies import Usage
from refinery.llm.router import Model
from refinery.model.failure import Forecast

REPORT_TOKENS, CALL_TOKENS, RESULT_TOKENS = 1_200, 150, 1_500
"""What a report, a request for a tool and a tool's answer usually take."""


def forecast(model: Model, sent: str, rounds: int) -> Forecast:
    """What an analysis takes, with none and with all rounds of tool calls.

    Every call sends all that was said before, so rounds cost more the later they come.

    Args:
        model: who is asked.
        sent: all text of the first call.
        rounds: rounds of tool calls it may take.
    """
    first = len(sent.encode("utf-8", "replace")) // BYTES_PER_TOKEN
    calls = rounds + 1
    read = calls * first + RESULT_TOKENS * rounds * calls // 2
    written = REPORT_TOKENS + rounds * CALL_TOKENS
    return Forecast(
        calls_least=1,
        calls_most=calls,
        tokens_least=first + REPORT_TOKENS,
        tokens_most=read + written,
        usd_least=model.cost(Usage(first, REPORT_TOKENS)),
        usd_most=model.cost(Usage(read, written)),
    )


def forecast_text(expected: Forecast) -> str:
    """A forecast in words, e.g. `1 to 7 calls, about 9,000 to 80,000 tokens, price unknown`."""
    calls = f"{expected.calls_least} to {expected.calls_most} calls"
    if expected.calls_most == 1:
        calls = "1 call"
    tokens = f"about {expected.tokens_least:,} to {expected.tokens_most:,} tokens"
    if expected.tokens_least == expected.tokens_most:
        tokens = f"about {expected.tokens_least:,} tokens"
    if expected.usd_least is None or expected.usd_most is None:
        return f"{calls}, {tokens}, price unknown"
    least, most = f"{expected.usd_least:.4f}", f"{expected.usd_most:.4f}"
    return f"{calls}, {tokens}, {least if least == most else f'{least} to {most}'} USD"
