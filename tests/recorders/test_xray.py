"""The X-Ray SDK: what a step tells, where it hangs, and what it must not break."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from refinery import XRay, instrument, track
from refinery.model.trace import Evaluation, RunKind, RunStatus, Usage
from refinery.recorders._book import Book
from refinery.recorders._origin import OriginReader
from tests.recorders._collect import ListSink


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def xray(sink: ListSink) -> XRay:
    return XRay(book=Book(sink, origin=OriginReader(Path.cwd())))


def test_everything_told_of_a_step_is_kept(xray: XRay, sink: ListSink) -> None:
    with (
        xray.trace("selection", session="s1", user="u1", metadata={"team": "shop"}) as trace,
        trace.step("filter", metadata={"version": 1}) as step,
    ):
        step.set_input({"candidates": 3})
        step.set_output(kept=["a"])
        step.set_reasoning("only one is near in price")
        step.set_metadata("market", "de")
        step.set_metadata({"run": 7}, retries=0)
        step.add_evaluation("a", {"price": 9}, {"price": True}, True, "within the range")
        step.add_evaluation("b", qualified=False)
        step.add_evaluation(3)
        step.add_llm_metadata("small-1", 120, 0.2, provider="openai", max_tokens=50)

    root, filtered = sink.runs
    assert (root.name, root.kind, root.parent_id) == ("selection", RunKind.CHAIN, None)
    assert (root.session_id, root.user_id) == ("s1", "u1")
    assert (root.metadata or {})["team"] == "shop"
    assert (filtered.name, filtered.kind, filtered.layer) == ("filter", RunKind.STEP, "step")
    assert filtered.parent_id == root.run_id == trace.run_id == trace.id
    assert filtered.inputs == {"candidates": 3}
    assert filtered.outputs == {"kept": ["a"]}
    assert filtered.reasoning == "only one is near in price"
    told = {"version": 1, "market": "de", "run": 7, "retries": 0}
    assert told.items() <= (filtered.metadata or {}).items()
    assert filtered.evaluations == [
        Evaluation("a", {"price": 9}, {"price": True}, True, "within the range"),
        Evaluation("b", qualified=False),
        Evaluation("3"),
    ]
    assert (filtered.model_requested, filtered.provider) == ("small-1", "openai")
    assert filtered.params == {"temperature": 0.2, "max_tokens": 50}
    assert filtered.usage == Usage(total=120)
    assert filtered.status is RunStatus.OK
    assert (filtered.metrics or {})["wall_ms"] >= 0
    assert filtered.code and filtered.code.qualname == "test_everything_told_of_a_step_is_kept"
    assert {document["source"] for document in sink.documents} == {"xray"}
    assert sink.lost == []


def test_one_value_is_kept_under_a_name(xray: XRay, sink: ListSink) -> None:
    with xray.trace("t") as trace:
        trace.set_input("text")
        trace.set_output([1, 2])

    assert sink.runs[0].inputs == {"input": "text"}
    assert sink.runs[0].outputs == {"output": [1, 2]}


def test_tokens_and_costs_of_several_calls_add_up(xray: XRay, sink: ListSink) -> None:
    with xray.trace("t") as trace:
        trace.add_llm_metadata("m", input_tokens=10, output_tokens=5, cost_usd=0.1)
        trace.add_llm_metadata("m", input_tokens=1, output_tokens=2, cost_usd=Decimal("0.2"))
        trace.add_llm_metadata("m")

    run = sink.runs[0]
    assert run.usage == Usage(input=11, output=7, total=18)
    assert (run.cost_usd, run.cost_source) == (Decimal("0.3"), "reported")


def test_an_exception_is_recorded_and_goes_on(xray: XRay, sink: ListSink) -> None:
    raised = ValueError("no products")

    with (
        pytest.raises(ValueError, match="no products") as caught,
        xray.trace("t") as trace,
        trace.step("search") as step,
    ):
        step.set_input({"query": "q"})
        raise raised

    assert caught.value is raised
    assert (raised.__cause__, raised.__context__) == (None, None)
    root, search = sink.runs
    assert (root.status, search.status) == (RunStatus.ERROR, RunStatus.ERROR)
    assert search.error and (search.error.type, search.error.message) == (
        "ValueError",
        "no products",
    )
    assert "test_xray.py" in search.error.stack
    assert search.inputs == {"query": "q"}


def test_steps_nest_by_where_they_are(xray: XRay, sink: ListSink) -> None:
    with xray.trace("t") as trace:
        with trace.step("outer") as outer:
            with trace.step("inner"), outer.step("innermost"), xray.step("deep"):
                pass
            with outer.step("second"):
                pass
        with trace.step("after"):
            pass

    assert sink.tree() == {
        ("t", None, "ok"): 1,
        ("outer", "t", "ok"): 1,
        ("inner", "outer", "ok"): 1,
        ("innermost", "inner", "ok"): 1,
        ("deep", "innermost", "ok"): 1,
        ("second", "outer", "ok"): 1,
        ("after", "t", "ok"): 1,
    }


def test_tasks_and_async_blocks_nest(xray: XRay, sink: ListSink) -> None:
    async def search(trace: Any, n: int) -> None:
        async with trace.step(f"search {n}") as step:
            await asyncio.sleep(0.001 * (3 - n))
            async with step.step(f"fetch {n}"):
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with xray.trace("t") as trace:
            await asyncio.gather(*(search(trace, n) for n in range(3)))

    asyncio.run(main())

    expected = {("t", None, "ok"): 1}
    expected |= {(f"search {n}", "t", "ok"): 1 for n in range(3)}
    expected |= {(f"fetch {n}", f"search {n}", "ok"): 1 for n in range(3)}
    assert sink.tree() == expected


def test_steps_on_other_threads_hang_below_what_began_them(xray: XRay, sink: ListSink) -> None:
    def work(n: int) -> None:
        with outer.step(f"on thread {n}"), trace.step("inside"):
            pass

    with xray.trace("t") as trace, trace.step("outer") as outer, ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))

    assert sink.tree()[("on thread 3", "outer", "ok")] == 1
    assert sum(count for row, count in sink.tree().items() if row[0] == "inside") == 8
    assert not any(row[:2] == ("inside", "outer") for row in sink.tree())
    assert len({run.trace_id for run in sink.runs}) == 1


def test_two_traces_on_two_threads_do_not_mix(xray: XRay, sink: ListSink) -> None:
    meet = threading.Barrier(2)

    def pipeline(name: str) -> None:
        with xray.trace(name) as trace:
            for n in range(20):
                meet.wait()
                with trace.step(f"{name}{n}"):
                    pass

    threads = [threading.Thread(target=pipeline, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(str(row[0]).startswith(str(row[1])) for row in sink.tree() if row[1] is not None)
    assert len(sink.runs) == 42


def test_instrumented_functions_and_blocks_are_children_of_the_step(
    xray: XRay, sink: ListSink
) -> None:
    @instrument(layer="tool")
    def lookup(word: str) -> str:
        with track("parse"), xray.step("told"):
            return word

    with xray.trace("t") as trace, trace.step("s"):
        lookup("x")

    assert sink.tree()[("told", "parse", "ok")] == 1
    name = next(row[0] for row in sink.tree() if row[1] == "s")
    assert name == "lookup"


def test_a_step_may_be_a_decorator(xray: XRay, sink: ListSink) -> None:
    with xray.trace("t") as trace:

        @trace.step("double")
        def double(n: int) -> int:
            return n * 2

        @trace.step("later")
        async def later(n: int) -> int:
            return n

        assert [double(2), double(3), asyncio.run(later(4))] == [4, 6, 4]

    @xray.trace("whole")
    def whole() -> str:
        return "done"

    assert whole() == "done"
    assert sink.tree() == {
        ("t", None, "ok"): 1,
        ("double", "t", "ok"): 2,
        ("later", "t", "ok"): 1,
        ("whole", None, "ok"): 1,
    }
    assert sink.named("double").inputs == {"n": 2}
    assert sink.named("whole").outputs == {"output": "done"}


def test_what_is_told_outside_of_a_step_is_counted(xray: XRay, sink: ListSink) -> None:
    trace = xray.trace("never entered")
    trace.set_input("lost")
    with trace.step("orphan") as step:
        step.set_output("kept")
    step.set_output("too late")
    step.add_evaluation("a")
    step.add_llm_metadata("m")
    step.set_metadata("a", 1)
    with step:
        pass

    assert [run.name for run in sink.runs] == ["orphan"]
    assert sink.runs[0].outputs == {"output": "kept"}
    assert len(sink.lost) == 7


def test_too_many_evaluations_are_counted_not_kept(
    xray: XRay, sink: ListSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinery.recorders.xray.MAX_EVALUATIONS", 3)

    with xray.trace("t") as trace:
        for n in range(5):
            trace.add_evaluation(str(n))

    run = sink.runs[0]
    assert [item.item_id for item in run.evaluations or []] == ["0", "1", "2"]
    assert (run.metadata or {})["refinery"]["evaluations_omitted"] == 2


class Bomb:
    def __getattribute__(self, name: str) -> Any:
        raise MemoryError

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")


def test_hostile_values_cost_their_own_field_only(xray: XRay, sink: ListSink) -> None:
    bomb: Any = Bomb()

    with xray.trace("t") as trace:
        trace.set_input(bomb)
        trace.set_output({"bomb": bomb})
        trace.set_reasoning(bomb)
        trace.set_metadata(bomb, bomb)
        trace.set_session(bomb)
        trace.set_user(bomb)
        trace.add_evaluation(bomb, bomb, bomb, bomb, bomb)
        trace.add_evaluation("a", bomb, [bomb])
        trace.add_llm_metadata(bomb, bomb, bomb, cost_usd=bomb)
        trace.step(42)  # type: ignore[arg-type]  # a user may pass anything

    assert sink.runs[0].status is RunStatus.OK
    assert sink.lost


def test_secrets_in_every_field_are_taken_out(xray: XRay, sink: ListSink) -> None:
    key = "sk-proj-" + "a1B2c3D4e5" * 5

    with xray.trace("t") as trace:
        trace.set_input(key)
        trace.set_reasoning(f"because {key}")
        trace.set_metadata("key", key)
        trace.add_evaluation("a", {"key": key}, {key: True}, True, key)
        trace.add_llm_metadata("m", prompt=key)

    assert key not in str(sink.documents)


def test_traces_inside_other_runs_are_their_children(xray: XRay, sink: ListSink) -> None:
    with xray.trace("outer"), xray.trace("inner"):
        pass

    assert sink.tree()[("inner", "outer", "ok")] == 1
