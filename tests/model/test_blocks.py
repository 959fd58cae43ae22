"""Content blocks of every vendor are read as text, calls and results."""

import pytest

from refinery.model.blocks import call_of, result_of, text_of
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Json, Run


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "a"}, {"type": "text", "content": "b"}], "a\nb"),
        ([{"type": "reasoning", "content": "hmm"}], ""),
        ([{"type": "tool_result", "content": "29"}], ""),
        ([{"text": "gemini"}], "gemini"),
        (None, ""),
        (7, "7"),
    ],
)
def test_text_of_a_content(content: Json, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
        {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
        {"type": "tool-call", "toolCallId": "1", "toolName": "f", "input": {"a": 1}},
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}},
    ],
)
def test_calls_are_read(block: Json) -> None:
    call = call_of(block)

    assert call is not None
    assert (call.name, call.arguments, call.call_id) == ("f", {"a": 1}, "1")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "29"}]},
        {"type": "tool_call_response", "id": "1", "response": "29"},
        {"type": "tool_call_response", "id": "1", "result": "29"},
        {"type": "tool-result", "toolCallId": "1", "output": {"type": "text", "value": "29"}},
        {"functionResponse": {"id": "1", "response": "29"}},
    ],
)
def test_results_are_read(block: Json) -> None:
    result = result_of(block)

    assert result is not None
    assert (result.text, result.call_id, result.is_error) == ("29", "1", False)


def test_a_failed_result_says_so() -> None:
    block = {"type": "tool-result", "output": {"type": "error-text", "value": "no"}}

    result = result_of(block)

    assert result is not None
    assert (result.text, result.is_error) == ("no", True)


def test_gemini_requests_and_answers_are_read() -> None:
    inputs = {
        "systemInstruction": {"parts": [{"text": "Sell lamps."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Price?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "f", "response": {"p": 29}}}],
            },
        ],
    }
    outputs = {"candidates": [{"content": {"role": "model", "parts": [{"text": "29"}]}}]}
    run = Run("r", "t", inputs=inputs, outputs=outputs)

    told = [(message.role, message.text) for message in messages_in(run)]

    assert told == [
        ("system", "Sell lamps."),
        ("user", "Price?"),
        ("assistant", ""),
        ("tool", '{"p": 29}'),
    ]
    assert messages_in(run)[2].tool_calls[0].arguments == {"a": 1}
    assert [(message.role, message.text) for message in messages_out(run)] == [("assistant", "29")]


def test_messages_with_parts_are_read() -> None:
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": "Price?"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "29"}]},
    ]
    run = Run(
        "r", "t", inputs={"system": [{"type": "text", "content": "S"}], "messages": messages}
    )

    told = [(message.role, message.text, message.tool_call_id) for message in messages_in(run)]

    assert told == [("system", "S", None), ("user", "Price?", None), ("tool", "29", "1")]
