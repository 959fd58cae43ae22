"""The DuckDB copy of the hybrid store: filled, carried on, filled anew, never ahead or behind."""

import fcntl
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import hybrid_kills
from refinery.errors import InputError, StoreError
from refinery.model.trace import Feedback, Run
from refinery.stores import hybrid, sqlite
from refinery.stores._shared import analytics, hybrid_background, hybrid_sessions, hybrid_sync
from refinery.stores.hybrid import HybridStore, open_session, open_store
from tests.kits.timing import until
from tests.kits.traces import START_NS, llm, run, sample


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def store(base: Path) -> Iterator[HybridStore]:
    with HybridStore(base, auto_sync=False, durability="process") as opened:
        yield opened


def rows(store: HybridStore, sql: str) -> list[tuple[Any, ...]]:
    """What DuckDB answers, read as any reader does: when nobody fills the copy."""
    path = store.copy.path
    with (
        analytics.locked(path, fcntl.LOCK_SH, timeout_s=30.0),
        duckdb.connect(str(path), read_only=True) as connection,
    ):
        return connection.execute(sql).fetchall()


def test_a_sync_copies_what_was_written_once(store: HybridStore) -> None:
    store.write_runs(sample("a", failed="no stock").runs, source="otlp", project="shop")

    assert store.unsynced() == 1
    assert store.sync() == 4
    assert (store.sync(), store.unsynced()) == (0, 0)

    assert rows(
        store, "SELECT name, status, project, source, error_message FROM runs LIMIT 1"
    ) == [("a", "error", "shop", "otlp", "no stock")]
    assert rows(store, "SELECT count(*), sum(total_tokens) FROM model_calls") == [(2, 30)]
    assert hybrid_kills.differences(store) == []


