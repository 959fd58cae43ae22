"""Checks on what a run did."""

import pytest

from refinery.errors import InputError
from refinery.replay.checks import evaluate, parse, recorded_result
from tests.kits.traces import llm, run, trace

CANCEL = {"id": "c1", "type": "function", "function": {"name": "cancel", "arguments": "{}"}}


def support(*, asked: bool) -> object:
    """A run that looks an order up and cancels it, after asking or without."""
    said = [{"role": "user", "content": "Cancel order 7."}]
    if asked:
        said += [
            {"role": "assistant", "content": "Shall I cancel order 7?"},
            {"role": "user", "content": "Yes."},
        ]
    call = run(
        "t/1",
        "llm",
        "t",
        at_ms=1,
        inputs={"messages": said},
        outputs={"messages": [{"role": "assistant", "content": "", "tool_calls": [CANCEL]}]},
    )
    return recorded_result(
        trace(
            run("t", "chain", inputs={"q": "x"}, outputs={"answer": "Done."}),
            call,
            run("t/2", "tool", "t", name="look_up", at_ms=2, inputs={"order": 7, "all": True}),
            run("t/3", "tool", "t", name="cancel", at_ms=3, inputs={}),
        )
    )


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("tool_called:look_up", True),
        ('tool_called:look_up {"order": 7}', True),
        ('tool_called:look_up {"order": 8}', False),
        ("tool_called:refund", False),
        ("tool_not_called:refund", True),
        ("tool_not_called:cancel", False),
        ("order:look_up > cancel", True),
        ("order:cancel > look_up", False),
        ("order:cancel > refund", True),
        ("max_words:1", True),
        ("max_words:0", False),
        ("min_words:2", False),
        ("max_chars:5", True),
        ("max_chars:4", False),
    ],
)
def test_a_check_on_what_was_called(text: str, held: bool) -> None:
    assert evaluate(parse(text), support(asked=True)).held is held  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [True, False])
def test_asking_first_needs_a_question_that_the_user_answered(asked: bool) -> None:
    found = evaluate(parse("asks_before:cancel"), support(asked=asked))  # type: ignore[arg-type]

    assert found.held is asked


def test_calls_a_model_asked_for_count_where_no_tool_was_recorded() -> None:
    call = llm("t/1", "t", "hi", "x")
    result = recorded_result(trace(run("t", "chain", outputs={"answer": "x"}), call))

    assert evaluate(parse("tool_not_called:cancel"), result).held


@pytest.mark.parametrize(
    "text",
    ["order:a", "order:a >", "tool_called:a {b}", "max_words:many", "language:klingon", "judge:"],
)
def test_a_value_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_a_criterion_without_a_judge_does_not_hold() -> None:
    found = evaluate(parse("judge:is polite"), support(asked=True))  # type: ignore[arg-type]

    assert not found.held
    assert "no model" in found.detail
