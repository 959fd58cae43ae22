"""What every trace store must do beyond whole traces: runs, batches, projects, blobs."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.errors import InputError
from refinery.model.trace import Feedback, Run, RunKind, RunStatus
from refinery.ports import ProjectSummary, Ranking, RunBatch, RunFilter, Store, TraceFilter
from tests.kits.traces import START_NS, run, sample


def pages(store: Store, wanted: RunFilter) -> list[list[str]]:
    """Run ids of every page, followed by its cursor to the end."""
    found = []
    while True:
        page = store.find_runs(wanted)
        found.append([item.run.run_id for item in page.runs])
        if page.next is None:
            return found
        wanted = replace(wanted, after=page.next)


def ids(store: Store, wanted: RunFilter) -> list[str]:
    """Run ids of all pages, one after the other."""
    return [run_id for page in pages(store, wanted) for run_id in page]


class RunContract:
    """Behaviour every store shares; each test gets a store that is empty."""

    @pytest.fixture
    def store(self, opened: Callable[[], Store]) -> Store:
        return opened()

    def test_batches_are_written_together(self, store: Store) -> None:
        first, second = sample("a"), sample("b", at_ms=50)

        new = store.write_batches(
            [
                RunBatch(first.runs, "langsmith", "shop"),
                RunBatch(second.runs, "otlp", "desk"),
                RunBatch([], "otlp", "nothing"),
            ]
        )

        assert new == 8
        assert store.get_trace("a") == replace(first, source="langsmith", project="shop")
        assert store.get_trace("b") == replace(second, source="otlp", project="desk")
        assert store.write_batches([RunBatch(first.runs), RunBatch(second.runs)]) == 0
        assert store.write_batches([]) == 0
        assert store.get_trace("a").source == "langsmith"

    def test_two_views_of_a_run_may_stand_in_two_batches(self, store: Store) -> None:
        whole = run("t", inputs={"q": 1}, outputs={"a": 2})
        early = replace(whole, end_ns=None, status=RunStatus.RUNNING, outputs=None)

        assert store.write_batches([RunBatch([whole], "x"), RunBatch([early], "y")]) == 1

        assert store.get_trace("t").runs == (whole,)

    def test_a_failing_batch_takes_the_others_with_it(self, store: Store) -> None:
        broken: list[Run] = [run("u"), "no run"]  # type: ignore[list-item]

        with pytest.raises(AttributeError):
            store.write_batches([RunBatch([run("t")]), RunBatch(broken)])

        assert store.list_traces(TraceFilter()) == []

    def test_one_run_is_found_by_its_id(self, store: Store) -> None:
        trace = sample()
        store.write_runs(trace.runs, source="langchain", project="shop")

        found = store.get_run("t/2")

        assert found is not None
        assert found.run == trace.run("t/2")
        assert (found.source, found.project) == ("langchain", "shop")
        assert store.get_run("t/9") is None
        assert store.get_run("\ud800") is None

    def test_runs_are_listed_newest_or_oldest_first(self, store: Store) -> None:
        store.write_runs([run("t", at_ms=5), run("u", at_ms=1), run("v", at_ms=9)])
        store.write_runs([Run("never", "never"), run("w", at_ms=5)])

        assert ids(store, RunFilter()) == ["v", "w", "t", "u", "never"]
        assert ids(store, RunFilter(is_oldest_first=True)) == ["u", "t", "w", "v", "never"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (RunFilter(trace_id="a"), {"a", "a/1", "a/2", "a/3"}),
            (RunFilter(trace_id="unknown"), set()),
            (RunFilter(run_ids=["a/1", "b", "none", "\ud800"]), {"a/1", "b"}),
            (RunFilter(run_ids=[]), set()),
            (RunFilter(parent_id="a"), {"a/1", "a/2", "a/3"}),
            (RunFilter(parent_id="gone"), {"c/1"}),
            (RunFilter(trace_id="b", parent_id="a"), set()),
            (RunFilter(is_root=True), {"a", "b"}),
            (RunFilter(is_root=False, trace_id="c"), {"c/1"}),
            (RunFilter(project="shop"), {"a", "a/1", "a/2", "a/3"}),
            (RunFilter(project="shop", is_root=True), {"a"}),
            (RunFilter(project="nowhere"), set()),
            (RunFilter(kind="tool"), {"a/2", "b/2"}),
            (RunFilter(status="error"), {"b", "b/2"}),
            (RunFilter(status="error", kind="tool", project="desk"), {"b/2"}),
            (RunFilter(name="lookup"), {"a/2", "b/2"}),
            (RunFilter(session_id="s1"), {"c/1"}),
            (RunFilter(user_id="u1"), {"c/1"}),
            (RunFilter(since_ns=START_NS + 900_000_000), {"c/1"}),
            (RunFilter(until_ns=START_NS + 1_000_000), {"a"}),
            (RunFilter(since_ns=-(10**30), until_ns=10**30, kind="agent"), {"a", "b"}),
            (RunFilter(text="lamp"), {"a/2", "b/2"}),
            (RunFilter(text="costs IT"), {"a/3", "b/3"}),
            (RunFilter(text="lamp", project="shop"), {"a/2"}),
            (RunFilter(text="lamp price"), {"a/2", "b/2"}),
            (RunFilter(text="lamp look"), set()),
            (RunFilter(text='"'), set()),
            (RunFilter(project="\ud800"), set()),
        ],
    )
    def test_filters_choose_runs(
        self, store: Store, wanted: RunFilter, expected: set[str]
    ) -> None:
        lookups = [replace(r, inputs={"item": "lamp price"}) for r in sample("a").runs[2:3]]
        store.write_runs([*sample("a").runs[:2], *lookups, sample("a").runs[3]], project="shop")
        failed = [*sample("b", failed="no stock", at_ms=50).runs]
        failed[2] = replace(failed[2], inputs={"item": "lamp price"})
        store.write_runs(failed, project="desk")
        store.write_runs(
            [run("c/1", parent="gone", at_ms=999, session_id="s1", user_id="u1")], project="desk"
        )

        assert set(ids(store, wanted)) == expected
        assert set(ids(store, replace(wanted, limit=1))) == expected
        assert set(ids(store, replace(wanted, limit=2, is_oldest_first=True))) == expected

    def test_text_repeated_in_several_runs_is_found_in_each(self, store: Store) -> None:
        said = "the whole conversation so far speaks of zeppelins and is rather long " * 3
        store.write_runs([run("t", inputs=said), run("t/1", parent="t", inputs=[said])])

        assert set(ids(store, RunFilter(text="zeppelins"))) == {"t", "t/1"}

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,  # several stores keep one contract
        ],
    )
    @given(
        starts=st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=12),
        limit=st.integers(1, 5),
        is_oldest_first=st.booleans(),
    )
    def test_pages_neither_overlap_nor_skip(
        self,
        opened: Callable[[], Store],
        starts: list[int | None],
        limit: int,
        is_oldest_first: bool,
    ) -> None:
        store = opened()
        store.write_runs([Run(f"r{n}", "t", start_ns=at) for n, at in enumerate(starts)])

        found = pages(store, RunFilter(limit=limit, is_oldest_first=is_oldest_first))

        flat = [run_id for page in found for run_id in page]
        assert sorted(flat) == sorted(f"r{n}" for n in range(len(starts)))
        assert all(len(page) == limit for page in found[:-1])
        known = [starts[int(run_id[1:])] for run_id in flat]
        times = [at for at in known if at is not None]
        assert times == sorted(times, reverse=not is_oldest_first)
        assert None not in known[: len(times)]

    def test_runs_written_between_pages_do_not_disturb_them(self, store: Store) -> None:
        store.write_runs([run(f"t{n}", at_ms=n) for n in range(6)])
        first = store.find_runs(RunFilter(limit=3))
        store.write_runs([run("later", at_ms=100), run("t5", at_ms=5, outputs="more")])

        rest = ids(store, RunFilter(limit=3, after=first.next))

        assert rest == ["t2", "t1", "t0"]

    @pytest.mark.parametrize("cursor", ["", "nonsense", "n1.2.3", "n9" * 200, "n\ud800.1", "n.\n"])
    def test_a_cursor_of_somebody_else_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(InputError, match="cursor"):
            store.find_runs(RunFilter(after=cursor))

    def test_a_cursor_holds_in_its_own_direction_only(self, store: Store) -> None:
        store.write_runs([run("t", at_ms=1), run("u", at_ms=2)])
        cursor = store.find_runs(RunFilter(limit=1)).next

        with pytest.raises(InputError, match="cursor"):
            store.find_runs(RunFilter(after=cursor, is_oldest_first=True))

    def test_projects_are_summed_up(self, store: Store) -> None:
        store.write_runs([run("a", at_ms=1), run("b", at_ms=3)], project="shop")
        store.write_runs([run("c", at_ms=2)], project="desk")
        store.write_runs([Run("d", "d")])

        found = {project.name: project for project in store.projects()}

        assert set(found) == {"shop", "desk", None}
        ms = 1_000_000
        assert found["shop"] == ProjectSummary("shop", 2, START_NS + ms, START_NS + 3 * ms)
        assert found["desk"].traces == 1
        assert found[None] == ProjectSummary(None, 1, None, None)
        assert [p.name for p in store.projects() if p.name] == ["desk", "shop"]

    def test_a_project_said_later_holds_for_earlier_runs(self, store: Store) -> None:
        store.write_runs([run("t/1", parent="t")])
        store.write_runs([run("t")], source="otlp", project="shop")
        store.write_runs([run("t/2", parent="t")], source="x", project="other")

        assert len(ids(store, RunFilter(project="shop"))) == 3
        assert ids(store, RunFilter(project="other")) == []
        assert store.get_run("t/1").source == "otlp"

    @pytest.mark.parametrize(
        "content", [b"", b"\x00\xff", b"word " * 10_000, os.urandom(100_000)], ids=len
    )
    def test_blobs_read_back_equal(self, store: Store, content: bytes) -> None:
        reference = store.put_blob(content, "t")

        assert reference == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert store.put_blob(content, "t") == reference
        assert store.get_blob(reference) == content

    def test_a_blob_nobody_kept_is_none(self, store: Store) -> None:
        assert store.get_blob("sha256:" + "0" * 64) is None
        assert store.get_blob("\ud800") is None

    def test_blobs_go_with_the_last_trace_that_holds_them(self, store: Store) -> None:
        store.write_runs([run("a"), run("b")])
        shared = store.put_blob(b"shared", "a")
        store.put_blob(b"shared", "b")
        own = store.put_blob(b"own", "a")

        store.delete_traces(["a"])
        assert (store.get_blob(own), store.get_blob(shared)) == (None, b"shared")

        store.delete_traces(["b"])
        assert store.get_blob(shared) is None

    def test_feedback_may_come_before_its_run(self, store: Store) -> None:
        early = Feedback("f", "", "correctness", run_id="t/1", score=0.5)
        store.write_feedback([early])
        store.write_runs([run("t/1", parent="t")])
        store.write_feedback([Feedback("g", "", "tone", run_id="t/1", created_ns=1)])

        found = store.get_feedback("t")

        assert found == [
            replace(early, trace_id="t"),
            Feedback("g", "t", "tone", run_id="t/1", created_ns=1),
        ]
        store.delete_traces(["t"])
        assert store.get_feedback("t") == []

    def test_feedback_sent_again_without_its_trace_stays_where_it_is(self, store: Store) -> None:
        store.write_runs([run("t")])
        store.write_feedback([Feedback("f", "t", "label", run_id="t", value="fail")])

        store.write_feedback([Feedback("f", "", "label", run_id="t", value="pass")])

        assert [item.value for item in store.get_feedback("t")] == ["pass"]

    def test_an_unknown_kind_of_run_reads_back(self, store: Store) -> None:
        store.write_runs([Run("t", "t", native_kind="odd"), Run("u", "u", kind=RunKind.EVENT)])

        assert store.get_run("t").run.kind is None
        assert ids(store, RunFilter(kind="event")) == ["u"]

    def test_a_trace_is_a_users_when_its_top_names_that_user_and_no_run_another(
        self, store: Store
    ) -> None:
        """Parents of three runs, and which of them stand at the top."""
        shapes: dict[str, tuple[tuple[str | None, ...], tuple[int, ...]]] = {
            "chain": ((None, "0", "1"), (0,)),
            "two-roots": ((None, None, "1"), (0, 1)),
            "no-root": (("gone", "0", "elsewhere"), (0, 2)),
            "loop": (("2", "0", "1"), ()),
        }
        expected = {"elsewhere"}
        written = [run("elsewhere", user_id="u", inputs="alpha")]
        for shape, (parents, top) in shapes.items():
            for users in product((None, "u", "v", ""), repeat=3):
                key = f"{shape}:{','.join(map(str, users))}"
                ids = [key, f"{key}/1", f"{key}/2"]
                known = {str(number): run_id for number, run_id in enumerate(ids)}
                for number, run_id in enumerate(ids):
                    above = known.get(parents[number] or "", parents[number])
                    about = {"user_id": users[number], "inputs": "alpha", "trace_id": key}
                    written.append(run(run_id, parent=above, **about))
                if set(users) <= {None, "u"} and {users[at] for at in top} == {"u"}:
                    expected.add(key)
        assert len(expected) == 1 + 4 + 2 + 2
        store.write_runs(written)

        every = [one.trace_id for one in store.list_traces(TraceFilter(limit=1_000))]
        assert len(every) == 1 + 4 * 4**3
        traces = [store.get_trace(one) for one in every]
        assert {one.trace_id for one in traces if one and one.owner == "u"} == expected
        for wanted in (TraceFilter(owner="u"), TraceFilter(owner="u", text="alpha")):
            assert {one.trace_id for one in store.list_traces(wanted)} == expected
        if isinstance(store, Ranking):
            found = store.rank_traces(TraceFilter(owner="u", text="alpha"))
            assert {one.trace.trace_id for one in found} == expected
        mine = RunFilter(owner="u", limit=1_000)
        own = {one.run.trace_id for one in store.find_runs(mine).runs}
        assert own == expected
        for trace_id in every:
            count = (1 if trace_id == "elsewhere" else 3) if trace_id in expected else 0
            ids = [trace_id, f"{trace_id}/1", f"{trace_id}/2"]
            for narrow in (replace(mine, trace_id=trace_id), replace(mine, run_ids=ids)):
                assert len(store.find_runs(narrow).runs) == count