def test_a_log_that_duckdb_has_already_is_trimmed_by_the_next_sync(
    store: HybridStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_runs([run("a")])
    monkeypatch.setattr(hybrid_sync, "_end", _killed)
    with pytest.raises(KeyboardInterrupt):
        store.sync()
    monkeypatch.undo()

    assert store.unsynced() == 1
    assert (store.sync(), store.unsynced()) == (0, 0)
    assert hybrid_kills.differences(store) == []


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_changes_and_deletions_reach_duckdb(store: HybridStore) -> None:
    store.write_runs([run("a"), run("b")])
    store.write_feedback([Feedback("f", "a", "label", value="fail", score=math.inf)])
    store.sync()

    store.write_runs([run("a", outputs={"answer": 1})], project="later")
    store.delete_traces(["b"])
    store.sync()

    assert rows(store, "SELECT run_id, outputs, project FROM runs") == [
        ("a", '{"answer":1}', "later")
    ]
    assert rows(store, "SELECT label FROM traces") == [("fail",)]
    assert rows(store, "SELECT score FROM feedback") == [(None,)]
    assert store.get_feedback("a")[0].value == "fail"


def test_a_project_said_later_reaches_the_runs_before(store: HybridStore) -> None:
    store.write_runs([run("t/1", parent="t")])
    store.sync()
    store.write_runs([run("t")], source="otlp", project="shop")
    store.sync()

    assert rows(store, "SELECT DISTINCT project, source FROM runs") == [("shop", "otlp")]


def test_numbers_that_are_not_finite_are_null_in_duckdb_and_kept_in_lmdb(
    store: HybridStore,
) -> None:
    metrics = {"cpu_ms": math.nan, "wall_ms": math.inf, "rss_bytes": 1.0}
    store.write_runs([run("t", metrics=metrics, inputs={"x": math.nan})])
    store.sync()

    assert rows(store, "SELECT cpu_ms, wall_ms, rss_bytes FROM runs") == [(None, None, 1.0)]
    found = store.get_run("t").run.metrics
    assert found is not None
    assert math.isnan(found["cpu_ms"])


def test_a_clock_that_went_back_loses_no_run_and_gives_no_negative_duration(
    store: HybridStore,
) -> None:
    store.write_runs([Run("a", "a", start_ns=START_NS, end_ns=START_NS + 10)])
    back = START_NS - 3_600 * 10**9
    store.write_runs([Run("b", "b", start_ns=START_NS, end_ns=back, metrics={"wall_ms": 7.0})])
    store.sync()

    assert rows(store, "SELECT run_id, duration_ms FROM runs ORDER BY run_id") == [
        ("a", 1e-05),
        ("b", 7.0),
    ]


def test_tokens_that_parents_repeat_are_counted_once(store: HybridStore) -> None:
    store.write_runs(
        [
            run("t"),
            llm("t/1", "t", "q", "a"),
            llm("t/1/1", "t/1", "q", "a"),
            run("t/2", parent="t"),
        ]
    )
    store.sync()

    assert rows(store, "SELECT run_id FROM model_calls") == [("t/1/1",)]


def test_all_files_are_private_to_the_user(store: HybridStore, base: Path) -> None:
    store.write_runs([run("a")])
    store.sync()

    files = [base.with_suffix(".duckdb"), *base.with_suffix(".lmdb").iterdir()]
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []


def test_a_copy_that_is_gone_is_filled_anew(store: HybridStore) -> None:
    store.write_runs(sample("a").runs)
    store.sync()
    store.copy.path.unlink()
    store.write_runs(sample("b").runs)

    assert store.sync() == 8
    assert hybrid_kills.differences(store) == []


def test_a_copy_of_an_earlier_moment_is_filled_anew(store: HybridStore) -> None:
    store.write_runs(sample("a").runs)
    store.sync()
    earlier = store.copy.path.read_bytes()
    store.write_runs(sample("b").runs)
    store.delete_traces(["a"])
    store.sync()
    store.copy.path.write_bytes(earlier)

    store.sync()

    assert hybrid_kills.differences(store) == []
    assert rows(store, "SELECT DISTINCT trace_id FROM runs") == [("b",)]


def test_records_brought_back_from_an_earlier_moment_win_over_the_copy(base: Path) -> None:
    with HybridStore(base, auto_sync=False) as store:
        store.write_runs([run("a")])
        store.sync()
    file = base.with_suffix(".lmdb") / "data.mdb"
    earlier = file.read_bytes()
    with HybridStore(base, auto_sync=False) as store:
        store.write_runs([run("b")])
        store.sync()
    file.write_bytes(earlier)

    with HybridStore(base, auto_sync=False) as store:
        store.write_runs([run("c")])
        store.write_runs([run("d")])
        store.sync()

        assert hybrid_kills.differences(store) == []
        assert rows(store, "SELECT run_id FROM runs ORDER BY 1") == [("a",), ("c",), ("d",)]


@pytest.mark.parametrize("content", [b"", b"DUCK" * 5000, os.urandom(20_000)], ids=len)
def test_a_damaged_copy_is_put_aside_and_filled_anew(store: HybridStore, content: bytes) -> None:
    store.write_runs([run("a")])
    store.sync()
    store.copy.path.write_bytes(content)

    store.write_runs([run("b")])
    store.sync()

    assert hybrid_kills.differences(store) == []


def test_a_copy_of_another_schema_is_filled_anew(store: HybridStore) -> None:
    store.write_runs([run("a")])
    with duckdb.connect(str(store.copy.path)) as connection:
        connection.execute("CREATE TABLE runs (old VARCHAR); CREATE TABLE copy_state (a INTEGER)")
        connection.execute("ALTER TABLE copy_state ADD COLUMN schema_version INTEGER DEFAULT 0")
        connection.execute("INSERT INTO copy_state (schema_version) VALUES (0)")

    assert store.sync() == 1
    assert hybrid_kills.differences(store) == []
    assert store.copy.path.with_name(store.copy.path.name + ".damaged").exists()


@pytest.mark.slow
def test_a_duckdb_file_in_use_elsewhere_delays_the_sync_and_loses_nothing(
    store: HybridStore,
) -> None:
    store.write_runs([run("a")])
    store.sync()
    store.write_runs([run("b")])
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(store.copy.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()

    with pytest.raises(StoreError, match="in use by another program") as caught:
        store.sync(timeout_s=0.2)
    assert "nothing is lost" in caught.value.hint
    assert store.unsynced() == 1
    other.communicate(b"\n")

    assert store.sync() == 1
    assert hybrid_kills.differences(store) == []


def test_the_background_sync_follows_the_writes(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid_background, "PAUSE_S", 0.01)
    with HybridStore(base, durability="process") as store:
        store.write_runs([run("a")])
        until(lambda: store.unsynced() == 0)

        assert rows(store, "SELECT run_id FROM runs") == [("a",)]
        assert store.sync_error is None


_LEAVES_WHILE_SYNCING = """
import sys, threading, time
from pathlib import Path
from refinery.model.trace import Run
from refinery.stores._shared import hybrid_background, hybrid_sync
from refinery.stores.hybrid import HybridStore

hybrid_background.PAUSE_S = 0.01
hybrid_sync.SLICE = 500
with HybridStore(Path(sys.argv[1]), auto_sync=False, durability="process") as store:
    store.write_runs([Run(f"r{at}", f"t{at % 50}", name="x" * 100) for at in range(20_000)])
# neither closed nor waited for, as by a command that ends
left = HybridStore(Path(sys.argv[1]), durability="process")
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_process_that_ends_in_the_middle_of_a_sync_ends_as_it_would(base: Path) -> None:
    for number, wait_s in enumerate((0.3, 0.5, 0.7)):
        path = base.with_name(f"traces{number}")
        ended = subprocess.run(
            [sys.executable, "-c", _LEAVES_WHILE_SYNCING, str(path), str(wait_s)],
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert (ended.returncode, ended.stderr) == (0, b"")
        with HybridStore(path, auto_sync=False) as store:
            store.sync()
            assert rows(store, "SELECT count(*) FROM runs") == [(20_000,)]
            assert hybrid_kills.differences(store) == []


def test_a_sync_that_is_over_early_is_carried_on_by_the_next(
    store: HybridStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid_sync, "SLICE", 10)
    environment = store._env

    store.write_runs([run(f"r{at}") for at in range(30)])
    assert hybrid_sync.sync(environment, store.copy, 1.0, is_over=lambda: True) == 0
    assert store.unsynced() == 1
    assert store.sync() == 30
    for at in range(3):
        store.write_runs([run(f"s{at}-{one}") for one in range(10)])
    asked = iter((False, True))
    assert hybrid_sync.sync(environment, store.copy, 1.0, is_over=lambda: next(asked)) == 10
    assert store.unsynced() == 2
    assert store.sync() == 20

    assert hybrid_kills.differences(store) == []


def test_closing_syncs_what_is_left_unless_that_is_off(tmp_path: Path) -> None:
    with HybridStore(tmp_path / "on") as store:
        store.write_runs([run("a")])
    with HybridStore(tmp_path / "off", auto_sync=False) as store:
        store.write_runs([run("a")])

    assert (tmp_path / "on.duckdb").exists()
    assert not (tmp_path / "off.duckdb").exists()
    with HybridStore(tmp_path / "off", auto_sync=False) as store:
        assert store.unsynced() == 1
        assert store.analytics() == tmp_path / "off.duckdb"


def test_sessions_have_names_and_old_ones_go_to_the_archive(tmp_path: Path) -> None:
    first = open_session(tmp_path, "demo", auto_sync=False)
    second = open_session(tmp_path, "demo", auto_sync=False)
    with first:
        first.write_runs(sample("a").runs)
    listed = hybrid_sessions.sessions(tmp_path)
    assert [session.name for session in listed] == ["demo", "demo"]
    assert listed[0].base.name.startswith("demo_2")

    moved = hybrid_sessions.archive(tmp_path, before_ns=2**62)

    assert [session.base for session in moved] == [first.base]
    assert [session.base for session in hybrid_sessions.sessions(tmp_path)] == [second.base]
    second.close()
    kept = tmp_path / "archive" / first.base.name
    with HybridStore(kept, auto_sync=False) as archived:
        assert archived.get_trace("a").runs == sample("a").runs
        assert archived.unsynced() == 0
        assert archived.sync() == 0


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\x00b", "ü" * 3, "x" * 200])
def test_a_session_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a session"):
        open_session(tmp_path, name)


@pytest.mark.parametrize(
    "options", ["auto_sync=maybe", "durability=none", "max_map_mb=-1", "max_map_mb=x", "other=1"]
)
def test_a_wrong_option_is_refused(tmp_path: Path, options: str) -> None:
    with pytest.raises(InputError):
        open_store(f"hybrid://{tmp_path}/a?{options}")


@pytest.mark.slow
def test_kills_while_writing_and_syncing_lose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    pause_s = hybrid_background.PAUSE_S
    try:
        assert hybrid_kills.main(8, 7) == 0
    finally:
        hybrid_background.PAUSE_S = pause_s

    said = capsys.readouterr().out
    assert "missing or wrong in LMDB   0" in said
    assert "unequal after a sync       0" in said


def test_a_store_may_be_opened_by_url_as_a_session(tmp_path: Path) -> None:
    with hybrid.open_store(f"hybrid://{tmp_path}?session=night&auto_sync=off") as store:
        assert store.base.name.startswith("night_")


@pytest.mark.parametrize("field", ["project", "user_id", "session_id", "name", "source"])
def test_traces_are_counted_as_the_sqlite_store_does(
    store: HybridStore, tmp_path: Path, field: str
) -> None:
    other = sqlite.open_store(str(tmp_path / "traces.db"))
    for one in (store, other):
        one.write_runs([run("a", user_id="ada", at_ms=5), run("b", user_id="bob")], project="p")
        one.write_runs([run("c", user_id="ada", failed="x", session_id="s")], source="otlp")
        one.write_runs([Run("d", "d", user_id="late")])
        one.write_feedback([Feedback("f", "b", "label", value="fail")])

    assert store.tally(field) == other.tally(field)  # type: ignore[attr-defined]  # it has it
    assert store.tally(field, limit=1) == other.tally(field, limit=1)  # type: ignore[attr-defined]  # it has it
    other.close()
