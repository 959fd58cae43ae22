"""The adapter of chat conversations."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.adapters import messages
from refinery.adapters._shared import conversation
from refinery.errors import RefineryError, TraceFormatError
from refinery.model.messages import messages_in, messages_out, tool_calls
from refinery.model.trace import RunError, RunKind, RunStatus, Trace, Usage
from refinery.model.walk import in_tree_order, texts

CALL = {"id": "c1", "type": "function", "function": {"name": "price", "arguments": '{"id": 7}'}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is lamp 7?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "price", "content": "Error: no lamp 7"},
    {"role": "assistant", "content": "I do not know.", "usage": {"prompt_tokens": 9}},
    {"role": "user", "content": "Thanks."},
]


def save(folder: Path, content: object, name: str = "talk.json") -> Path:
    path = folder / name
    encoded = json.dumps(content).encode()
    path.write_bytes(gzip.compress(encoded) if name.endswith(".gz") else encoded)
    return path


def read_one(folder: Path, content: object) -> Trace:
    (found,) = messages.read(save(folder, content))
    return found


def test_a_conversation_becomes_a_tree_of_runs(tmp_path: Path) -> None:
    trace = read_one(tmp_path, TALK)

    root, first, tool, last = trace.runs
    assert [run.kind for run in trace.runs] == ["agent", "llm", "tool", "llm"]
    assert {run.parent_id for run in trace.runs[1:]} == {root.run_id}
    assert [m["content"] for m in root.inputs["messages"]] == ["What is lamp 7?", "Thanks."]
    assert root.outputs == {"output": "I do not know."}
    assert (root.status, root.name, trace.source) == (RunStatus.OK, "conversation", "messages")
    assert first.inputs == {"messages": TALK[:2]}
    assert last.inputs == {"messages": TALK[:4]}
    assert tool_calls(first)[0].arguments == {"id": 7}
    assert messages_out(last)[0].text == "I do not know."
    assert last.usage == Usage(input=9)
    assert (tool.name, tool.inputs) == ("price", {"id": 7})


def test_runs_are_in_tree_order_and_complete(tmp_path: Path) -> None:
    trace = read_one(tmp_path, TALK)

    assert trace.is_complete
    assert in_tree_order(tuple(reversed(trace.runs))) == trace.runs


def test_a_tool_that_answers_an_error_failed_but_not_the_agent(tmp_path: Path) -> None:
    trace = read_one(tmp_path, TALK)

    tool = trace.runs[2]
    assert tool.status is RunStatus.ERROR
    assert tool.error == RunError("", "Error: no lamp 7")
    assert tool.metadata == {"tool_call_id": "c1", "asked_by": trace.runs[1].run_id}
    assert trace.status is RunStatus.OK


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Error: gone", True),
        ("  ERROR gone", True),
        ("error", True),
        ("Traceback (most recent call last): …", True),
        ("Exception: gone", True),
        ("Errors were found in 3 files", False),
        ("There was an Error: gone", False),
        ("", False),
    ],
)
def test_error_texts_are_told_by_their_beginning(text: str, expected: bool) -> None:
    assert conversation.is_error_text(text) is expected


def test_reading_twice_gives_equal_traces(tmp_path: Path) -> None:
    path = save(tmp_path, [TALK, TALK])

    first, second = messages.read(path)

    assert list(messages.read(path)) == [first, second]
    assert first.trace_id != second.trace_id


def test_ids_do_not_depend_on_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, TALK)
    before = next(messages.read(path)).trace_id
    os.utime(path, (1, 1))

    assert next(messages.read(path.rename(tmp_path / "other.json"))).trace_id == before


def test_made_up_times_are_said_to_be(tmp_path: Path) -> None:
    root = read_one(tmp_path, TALK).runs[0]

    assert root.metadata == {"synthetic_times": True}


@pytest.mark.parametrize(
    "content",
    [
        TALK,
        [TALK],
        {"messages": TALK},
        [{"traj": TALK, "task_id": 1}],
        {"conversation": TALK},
    ],
)
@pytest.mark.parametrize("name", ["talk.json", "talk.json.gz"])
def test_all_shapes_of_files_are_read(tmp_path: Path, content: object, name: str) -> None:
    path = save(tmp_path, content, name)

    (trace,) = messages.read(path)

    assert len(trace.runs) == 4


def test_lines_hold_conversations_or_messages(tmp_path: Path) -> None:
    talks = tmp_path / "talks.jsonl"
    talks.write_text(f"{json.dumps({'messages': TALK})}\n{json.dumps(TALK)}\n", encoding="utf-8")
    turns = tmp_path / "turns.jsonl.gz"
    turns.write_bytes(gzip.compress("\n".join(json.dumps(turn) for turn in TALK).encode()))

    assert [len(trace.runs) for trace in messages.read(talks)] == [4, 4]
    assert [len(trace.runs) for trace in messages.read(turns)] == [4]


def test_other_vendors_messages_are_understood(tmp_path: Path) -> None:
    trace = read_one(
        tmp_path,
        [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "x", "name": "look", "input": {"a": 1}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "x", "content": "no", "is_error": True}
                ],
            },
            {"type": "ai", "content": "done"},
        ],
    )

    tool = trace.runs[2]
    assert (tool.name, tool.inputs, tool.status) == ("look", {"a": 1}, RunStatus.ERROR)
    assert trace.runs[0].outputs == {"output": "done"}


def test_parallel_results_find_their_calls(tmp_path: Path) -> None:
    def call(name: str, call_id: str | None) -> dict[str, Any]:
        return {"id": call_id, "function": {"name": name, "arguments": json.dumps({"n": name})}}

    trace = read_one(
        tmp_path,
        [
            {"role": "assistant", "tool_calls": [call("a", "1"), call("b", "2"), call("c", None)]},
            {"role": "tool", "tool_call_id": "2", "content": "of b"},
            {"role": "tool", "tool_call_id": "1", "content": "of a"},
            {"role": "tool", "name": "c", "content": "of c"},
            {"role": "tool", "name": "stranger", "content": "of nobody"},
        ],
    )

    tools = [(run.name, run.inputs) for run in trace.runs if run.kind is RunKind.TOOL]
    assert tools == [
        ("b", {"n": "b"}),
        ("a", {"n": "a"}),
        ("c", {"n": "c"}),
        ("stranger", None),
    ]


@pytest.mark.parametrize(
    ("beside", "outcome", "score"),
    [
        ({"reward": 1.0}, "pass", 1.0),
        ({"reward": 0.5}, "fail", 0.5),
        ({"reward": 0}, "fail", 0.0),
        ({"label": "FAIL"}, "fail", None),
        ({"label": True}, "pass", 1.0),
        ({"success": False}, "fail", 0.0),
        ({"passed": True}, "pass", 1.0),
    ],
)
def test_a_verdict_becomes_a_label(
    tmp_path: Path, beside: dict[str, Any], outcome: str, score: float | None
) -> None:
    path = save(tmp_path, {"messages": TALK, **beside})

    ((trace, (said,)),) = messages.read_labelled(path)

    assert (said.key, said.source, said.trace_id) == ("label", "api", trace.trace_id)
    assert said.value["outcome"] == outcome
    assert said.score == score


def test_the_answer_is_kept_out_of_the_runs(tmp_path: Path) -> None:
    record = {
        "traj": TALK,
        "reward": 0.0,
        "task_id": 3,
        "trial": 1,
        "info": {"task": {"actions": ["refund_the_lamp"]}},
        "expected_output": "refund_the_lamp",
    }

    ((trace, (said,)),) = messages.read_labelled(save(tmp_path, [record]))

    seen = [text for run in trace.runs for _, text in texts(run)]
    assert not any("refund_the_lamp" in text for text in seen)
    assert said.correction["info"] == record["info"]
    assert trace.runs[0].metadata == {"synthetic_times": True, "task_id": 3, "trial": 1}
    assert trace.runs[0].name == "task 3"


def test_what_describes_the_conversation_is_kept(tmp_path: Path) -> None:
    record = {
        "messages": TALK,
        "model": "gpt-x",
        "tools": [{"name": "price"}],
        "thread_id": "th",
        "user_id": "u",
        "name": "lamp talk",
        "metadata": {"channel": "web"},
    }

    ((trace, said),) = messages.read_labelled(save(tmp_path, record))

    root, call = trace.runs[:2]
    assert (root.session_id, root.user_id, root.name) == ("th", "u", "lamp talk")
    assert root.metadata == {"synthetic_times": True, "channel": "web"}
    assert (call.model_requested, call.tools) == ("gpt-x", [{"name": "price"}])
    assert [item.key for item in said] == ["source record"]


def test_secrets_are_taken_out(tmp_path: Path) -> None:
    key = "sk-" + "ab12" * 10
    trace = read_one(tmp_path, [*TALK, {"role": "assistant", "content": f"your key is {key}"}])

    assert key not in str(trace)


def test_very_long_conversations_keep_the_opening_and_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "MAX_INPUT_CHARS", 20_000)
    monkeypatch.setattr(conversation, "MIN_CALL_CHARS", 2_000)
    turns = [
        {"role": role, "content": f"{number} " + "x" * 300}
        for number in range(100)
        for role in ("user", "assistant")
    ]

    trace = read_one(tmp_path, [{"role": "system", "content": "Be brief."}, *turns])

    last = trace.runs[-1]
    given = messages_in(last)
    assert given[0].text == "Be brief."
    assert given[-1].text.startswith("99 ")
    assert last.metadata["messages_left_out"] == 200 - len(given)
    assert sum(len(m.text) for m in given) < 2_000


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        5,
        None,
        "text",
        [5],
        [[]],
        [{"role": "user", "content": "hi"}],
        {"messages": [{"content": "no role"}, {"role": "assistant", "content": "x"}]},
        {"messages": [5]},
        {"messages": "text"},
        [{"messages": TALK}, {"nothing": 1}],
    ],
)
def test_what_is_no_conversation_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(TraceFormatError, match=r"talk\.json") as caught:
        list(messages.read_labelled(save(tmp_path, content)))

    assert caught.value.hint


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '[{"role": "assistant", "x": NaN}]', ""])
def test_what_is_not_json_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "talk.json"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(TraceFormatError, match=r"talk\.json"):
        list(messages.read(path))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'[{"role": "user"', True),
        (b' \n [[{"content":"x","role":"user"', True),
        (b'{"messages": [', True),
        (b'[{"task_id": 0, "reward": 0.0, "traj": [', True),
        (b'{"id": 1, "messages": [', True),
        (b"[1, 2]", False),
        (b"not json", False),
        (b"", False),
    ],
)
def test_files_are_recognised_by_their_beginning(head: bytes, expected: bool) -> None:
    assert messages.recognise(head, Path("any")) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "tool_calls", "messages", "traj", "usage", "reward"]
            ),
            inner | st.sampled_from(["assistant", "tool", "user"]),
        )
    ),
    max_leaves=14,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=JSON, wrapped=st.booleans())
def test_any_json_is_read_or_refused(tmp_path: Path, value: object, wrapped: bool) -> None:
    content = {"messages": [*TALK, value], "reward": value} if wrapped else value
    path = save(tmp_path, content, "any.json")

    try:
        list(messages.read_labelled(path))
    except RefineryError as error:
        assert "any.json" in str(error)
