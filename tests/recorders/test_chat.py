from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from refinery.model.trace import Usage
from refinery.recorders import _chat
from refinery.recorders._snapshot import Snapshot

USED = {
    "input_tokens": 10,
    "output_tokens": 4,
    "total_tokens": 14,
    "input_token_details": {"cache_read": 6, "cache_creation": 2},
    "output_token_details": {"reasoning": 3},
}


def answer(message: AIMessage, **info: Any) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=message, generation_info=info or None)]])


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi"),
        HumanMessage([{"type": "text", "text": "parts"}], name="ann", id="1"),
        SystemMessage(""),
        ToolMessage("result", tool_call_id="c", status="error", artifact={"a": 1}),
        AIMessage("hi", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c"}]),
        AIMessage("hi", usage_metadata=USED, response_metadata={"model_name": "m"}),  # type: ignore[arg-type]
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "e"}]),
        AIMessageChunk("part", id="r"),
    ],
)
def test_messages_are_dumped_as_langchain_does(message: BaseMessage) -> None:
    assert _chat.message(message, Snapshot()) == dumpd(message)


def test_a_message_with_an_artifact_that_cannot_be_compared_is_dumped() -> None:
    import numpy as np

    dumped = _chat.message(ToolMessage("r", tool_call_id="1", artifact=np.ones(3)), Snapshot())

    assert "array" in repr(dumped["kwargs"]["artifact"])


def test_usage_includes_cached_and_reasoning_tokens() -> None:
    told = _chat.usage(answer(AIMessage("a", usage_metadata=USED)))  # type: ignore[arg-type]

    assert told == Usage(10, 4, 14, cache_read=6, cache_write=2, reasoning=3)


def test_usage_of_older_models_is_read_from_llm_output() -> None:
    result = LLMResult(
        generations=[[Generation(text="a")]],
        llm_output={"token_usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )

    assert _chat.usage(result) == Usage(input=3, output=2)


def test_unknown_usage_is_none_not_zero() -> None:
    assert _chat.usage(answer(AIMessage("a"))) is None
    assert _chat.usage(LLMResult(generations=[])) is None


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [({"finish_reason": "length"}, "length"), ({"stop_reason": "max_tokens"}, "max_tokens")],
)
def test_the_finish_reason_stands_in_one_place(metadata: dict[str, str], reason: str) -> None:
    outputs = _chat.generations(answer(AIMessage("a", response_metadata=metadata)), Snapshot())

    assert outputs["generations"][0][0]["generation_info"]["finish_reason"] == reason


def test_model_parameters_have_one_name_and_tools_stand_apart() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    invocation = {
        "model": "m-1",
        "model_name": "m-1",
        "_type": "openai-chat",
        "max_completion_tokens": 20,
        "stop": None,
        "tools": [tool],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
    }

    fields = _chat.model_fields(
        invocation, {"ls_provider": "openai", "ls_temperature": 0.5}, Snapshot()
    )

    assert fields["provider"] == "openai"
    assert fields["model_requested"] == "m-1"
    assert fields["tools"] == [tool]
    assert fields["params"] == {
        "max_completion_tokens": 20,
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "max_tokens": 20,
        "temperature": 0.5,
    }


def test_the_model_that_answered_is_told_by_its_answer() -> None:
    assert (
        _chat.model_responded(answer(AIMessage("a", response_metadata={"model": "m-2"}))) == "m-2"
    )
    assert _chat.model_responded(answer(AIMessage("a"))) is None
