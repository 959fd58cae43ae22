"""The SQLite store beside other users of its file, on a bad disk, and its query plans."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import StoreError
from refinery.model.trace import Feedback
from refinery.ports import RunFilter, TraceFilter
from refinery.stores._shared import queries, schema
from refinery.stores.sqlite import SqliteStore
from tests.kits.traces import run, sample


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "traces.db") as opened:
        yield opened


_HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_another_process_that_holds_the_lock_is_waited_for_and_then_told_of(
    store: SqliteStore,
) -> None:
    store.write_runs([run("before")])
    command = [sys.executable, "-c", _HOLDER, str(store.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(StoreError, match="more than 5 s") as caught:
            store.write_runs([run("t")])

        assert "try again" in caught.value.hint
        assert store.get_trace("before") is not None
        assert store.get_trace("t") is None
        holder.communicate("\n")
    assert store.write_runs([run("t")]) == 1


def test_readers_see_whole_transactions_only(store: SqliteStore) -> None:
    done = threading.Event()

    def write() -> None:
        for number in range(60):
            store.write_runs(sample(f"t{number}").runs)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    with SqliteStore(store.path) as reader:
        counts: set[int] = set()
        while not done.is_set():
            listed = reader.list_traces(TraceFilter(limit=1_000))
            counts |= {summary.runs for summary in listed}
            counts |= {len(reader.get_trace(summary.trace_id).runs) for summary in listed[:3]}
    thread.join()

    assert counts <= {4}


def _words(number: int) -> str:
    return f"word{number} " + " ".join(f"w{number}x{other}" for other in range(200))


@pytest.mark.parametrize("call", ["write_runs", "write_feedback", "put_blob", "index"])
def test_a_full_disk_is_told_of_and_goes_away(store: SqliteStore, call: str) -> None:
    store.write_runs([run(f"t{n}", inputs=_words(n)) for n in range(50)])
    big = [run("u", inputs=[f"{n:x}" * 50 for n in range(30_000)])]
    calls = {
        "write_runs": lambda: store.write_runs(big),
        "write_feedback": lambda: store.write_feedback(
            [Feedback(str(n), "t0", "tone", comment="x" * 900) for n in range(300)]
        ),
        "put_blob": lambda: store.put_blob(os.urandom(100_000), "t0"),
        "index": store.index,
    }
    with store._writer.use() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreError, match="disk is full") as caught:
        calls[call]()

    assert "free some space" in caught.value.hint
    assert store.stats()["runs"] == 50
    with store._writer.use() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    calls[call]()
    assert len(store.find_runs(RunFilter(text="word7")).runs) == 1


def test_a_file_that_may_not_be_written_is_told_of(store: SqliteStore) -> None:
    with store._writer.use() as connection:
        connection.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreError, match="cannot be written"):
        store.write_runs([run("t")])


def test_a_file_cut_off_while_it_is_open_is_told_of(store: SqliteStore) -> None:
    store.write_runs([run(f"t{n}", inputs=f"word{n}" * 200) for n in range(2_000)])
    with sqlite3.connect(store.path) as other:
        other.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    other.close()
    with store.path.open("r+b") as file:
        file.truncate(store.path.stat().st_size // 3)

    with pytest.raises(StoreError, match=r"damaged|cannot be read"):
        for number in range(2_000):
            store.get_trace(f"t{number}")


def test_a_clock_that_goes_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(10**18, 0, -(10**12)))
    monkeypatch.setattr("refinery.clock.now_ns", lambda: next(times))
    with SqliteStore(tmp_path / "traces.db") as store:
        for number in range(5):
            store.write_runs([run(f"t{number}", at_ms=-number * 1_000, took_ms=-5)])

        listed = [summary.trace_id for summary in store.list_traces(TraceFilter())]
        paged = [item.run.run_id for item in store.find_runs(RunFilter()).runs]

    assert listed == paged == ["t0", "t1", "t2", "t3", "t4"]


def _plan(store: SqliteStore, sql: str, arguments: list[object]) -> str:
    with store._reader.use() as connection:
        found = connection.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)
        return " | ".join(row[3] for row in found)


@pytest.mark.parametrize(
    ("wanted", "index", "is_sorted"),
    [
        (TraceFilter(), "traces_by_start", True),
        (TraceFilter(since_ns=1, until_ns=9), "traces_by_start", True),
        (TraceFilter(project="p"), "traces_by_project", True),
        (TraceFilter(status="error"), "traces_by_status", True),
        (TraceFilter(label="fail"), "traces_by_label", True),
        (TraceFilter(session_id="s"), "traces_by_session", False),
        (TraceFilter(user_id="u"), "traces_by_user", False),
    ],
)
def test_traces_are_listed_by_their_indexes(
    store: SqliteStore, wanted: TraceFilter, index: str, is_sorted: bool
) -> None:
    plan = _plan(store, *next(iter(queries.listings(wanted, None))))

    assert index in plan
    assert ("TEMP B-TREE" not in plan.replace("LAST TERM", "")) or not is_sorted


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RunFilter(), "runs_by_start"),
        (RunFilter(is_oldest_first=True), "runs_by_start"),
        (RunFilter(kind="tool"), "runs_by_start"),
        (RunFilter(status="error"), "runs_by_error"),
        (RunFilter(trace_id="t"), "runs_by_trace"),
        (RunFilter(parent_id="t"), "runs_by_parent"),
        (RunFilter(run_ids=["t"]), "sqlite_autoindex_runs_1"),
        (RunFilter(session_id="s"), "runs_by_session"),
        (RunFilter(user_id="u"), "runs_by_user"),
        (RunFilter(project="p"), "traces_by_project"),
    ],
)
def test_runs_are_found_by_their_indexes(
    store: SqliteStore, wanted: RunFilter, index: str
) -> None:
    plan = _plan(store, *queries.page(wanted, None, None).places(100))

    assert index in plan


def test_the_waiting_time_for_other_programs_is_the_one_that_is_said() -> None:
    assert schema.BUSY_TIMEOUT_S == 5.0
