"""What every trace store must do: subclass it and give it the fixture `opened`."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.errors import StoreError
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
from refinery.ports import Store, TraceFilter
from tests.kits.run_contract import RunContract
from tests.kits.traces import START_NS, llm, run, sample

EVERYTHING = Run(
    run_id="full",
    trace_id="full",
    name="everything \u202e\x00 £",
    kind=RunKind.LLM,
    dotted_order="20260101T000000000000Zfull",
    native_kind="chat",
    start_ns=START_NS,
    end_ns=START_NS + 1,
    status=RunStatus.ERROR,
    error=RunError("E", "broken", "Traceback"),
    inputs={"a": [1, 2.5, None, True, {"b": "x" * 5000}]},
    outputs=["list", "of", {"things": ""}],
    provider="openai",
    model_requested="m",
    model_responded="m-1",
    params={"temperature": 0},
    tools=[{"name": "t"}],
    usage=Usage(1, 2, 3, 4, 5, 6),
    cost_usd=Decimal("0.000123"),
    cost_source="reported",
    first_token_ns=START_NS,
    reasoning="because",
    evaluations=[Evaluation("i", {"k": 1}, None, True, "fits")],
    session_id="s",
    user_id="u",
    tags=["one"],
    metadata={"deep": {"er": [1]}},
    code=CodeReference("m", "q", "f.py", 3, "c", False, "v"),
    layer="tool",
    metrics={"cpu_ms": 1.5},
    events=[{"name": "start"}],
    links=[{"trace_id": "other"}],
    attachments=[{"name": "a.png"}],
    raw_ref="file:1",
)


def opening(run_: Run) -> Run:
    """The view of a run that was sent when it began."""
    return replace(
        run_, end_ns=None, status=RunStatus.RUNNING, outputs=None, error=None, usage=None
    )


class StoreContract(RunContract):
    """Behaviour every store shares; each test gets a store that is empty."""

    def test_a_run_with_every_field_reads_back_equal(self, store: Store) -> None:
        assert store.write_runs([EVERYTHING], source="test", project="p") == 1

        trace = store.get_trace("full")

        assert trace is not None
        assert trace.runs == (EVERYTHING,)
        assert (trace.source, trace.project) == ("test", "p")

    def test_an_unknown_trace_is_none(self, store: Store) -> None:
        assert store.get_trace("nothing") is None
        assert store.get_trace("\ud800") is None

    def test_writing_twice_changes_nothing(self, store: Store) -> None:
        trace = sample()

        assert store.write_runs(trace.runs) == 4
        assert store.write_runs(trace.runs) == 0

        assert store.get_trace("t").runs == trace.runs
        assert store.list_traces(TraceFilter())[0].runs == 4

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,  # several stores keep one contract
        ],
    )
    @given(seed=st.randoms(use_true_random=False), batches=st.integers(1, 4))
    def test_posts_and_patches_join_in_any_order_and_number(
        self, opened: Callable[[], Store], seed: object, batches: int
    ) -> None:
        store = opened()
        whole = sample(failed="no stock")
        views = [view for run_ in whole.runs for view in (opening(run_), run_, run_)]
        seed.shuffle(views)  # type: ignore[attr-defined]

        for at in range(batches):
            store.write_runs(views[at::batches])

        assert store.get_trace("t").runs == whole.runs
        summary = store.list_traces(TraceFilter())[0]
        assert (summary.runs, summary.errors, summary.total_tokens) == (4, 2, 30)
        assert summary.status is RunStatus.ERROR

    def test_a_later_null_never_erases(self, store: Store) -> None:
        store.write_runs([run("t", inputs={"q": 1}, outputs={"a": 2}, metadata={"k": 1})])

        store.write_runs([Run("t", "t", end_ns=START_NS + 9, outputs={}, metadata={"l": 2})])

        found = store.get_trace("t").runs[0]
        assert (found.inputs, found.outputs) == ({"q": 1}, {"a": 2})
        assert found.metadata == {"k": 1, "l": 2}

    def test_children_may_come_before_their_root(self, store: Store) -> None:
        whole = sample()
        store.write_runs(whole.runs[1:])

        early = store.get_trace("t")
        store.write_runs(whole.runs[:1])

        assert not early.is_complete
        assert store.get_trace("t").is_complete
        assert store.list_traces(TraceFilter())[0].name == "t"

    def test_runs_come_in_tree_order(self, store: Store) -> None:
        store.write_runs(
            [
                run("t/b", parent="t", at_ms=2),
                run("t/a/1", parent="t/a", at_ms=3, trace_id="t"),
                run("t", at_ms=0),
                run("t/a", parent="t", at_ms=1),
            ]
        )

        order = [found.run_id for found in store.get_trace("t").runs]

        assert order == ["t", "t/a", "t/a/1", "t/b"]

    def test_dotted_order_decides_over_start_times(self, store: Store) -> None:
        store.write_runs(
            [
                run("t/b", parent="t", at_ms=1, dotted_order="1.3"),
                run("t/a", parent="t", at_ms=9, dotted_order="1.2"),
                run("t", dotted_order="1"),
            ]
        )

        assert [r.run_id for r in store.get_trace("t").runs] == ["t", "t/a", "t/b"]

    def test_runs_that_are_each_others_parents_are_kept(self, store: Store) -> None:
        store.write_runs([run("t/a", parent="t/b"), run("t/b", parent="t/a")])

        assert {found.run_id for found in store.get_trace("t").runs} == {"t/a", "t/b"}

    def test_totals_count_leaf_model_calls_only(self, store: Store) -> None:
        store.write_runs(
            [
                run("t", usage=Usage(total=99)),
                llm("t/1", "t", "q", "a", usage=Usage(total=50)),
                llm("t/1/1", "t/1", "q", "a", usage=Usage(input=20, output=30)),
                llm("t/2", "t", "q", "a", usage=Usage(total=7)),
                llm("t/3", "t", "q", "a", usage=None),
            ]
        )

        assert store.list_traces(TraceFilter())[0].total_tokens == 57

    def test_tokens_nobody_reported_are_unknown(self, store: Store) -> None:
        store.write_runs([run("t")])

        assert store.list_traces(TraceFilter())[0].total_tokens is None

    def test_traces_are_listed_newest_first(self, store: Store) -> None:
        for at_ms, name in ((5, "middle"), (1, "old"), (9, "new")):
            store.write_runs([run(name, at_ms=at_ms)])
        store.write_runs([Run("never", "never")])

        listed = [summary.trace_id for summary in store.list_traces(TraceFilter())]

        assert listed == ["new", "middle", "old", "never"]
        assert len(store.list_traces(TraceFilter(limit=2))) == 2

    @pytest.mark.parametrize("limit", [1, 2, 3, 20])
    def test_pages_of_traces_neither_overlap_nor_skip(self, store: Store, limit: int) -> None:
        for number in range(9):
            store.write_runs([run(f"t{number}", at_ms=number // 3)])
        store.write_runs([Run("never", "never"), Run("nowhere", "nowhere")])
        whole = [summary.trace_id for summary in store.list_traces(TraceFilter())]

        found: list[str] = []
        wanted = TraceFilter(limit=limit)
        while page := store.list_traces(wanted):
            found += [summary.trace_id for summary in page]
            wanted = replace(wanted, after=(page[-1].start_ns, page[-1].trace_id))

        assert found == whole
        assert len(whole) == 11

    def test_a_page_goes_on_when_the_trace_before_it_is_gone(self, store: Store) -> None:
        for number in range(5):
            store.write_runs([run(f"t{number}", at_ms=number)])
        last = store.list_traces(TraceFilter(limit=2))[-1]
        store.delete_traces([last.trace_id])

        page = store.list_traces(TraceFilter(after=(last.start_ns, last.trace_id)))

        assert [summary.trace_id for summary in page] == ["t2", "t1", "t0"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (TraceFilter(status="error"), {"b"}),
            (TraceFilter(status="failed"), {"b", "c"}),
            (TraceFilter(status="ok"), {"a", "c"}),
            (TraceFilter(project="shop"), {"a"}),
            (TraceFilter(name="HOTEL"), {"c"}),
            (TraceFilter(session_id="s1"), {"b"}),
            (TraceFilter(user_id="u1"), {"b"}),
            (TraceFilter(source="langchain"), {"a"}),
            (TraceFilter(since_ns=START_NS + 2_000_000), {"b", "c"}),
            (TraceFilter(until_ns=START_NS + 2_000_000), {"a"}),
            (TraceFilter(since_ns=-(10**30), until_ns=10**30), {"a", "b", "c"}),
            (TraceFilter(label="fail"), {"c"}),
            (TraceFilter(text="lamp"), {"a"}),
            (TraceFilter(text="LAMP red"), {"a"}),
            (TraceFilter(text="lamp boom"), set()),
            (TraceFilter(text="boom"), {"b"}),
            (TraceFilter(text='"'), set()),
            (TraceFilter(text="NEAR(lamp"), set()),
            (TraceFilter(text="red* OR \x00 -boom"), set()),
            (TraceFilter(text="  "), {"a", "b", "c"}),
            (TraceFilter(project="\ud800"), set()),
        ],
    )
    def test_filters_choose(self, store: Store, wanted: TraceFilter, expected: set[str]) -> None:
        store.write_runs(
            [run("a", inputs={"q": "the red lamp"})], source="langchain", project="shop"
        )
        store.write_runs([run("b", at_ms=2, failed="boom", session_id="s1", user_id="u1")])
        store.write_runs([run("c", at_ms=3, name="Hotel desk")])
        store.write_feedback([Feedback("f", "c", "label", value={"outcome": "fail"})])

        assert {found.trace_id for found in store.list_traces(wanted)} == expected

    def test_words_may_stand_in_different_runs(self, store: Store) -> None:
        store.write_runs([run("t", inputs="alpha"), run("t/1", parent="t", outputs="beta")])

        assert len(store.list_traces(TraceFilter(text="alpha beta"))) == 1

    def test_text_of_a_changed_run_is_found_anew(self, store: Store) -> None:
        store.write_runs([opening(run("t", inputs="alpha"))])
        store.write_runs([run("t", outputs="omega")])

        assert len(store.list_traces(TraceFilter(text="alpha omega"))) == 1

    def test_ids_are_found_by_their_beginning(self, store: Store) -> None:
        store.write_runs([run("abc1"), run("abc2"), run("abd"), run("%_"), run("Abc3")])

        assert store.find_ids("abc") == ["abc1", "abc2"]
        assert store.find_ids("ab", limit=1) == ["abc1"]
        assert store.find_ids("%") == ["%_"]
        assert store.find_ids("zz") == []

    def test_feedback_is_kept_replaced_and_ordered(self, store: Store) -> None:
        first = Feedback("1", "t", "label", value="fail", created_ns=2)
        second = Feedback("2", "t", "score", run_id="t/1", score=0.5, created_ns=1)
        store.write_feedback([first, second])
        changed = replace(first, value="pass", comment="looked again", correction={"a": 1})

        store.write_feedback([changed])

        assert store.get_feedback("t") == [second, changed]
        assert store.get_feedback("other") == []

    def test_the_newest_label_counts_even_before_the_trace_comes(self, store: Store) -> None:
        store.write_feedback(
            [
                Feedback("1", "t", "label", value="fail", created_ns=1),
                Feedback("2", "t", "label", value={"outcome": "pass"}, created_ns=2),
                Feedback("3", "t", "label", run_id="t/1", value="fail", created_ns=3),
                Feedback("4", "t", "other", value="fail", created_ns=4),
            ]
        )
        store.write_runs([run("t")])

        assert store.list_traces(TraceFilter())[0].label == "pass"

    def test_deleting_takes_everything_of_a_trace(self, store: Store) -> None:
        store.write_runs(sample("t").runs)
        store.write_runs(sample("u").runs)
        store.write_feedback([Feedback("1", "t", "label", value="pass")])

        assert store.delete_traces(["t", "unknown"]) == 1

        assert store.get_trace("t") is None
        assert store.get_feedback("t") == []
        assert [s.trace_id for s in store.list_traces(TraceFilter(text="lamp"))] == ["u"]
        assert (store.stats()["traces"], store.stats()["runs"]) == (1, 4)

    def test_hostile_values_are_stored_not_interpreted(self, store: Store) -> None:
        hostile = {
            "lc": 1,
            "__class__": "os.system",
            "__reduce__": ["x"],
            "'; DROP TABLE runs; --": "\x00\ud800",
            "big": 10**400,
            "none": float("nan"),
        }
        store.write_runs(
            [
                Run(
                    "t",
                    "t",
                    name="\ud800",
                    start_ns=10**30,
                    end_ns=-(10**30),
                    usage=Usage(total=10**40),
                    kind=RunKind.LLM,
                    inputs=hostile,
                )
            ]
        )

        found = store.get_trace("t").runs[0]

        assert found.inputs["lc"] == 1
        assert found.inputs["'; DROP TABLE runs; --"] == "\x00?"
        assert found.inputs["big"] == 10**400
        assert found.start_ns == 10**30
        assert store.list_traces(TraceFilter())[0].start_ns is None

    def test_a_failing_batch_leaves_nothing(self, store: Store) -> None:
        def broken() -> object:
            yield run("t")
            raise RuntimeError("source broke")

        with pytest.raises(RuntimeError):
            store.write_runs(broken())  # type: ignore[arg-type]

        assert store.get_trace("t") is None

    def test_a_closed_store_says_so(self, store: Store) -> None:
        store.close()

        with pytest.raises(StoreError, match="closed"):
            store.list_traces(TraceFilter())

    def test_stats_count_what_is_there(self, store: Store) -> None:
        store.write_runs(sample().runs)

        stats = store.stats()

        assert (stats["traces"], stats["runs"]) == (1, 4)
        assert stats["size_bytes"] > 0
        assert stats["schema_version"] >= 1
