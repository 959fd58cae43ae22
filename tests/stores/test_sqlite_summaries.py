"""Summaries of traces grow with their runs, and are what all the runs together say."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.model.trace import Run, RunKind, RunStatus, Usage
from refinery.stores._shared import traces
from refinery.stores.sqlite import SqliteStore
from tests.kits.traces import run

MAYBE = st.none() | st.integers(0, 9)
VIEWS = st.builds(
    Run,
    run_id=st.sampled_from(["t", "a", "b", "c", "d", "e"]),
    trace_id=st.sampled_from(["t", "t", "t", "u"]),
    name=st.none() | st.just("n"),
    kind=st.sampled_from([None, RunKind.LLM, RunKind.TOOL, RunKind.EMBEDDING]),
    parent_id=st.sampled_from([None, "t", "a", "b", "gone"]),
    start_ns=MAYBE,
    end_ns=MAYBE,
    status=st.sampled_from([None, *RunStatus]),
    usage=st.none() | st.builds(Usage, total=MAYBE),
    session_id=st.sampled_from([None, "s1", "s2"]),
    user_id=st.sampled_from([None, "u1"]),
)


def summaries(store: SqliteStore) -> list[tuple[object, ...]]:
    """All derived columns."""
    with store._reader.use() as connection:
        return connection.execute("SELECT * FROM traces ORDER BY number").fetchall()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(VIEWS, min_size=1, max_size=4), min_size=1, max_size=6))
def test_a_grown_summary_is_the_one_derived_anew(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Run]]
) -> None:
    with SqliteStore(tmp_path_factory.mktemp("store") / "traces.db") as store:
        for batch in batches:
            store.write_runs(batch)
            grown = summaries(store)
            with store._writer.transaction() as connection:
                for trace_id in ("t", "u"):
                    traces.refresh(connection, trace_id)

            assert grown == summaries(store)
            assert all(row[4] for row in grown), "a trace without runs"


def test_a_long_trace_in_small_pieces_is_summed_up_without_reading_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed: list[str] = []
    real = traces.refresh
    monkeypatch.setattr(
        traces, "refresh", lambda c, trace_id: (refreshed.append(trace_id), real(c, trace_id))
    )
    with SqliteStore(tmp_path / "traces.db") as store:
        store.write_runs([run("t", "agent")])
        for number in range(50):
            child = run(f"t/{number}", "llm", "t", at_ms=number, usage=Usage(total=2))
            store.write_runs([replace(child, end_ns=None, usage=None, status=RunStatus.RUNNING)])
            store.write_runs([child])

        row = summaries(store)[0]

    assert refreshed == []
    assert row[4] == 51
    assert row[12] == 100


def test_a_run_that_changes_its_trace_leaves_nothing_behind(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "traces.db") as store:
        store.write_runs([replace(run("r"), trace_id="old", end_ns=None, status=None)])
        store.write_runs([replace(run("r"), trace_id="new")])

        assert store.get_trace("old") is None
        assert [found.run_id for found in store.get_trace("new").runs] == ["r"]
        assert store.stats()["traces"] == 1
