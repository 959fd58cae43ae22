"""Runs written as LangSmith's API does, and read back."""

import json
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langsmith import schemas
from langsmith.types.run import Run as RunV2

from refinery.adapters._shared.langsmith_documents import feedback_stats, to_v1, to_v2
from refinery.adapters._shared.langsmith_runs import to_run
from refinery.adapters._shared.langsmith_tree import (
    TraceShape,
    ancestors,
    project_id,
    public_id,
)
from refinery.model.trace import (
    CodeReference,
    Evaluation,
    Feedback,
    Run,
    RunError,
    RunKind,
    RunStatus,
    Usage,
)

START = 1_763_700_000_000_000_000
SECOND = 10**9


def run(name: str, parent: str | None = None, **fields: object) -> Run:
    """A finished run of the trace `root`."""
    return Run(
        run_id=name,
        trace_id="root",
        name=name,
        parent_id=parent,
        start_ns=fields.pop("start_ns", START),  # type: ignore[arg-type]
        end_ns=START + SECOND,
        kind=fields.pop("kind", RunKind.CHAIN),  # type: ignore[arg-type]
        status=fields.pop("status", RunStatus.OK),  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )


def back(item: object) -> Run:
    """What a client reads of a document that went over the wire."""
    return to_run(json.loads(json.dumps(item)))


ODD = run(
    "span-1",
    "gone",
    kind=RunKind.STEP,
    start_ns=START + 123,
    status=RunStatus.CANCELLED,
    error=RunError("E", 'it\'s "this"\n', "Traceback: none"),
    inputs=[1, None],
    outputs=3,
    provider="openai",
    model_requested="m",
    params={"temperature": 0.5, "seed": 1},
    tools=[{"name": "t"}],
    usage=Usage(input=1, output=2),
    cost_usd=Decimal("0.10"),
    cost_source="estimated",
    session_id="s",
    user_id="u",
    tags=["a"],
    metadata={"k": 1, "refinery": {"is_patch": True}},
    code=CodeReference("m", "q"),
    layer="tool",
    metrics={"cpu_ms": 1.0},
    events=[{"name": "e"}],
    links=[{"to": 1}],
    attachments=[{"name": "a/b", "reference": "sha256:00"}, {"name": "lost", "fetched": False}],
    raw_ref="sha256:11",
    reasoning="why",
    evaluations=[Evaluation("1", {"a": 1}, None, True, "r")],
)


@pytest.mark.parametrize("write", [to_v1, to_v2])
def test_what_langsmith_has_no_field_for_comes_back(write: object) -> None:
    assert back(write(ODD, "p", shape=TraceShape([ODD]))) == ODD  # type: ignore[operator]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
TIMES = st.none() | st.integers(0, 2**62)
RUNS = st.builds(
    Run,
    run_id=st.text(min_size=1, max_size=40) | st.uuids().map(str),
    trace_id=st.text(min_size=1, max_size=40) | st.uuids().map(str),
    name=st.none() | st.text(max_size=10),
    kind=st.none() | st.sampled_from(RunKind),
    parent_id=st.none() | st.text(min_size=1, max_size=5) | st.uuids().map(str),
    dotted_order=st.none() | st.text(max_size=30),
    native_kind=st.none() | st.text(max_size=5),
    start_ns=TIMES,
    end_ns=TIMES,
    status=st.none() | st.sampled_from(RunStatus),
    error=st.none() | st.builds(RunError, st.text(max_size=9), st.text(max_size=20), st.text()),
    inputs=JSON,
    outputs=JSON,
    params=st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    tools=st.none() | st.lists(JSON, max_size=2),
    usage=st.none() | st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.integers(0)),
    cost_usd=st.none() | st.decimals(0, 9, places=4),
    session_id=st.none() | st.text(max_size=5),
    tags=st.none() | st.lists(st.text(max_size=5), max_size=2),
    metadata=st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    events=st.none() | st.lists(JSON, max_size=2),
    attachments=st.none() | st.lists(JSON, max_size=2),
)


@given(RUNS)
def test_any_run_comes_back_as_it_was(anything: Run) -> None:
    assert back(to_v1(anything)) == anything
    assert back(to_v2(anything)) == anything


@given(RUNS)
def test_the_sdk_can_read_any_document(anything: Run) -> None:
    item = json.loads(json.dumps(to_v1(anything)))
    read = schemas.Run(**item)
    assert str(read.id) == public_id(anything.run_id)
    assert isinstance(read.inputs, dict)
    assert RunV2(**json.loads(json.dumps(to_v2(anything)))).id == str(read.id)


@given(JSON)
def test_a_hostile_note_never_breaks_reading(note: object) -> None:
    item = to_v1(run("a"))
    item["extra"]["metadata"]["refinery"] = {"document": note}
    assert back(item).name == "a"
    item["extra"]["metadata"]["refinery"] = {
        "document": {"fields": note, "added": note, "wrapped": note}
    }
    assert isinstance(back(item), Run)


