import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.errors import BudgetError
from refinery.llm.budget import Budget
from refinery.llm.calls import Call, append
from refinery.llm.prices import AS_OF, Price, price_of
from refinery.llm.schema import wire_schema
from tests.llm.test_router import Verdict

amounts = st.integers(0, 5_000)


@given(st.lists(st.tuples(amounts, amounts, st.floats(0, 1))), st.floats(0.001, 1))
def test_neither_tokens_nor_money_are_ever_exceeded(
    calls: list[tuple[int, int, float]], limit_usd: float
) -> None:
    budget = Budget(20_000, limit_usd, Price(1e-5, 5e-5))
    for input_tokens, output_tokens, share in calls:
        try:
            budget.reserve(input_tokens, output_tokens)
        except BudgetError:
            continue
        used = (int(input_tokens * share), int(output_tokens * share))
        budget.settle((input_tokens, output_tokens), used)

        assert budget.spent.tokens <= 20_000
        assert budget.spent.cost_usd is not None
        assert budget.spent.cost_usd <= limit_usd + 1e-9


def test_an_unknown_price_leaves_the_token_ceiling() -> None:
    budget = Budget(1_000, 0.000001, None)

    budget.reserve(500, 400)

    assert budget.spent.cost_usd is None
    with pytest.raises(BudgetError, match="tokens"):
        budget.reserve(100, 100)


def test_prices_are_found_with_and_without_a_version() -> None:
    assert price_of("gpt-4o-mini") == price_of("gpt-4o-mini-2024-07-18")
    assert price_of("claude-sonnet-4-5-20250929") == Price(3e-6, 15e-6)
    assert price_of("gpt-4o-audio-preview") is None
    assert price_of("llama3") is None
    assert len(AS_OF) == 7


def test_a_call_is_one_private_line(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    call = Call(1, "openai:x", "judge", 10, 5, "reported", None, "ok", 0.5)

    append(log, call)
    append(log, call)
    append(None, call)

    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["cost_usd"] is None
    assert log.stat().st_mode & 0o077 == 0


def test_the_wire_schema_requires_everything_and_has_no_references() -> None:
    schema = wire_schema(Verdict)

    assert schema["title"] == "Verdict"
    assert schema["required"] == ["label", "reasons"]
    assert schema["additionalProperties"] is False
    assert "$ref" not in json.dumps(schema)
    assert "default" not in schema["properties"]["reasons"]
