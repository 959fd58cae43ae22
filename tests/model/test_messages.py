from typing import Any

import pytest
from hypothesis import given, settings

from refinery.model.messages import (
    Message,
    ToolCall,
    answer_text,
    messages_in,
    messages_out,
    parse,
    tool_calls,
)
from refinery.model.trace import Run
from tests.model.strategies import json_values

CALL = ToolCall("weather", {"city": "Oslo"}, "c1")
SAME_CONVERSATION: dict[str, list[dict[str, Any]]] = {
    "openai chat": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
    ],
    "openai responses": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {
            "type": "function_call",
            "name": "weather",
            "arguments": '{"city":"Oslo"}',
            "call_id": "c1",
        },
        {"type": "function_call_output", "call_id": "c1", "output": "Rain"},
    ],
    "anthropic": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "Rain"}],
        },
    ],
    "langchain dump": [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", name],
            "kwargs": kwargs,
        }
        for name, kwargs in (
            ("SystemMessage", {"content": "Be brief."}),
            ("HumanMessage", {"content": "Weather?", "type": "human"}),
            (
                "AIMessage",
                {
                    "content": "",
                    "tool_calls": [{"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}],
                },
            ),
            ("ToolMessage", {"content": "Rain", "tool_call_id": "c1"}),
        )
    ],
    "langchain dicts": [
        {"type": "system", "content": "Be brief."},
        {"type": "human", "content": "Weather?"},
        {
            "type": "ai",
            "content": "",
            "tool_calls": [{"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}],
        },
        {"type": "tool", "content": "Rain", "tool_call_id": "c1"},
    ],
}


@pytest.mark.parametrize("shape", SAME_CONVERSATION)
def test_every_vendor_shape_reads_as_the_same_conversation(shape: str) -> None:
    run = Run("r", "r", inputs={"messages": SAME_CONVERSATION[shape]})

    assert messages_in(run) == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", "", (CALL,)),
        Message("tool", "Rain", tool_call_id="c1"),
    )


def test_a_call_that_names_its_function_in_plain_text_has_that_name() -> None:
    call = {"function": "weather", "args": {"city": "Oslo"}, "id": "c1"}

    (message,) = parse({"role": "assistant", "content": None, "tool_calls": [call]})

    assert message.tool_calls == (CALL,)


def test_a_system_prompt_beside_the_messages_comes_first() -> None:
    messages = [{"role": "user", "content": "Hi"}]

    for key in ("system", "instructions"):
        run = Run("r", "r", inputs={key: "Be brief.", "messages": messages})
        assert [m.role for m in messages_in(run)] == ["system", "user"]


def test_a_batch_of_one_conversation_is_that_conversation() -> None:
    run = Run("r", "r", inputs={"messages": [[{"role": "user", "content": "Hi"}]]})

    assert messages_in(run) == (Message("user", "Hi"),)


def test_prompts_of_completion_models_are_user_messages() -> None:
    run = Run("r", "r", inputs={"prompts": ["Once upon a time"]})

    assert messages_in(run) == (Message("user", "Once upon a time"),)


def test_pairs_of_role_and_text_are_messages() -> None:
    assert list(parse([("human", "Hi"), ("ai", "Hello")])) == [
        Message("user", "Hi"),
        Message("assistant", "Hello"),
    ]


@pytest.mark.parametrize(
    "outputs",
    [
        {"generations": [[{"text": "Hi", "message": {"type": "ai", "content": "Hi"}}]]},
        {"generations": [[{"text": "Hi"}]]},
        {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        {"messages": [{"type": "ai", "content": "Hi"}]},
        {"output": [{"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]},
    ],
)
def test_answers_are_read_in_every_shape(outputs: Any) -> None:
    assert messages_out(Run("r", "r", outputs=outputs)) == (Message("assistant", "Hi"),)


def test_arguments_that_are_no_json_are_marked() -> None:
    message = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": '}}],
    }
    run = Run("r", "r", outputs={"choices": [{"message": message}]})

    assert tool_calls(run) == (ToolCall("f", '{"a": ', "c", is_malformed=True),)


def test_calls_langchain_could_not_parse_are_marked() -> None:
    outputs = {"type": "ai", "content": "", "invalid_tool_calls": [{"name": "f", "args": "{"}]}

    assert tool_calls(Run("r", "r", outputs=outputs))[0].is_malformed


def test_a_tool_message_keeps_its_error_mark() -> None:
    value = {"type": "tool", "content": "boom", "tool_call_id": "c", "status": "error"}

    assert next(parse(value)).is_error


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ({"answer": "42"}, "42"),
        ({"messages": [{"type": "human", "content": "Q"}, {"type": "ai", "content": "A"}]}, "A"),
        ({"score": 1}, '{"score": 1}'),
        (None, ""),
        ([1, 2], "[1, 2]"),
    ],
)
def test_the_answer_is_what_a_person_would_read(value: Any, expected: str) -> None:
    assert answer_text(value) == expected


@given(json_values)
@settings(max_examples=200)
def test_no_json_makes_the_reader_fail(value: Any) -> None:
    run = Run("r", "r", inputs=value, outputs=value)

    messages_in(run), messages_out(run), tool_calls(run), answer_text(value)


@pytest.mark.parametrize("key", ["content", "tool_calls", "kwargs", "data", "role", "generations"])
@given(json_values)
@settings(max_examples=40)
def test_odd_values_under_known_keys_do_not_make_it_fail(key: str, value: Any) -> None:
    shaped = {"role": "assistant", "type": "constructor", key: value}
    run = Run("r", "r", inputs={"messages": [shaped]}, outputs={"generations": value, **shaped})

    messages_in(run), messages_out(run), tool_calls(run)


def test_a_conversation_nested_too_deeply_is_read_without_a_crash() -> None:
    value: Any = [{"role": "user", "content": "deep"}]
    content: Any = "deep"
    for _ in range(5_000):
        value, content = [value], [content]
    nested = {"messages": [{"role": "user", "content": content}]}

    assert messages_in(Run("r", "r", inputs=value)) == ()
    assert len(messages_in(Run("r", "r", inputs=nested))) == 1