def test_a_run_of_langsmith_is_written_without_a_note() -> None:
    item = to_v1(run("0199-x"))
    first = back(
        {
            **item,
            "id": str(uuid.UUID(int=1)),
            "trace_id": str(uuid.UUID(int=1)),
            "dotted_order": f"20251121T040000000000Z{uuid.UUID(int=1)}",
            "extra": {"metadata": {"ls_model_name": "m", "thread_id": "t"}},
        }
    )
    assert to_v1(first)["extra"]["metadata"] == {"ls_model_name": "m", "thread_id": "t"}


def test_kinds_statuses_and_ids_are_written_in_langsmiths_words() -> None:
    item = to_v1(run("a", kind=RunKind.AGENT, status=RunStatus.ERROR, error=RunError("E", "no")))
    assert (item["run_type"], item["status"], item["error"]) == ("chain", "error", "E('no')")
    assert item["id"] == public_id("a")
    assert item["session_id"] == project_id("default") == project_id(None)
    assert to_v2(run("a", kind=RunKind.RERANKER))["run_type"] == "RETRIEVER"
    running = Run("a", "a", start_ns=START, status=RunStatus.RUNNING)
    assert to_v1(running)["status"] == "pending"


def test_an_interrupt_is_no_error() -> None:
    paused = run("a", status=RunStatus.CANCELLED, error=RunError("GraphInterrupt", "()"))
    assert to_v1(paused)["status"] == "success"
    assert "GraphInterrupt" in to_v1(paused)["error"]


def test_tokens_and_costs_of_leaf_calls_are_summed_upwards() -> None:
    usage = Usage(input=10, output=5, total=15, cache_read=4, reasoning=1)
    runs = [
        run("root"),
        run("agent", "root", kind=RunKind.AGENT, usage=Usage(input=999)),
        run("outer", "agent", kind=RunKind.LLM, usage=usage, cost_usd=Decimal("0.5")),
        run("inner", "outer", kind=RunKind.LLM, usage=usage, cost_usd=Decimal("0.5")),
        run("second", "root", kind=RunKind.LLM, usage=Usage(input=1, output=1)),
        run("tool", "root", kind=RunKind.TOOL),
    ]
    shape = TraceShape(runs)
    items = {one.name: to_v1(one, shape=shape) for one in runs}
    root = items["root"]
    assert (root["prompt_tokens"], root["completion_tokens"], root["total_tokens"]) == (11, 6, 17)
    assert root["prompt_token_details"] == {"cache_read": 4}
    assert root["completion_token_details"] == {"reasoning": 1}
    assert root["total_cost"] == 0.5
    assert items["agent"]["total_tokens"] == 15
    assert items["tool"]["total_tokens"] is None
    assert root["child_run_ids"] == [public_id(name) for name in ("agent", "second", "tool")]


def test_tree_keys_are_made_of_starts_and_ids_along_the_parents() -> None:
    runs = [run("root"), run("a", "root", start_ns=START + 2000), run("b", "a", start_ns=None)]
    shape = TraceShape(runs)
    keys = [to_v1(one, shape=shape)["dotted_order"] for one in runs]
    assert keys[0] == f"20251121T044000000000Z{public_id('root')}"
    assert keys[1] == f"{keys[0]}.20251121T044000000002Z{public_id('a')}"
    assert ancestors(keys[2]) == [public_id("root"), public_id("a")]
    assert to_v1(runs[2], shape=shape)["start_time"] == "2025-11-21T04:40:00.000002+00:00"


def test_a_child_whose_parent_never_came_still_names_it() -> None:
    item = to_v1(run("a", "gone"))
    assert item["parent_run_ids"] == [item["parent_run_id"]] == [public_id("gone")]


def test_parents_in_a_circle_end() -> None:
    runs = [run("a", "b"), run("b", "a"), run("c", "c")]
    shape = TraceShape(runs)
    for one in runs:
        item = to_v1(one, shape=shape)
        assert item["parent_run_id"] == public_id(one.parent_id or "")


def test_a_tree_of_ten_thousand_levels_is_summed_without_recursion() -> None:
    runs = [run("0")] + [run(str(n), str(n - 1)) for n in range(1, 10_000)]
    runs[-1] = run("9999", "9998", kind=RunKind.LLM, usage=Usage(input=1, output=1))
    assert TraceShape(runs).totals(runs[0]).total == 2


def test_feedback_is_counted_by_key() -> None:
    said = [
        Feedback("1", "t", "score", score=1.0, source="llm"),
        Feedback("2", "t", "score", score=0.0, comment="no"),
        Feedback("3", "t", "label", value="bad"),
    ]
    stats = feedback_stats(said)
    assert stats["score"]["n"] == 2
    assert stats["score"]["avg"] == 0.5
    assert stats["score"]["comments"] == ["no"]
    assert stats["label"]["values"] == {"bad": 1}
    assert to_v1(run("a"), feedback=said)["feedback_stats"] == stats


@pytest.mark.parametrize(
    "text",
    [
        "KeyError('lamp')\n\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n",
        "ValueError('no lamp')Traceback (most recent call last):\n\n\n  File \"a\", line 1\n\n\n",
    ],
    ids=["traceable", "langchain"],
)
def test_an_error_is_told_in_the_words_its_client_sent(text: str) -> None:
    sent = back({"id": "a", "trace_id": "a", "run_type": "tool", "error": text})
    assert to_v1(sent)["error"] == text
