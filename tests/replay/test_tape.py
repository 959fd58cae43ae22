"""Tapes made of traces, and results compared with what was recorded."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.errors import ReplayError
from refinery.model.messages import ToolCall
from refinery.model.trace import EntryPoint, Run, RunError, RunKind, RunStatus, Trace, Usage
from refinery.replay.compare import difference, is_same_error, is_same_output
from refinery.replay.tape import Tape, entry_point, result_key, with_entry
from tests.replay.traces import START_NS, failed, llm, trace, work

UUID = "0b0e3c5e-95a4-4d0f-9b5c-0a4d5a0c3a01"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
ENTRY = EntryPoint("callable", "app:answer", {"order": UUID}, "/srv/agent", "c0ffee", "diff")


def full() -> Trace:
    call = {"id": "call_1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    return trace(
        llm(3, "second", "last", usage=Usage(5, 2)),
        llm(1, "first", said),
        work(2, RunKind.TOOL, "t", {"input": "{'a': 1}"}, {"output": "x"}),
        work(4, RunKind.RETRIEVER, "r", {"query": "q"}, {"documents": []}),
        failed(5, "third", RunError("APIError", "Error code: 529 - overloaded")),
        llm(6, "never ended", "", outputs=None, status=RunStatus.RUNNING),
        entry=ENTRY,
        output={"answer": "last"},
    )


def test_a_tape_holds_all_a_replay_needs_in_recorded_order() -> None:
    tape = Tape.from_trace(full())

    assert [call.run_id for call in tape.calls] == ["llm-1", "llm-3", "llm-5"]
    first, second, third = tape.calls
    assert first.reply is not None
    assert first.reply.tool_calls == (ToolCall("t", {}, "call_1"),)
    assert first.reply.finish_reason == "tool_calls"
    assert second.reply is not None
    assert (second.reply.text, second.reply.usage) == ("last", Usage(5, 2))
    assert (third.reply, third.error_status) == (None, 529)
    assert [result.name for result in (*tape.tools, *tape.retrievals)] == ["t", "r"]
    assert tape.tools[0].key == result_key("t", {"a": 1})
    assert tape.entry == ENTRY
    assert (tape.start_ns, tape.output) == (START_NS, {"answer": "last"})
    assert tape.known == (UUID,)


def test_a_tape_is_plain_json() -> None:
    tape = Tape.from_trace(full())

    assert Tape.from_json(json.loads(json.dumps(tape.to_json()))) == tape


def test_an_empty_trace_has_no_tape() -> None:
    with pytest.raises(ReplayError):
        Tape.from_trace(Trace("t", ()))


def test_a_recording_without_an_entry_point_gets_that_of_the_settings() -> None:
    silent = trace(inputs={"input": "hi"})

    found = with_entry(silent, "app:answer")

    assert found.root is not None
    assert entry_point(found.root) == EntryPoint("callable", "app:answer", "hi")
    assert with_entry(silent, None) is silent
    assert with_entry(full(), "app:other") == full()


@pytest.mark.parametrize("kept", [None, 3, {}, {"entry_point": 3}, {"entry_point": {"kind": 1}}])
def test_a_broken_entry_point_is_none(kept: Any) -> None:
    assert entry_point(Run("r", "r", metadata={"refinery": kept})) is None


@pytest.mark.parametrize(("folder", "seen"), [("apps/a", "apps/a"), ("../x", "."), ("/x", ".")])
def test_the_folder_of_a_program_stays_inside_its_repository(folder: str, seen: str) -> None:
    root = Run("r", "r", metadata={"refinery": {"folder": folder}})

    assert Tape.from_trace(Trace("r", (root,))).folder == seen


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "kwargs", "type", "content", "input", "refinery", "tools"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=80)
@given(ANY, ANY, st.sampled_from(list(RunKind)))
def test_any_trace_makes_a_tape(inputs: Any, outputs: Any, kind: RunKind) -> None:
    held = {"params": {"tools": inputs, "stop": inputs}, "metadata": {"refinery": inputs}}
    child = Run("c", "root", "c", kind, "root", inputs=inputs, outputs=outputs, **held)

    tape = Tape.from_trace(trace(child, output=outputs))

    assert Tape.from_json(json.loads(json.dumps(tape.to_json()))).trace_id == "root"


def message(identifier: str, text: str, **more: Any) -> dict[str, Any]:
    return {"type": "ai", "content": text, "id": identifier, "response_metadata": more}


def test_a_result_is_the_same_when_only_ids_times_and_counts_differ() -> None:
    recorded = {"messages": [message("run-1", "hi", id="chatcmpl-1", tokens=7)], "id": OTHER}
    tape = Tape.from_trace(trace(output=recorded))

    again = {"messages": [message("run-2", "hi", id="chatcmpl-2")], "id": UUID}

    assert is_same_output(tape, again)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"answer": "5 EUR", "n": [1, 2]}, 'answer: recorded "4 EUR", replayed "5 EUR"'),
        ({"answer": "4 EUR", "n": [1, 3]}, "n[1]: recorded 2, replayed 3"),
        ({"answer": "4 EUR"}, "n is only in the recording"),
        ({"answer": "4 EUR", "n": [1, 2], "x": 1}, "x is only in the replay"),
        ("4 EUR", "answer is only in the recording"),
        ({"answer": "4 EUR", "n": [1, 2.0]}, None),
    ],
)
def test_the_first_difference_is_named(output: Any, said: str | None) -> None:
    tape = Tape.from_trace(trace(output={"answer": "4 EUR", "n": [1, 2]}))

    assert difference(tape, output) == said


def test_a_bare_result_is_compared_under_the_recorders_name() -> None:
    assert is_same_output(Tape.from_trace(trace(output={"output": "hi"})), "hi")


def test_identifiers_that_are_data_make_a_difference() -> None:
    tape = Tape.from_trace(trace(entry=ENTRY, output={"order": UUID}))

    assert not is_same_output(tape, {"order": OTHER})


def test_errors_are_compared_without_addresses_and_folders() -> None:
    tape = Tape.from_trace(trace(entry=ENTRY))

    assert is_same_error(
        tape, "E: no /srv/agent/a.txt at 0x7f00deadbeef", "E: no a.txt at 0x7f11aaaa"
    )
    assert not is_same_error(tape, "E: no a.txt", "E: no b.txt")


def test_what_an_answer_repeats_of_its_request_is_no_data_from_outside() -> None:
    made = "6d0f0d52-6a53-4a7e-9d0c-000000000001"
    given = "6d0f0d52-6a53-4a7e-9d0c-000000000002"
    outputs = {"instructions": f"Trace {made} at 16:08:33", "output": [{"text": given}]}

    tape = Tape.from_trace(trace(llm(1, "hi", "x", outputs=outputs)))

    assert tape.known == (given,)
