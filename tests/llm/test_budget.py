import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.errors import BudgetError
from refinery.llm.budget import Budget
from refinery.llm.calls import Call, append
from refinery.llm.prices import AS_OF, Price, price_of
from refinery.llm.purse import Purse
from refinery.llm.schema import wire_schema
from tests.llm.test_router import Verdict

amounts = st.integers(0, 5_000)


@given(st.lists(st.tuples(amounts, amounts, st.floats(0, 1))), st.floats(0.001, 1))
def test_neither_tokens_nor_money_are_ever_exceeded(
    calls: list[tuple[int, int, float]], limit_usd: float
) -> None:
    budget = Budget(20_000, Purse(limit_usd), Price(1e-5, 5e-5))
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
    budget = Budget(1_000, Purse(0.000001), None)

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


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.2), st.floats(0, 1))))
def test_all_parts_together_never_spend_more_than_the_purse_holds(
    calls: list[tuple[str, float, float]],
) -> None:
    purse = Purse(1.0)
    under_way: list[tuple[str, float, float]] = []

    for part, most, share in calls:
        if purse.take(part, most):
            under_way.append((part, most, most * share))
        if len(under_way) > 3:
            purse.settle(*under_way.pop(0))
        assert purse.spent_usd <= 1.0

    for one in under_way:
        purse.settle(*one)
    assert purse.spent_usd <= 1.0


def test_what_is_set_aside_is_for_its_part_alone() -> None:
    purse = Purse(1.0)

    with purse.set_aside({"judge": 0.4}) as is_there:
        assert is_there
        assert not purse.take("replays", 0.7)
        assert purse.take("replays", 0.6)
        assert purse.take("judge", 0.4)
        assert not purse.take("judge", 0.01)
        purse.settle("replays", 0.6, 0.0)
        purse.settle("judge", 0.4, 0.4)
    with purse.set_aside({"judge": 0.7}) as is_there:
        assert not is_there

    assert purse.left_usd == pytest.approx(0.6)
    assert purse.document()["parts"]["judge"] == {
        "calls": 1, "spent_usd": 0.4, "forecast_usd": 0.4}  # fmt: skip


def test_a_later_process_goes_on_with_what_an_earlier_one_left() -> None:
    earlier = Purse(1.0)
    assert earlier.take("analyse", 0.5)
    earlier.settle("analyse", 0.5, 0.25)
    assert earlier.take("judge", 0.5)  # killed before it was answered: it may have to be paid for

    later = Purse(1.0, json.loads(json.dumps(earlier.document())))

    assert later.left_usd == pytest.approx(0.25)
    assert not later.take("replays", 0.26)
