"""What is particular to the SQLite store: its file, other processes, damage."""

import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from refinery.errors import StoreError
from refinery.model.trace import Run
from refinery.ports import TraceFilter
from refinery.stores._shared import packing, schema
from refinery.stores.sqlite import SqliteStore, open_store
from tests.kits.traces import run, sample


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inner" / "traces.db"


def test_the_file_and_its_folder_are_private(path: Path) -> None:
    with SqliteStore(path) as store:
        store.write_runs([run("t")])

        modes = [
            stat.S_IMODE(file.stat().st_mode) for file in (path.parent, *path.parent.iterdir())
        ]

    assert modes[0] == 0o700
    assert set(modes[1:]) == {0o600}


@pytest.mark.parametrize("form", ["{}", "sqlite://{}"])
def test_a_url_names_the_file(path: Path, form: str) -> None:
    store = open_store(form.format(path))

    assert store.stats()["url"] == f"sqlite://{path}"


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite://:memory:", "folder/"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="names no file"):
        open_store(url)


def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    trace = sample()
    with SqliteStore(path) as store:
        store.write_runs(trace.runs)

    with SqliteStore(path) as store:
        assert store.get_trace("t").runs == trace.runs


def test_closing_twice_is_harmless(path: Path) -> None:
    store = SqliteStore(path)
    store.close()
    store.close()


def test_large_payloads_are_compressed(path: Path) -> None:
    with SqliteStore(path) as store:
        store.write_runs([run("t", inputs={"text": "lamp " * 200_000})])
        small = store.stats()["size_bytes"]

        assert small < 200_000
        assert store.get_trace("t").runs[0].inputs == {"text": "lamp " * 200_000}


@pytest.mark.parametrize("payload", [b"{}", b"x" * 100_000, os.urandom(5_000)])
def test_payloads_unpack_to_what_was_packed(payload: bytes) -> None:
    assert packing.unpack(*packing.pack(payload)) == payload


def test_without_zstandard_zlib_does_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = packing.pack(b"y" * 10_000)
    monkeypatch.setattr(packing, "zstandard", None)

    codec, body = packing.pack(b"x" * 10_000)

    assert codec == packing.LINES_ZLIB
    assert packing.unpack(codec, body) == b"x" * 10_000
    with pytest.raises(StoreError, match="zstandard"):
        packing.unpack(*packed)


@pytest.mark.parametrize(
    ("codec", "body"),
    [(packing.ZSTD, b"nonsense"), (packing.ZLIB, b"nonsense"), (packing.ZLIB, b""), (9, b"")],
)
def test_damaged_payloads_are_refused(codec: int, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        packing.unpack(codec, body)


def test_a_payload_that_unfolds_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, body = packing.pack(b"x" * 100_000)
    monkeypatch.setattr(packing, "MAX_PAYLOAD_BYTES", 1_000)

    with pytest.raises(ValueError, match="size"):
        packing.unpack(codec, body)


def test_a_newer_schema_is_refused_without_writing(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO schema_version VALUES (99, 0)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="newer version") as caught:
        SqliteStore(path)

    assert "upgrade" in caught.value.hint
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_without_writing(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)

    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_without_writing(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)

    with pytest.raises(StoreError, match="damaged") as caught:
        SqliteStore(path)

    assert "rename" in caught.value.hint
    assert path.read_bytes() == b"not a database at all" * 100


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.parent.mkdir()
    path.touch()

    with SqliteStore(path) as store:
        assert store.write_runs([run("t")]) == 1


def test_a_half_made_store_is_completed(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        other.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_ns INT)")
    other.close()

    with SqliteStore(path) as store:
        assert store.write_runs([run("t")]) == 1


def test_migrations_run_once_and_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteStore(path) as store:
        store.write_runs([run("t")])
    later = (*schema.MIGRATIONS, ("ALTER TABLE traces ADD COLUMN mood TEXT",))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(later))

    for _ in range(2):
        with SqliteStore(path) as store:
            assert store.get_trace("t") is not None

    with sqlite3.connect(path) as other:
        versions = other.execute("SELECT version FROM schema_version").fetchall()
    other.close()
    assert versions == [(number + 1,) for number in range(len(later))]


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore(path).close()
    broken = (*schema.MIGRATIONS, ("CREATE TABLE extra (x)", "NONSENSE"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(broken))

    with pytest.raises(StoreError):
        SqliteStore(path)

    monkeypatch.undo()
    with SqliteStore(path) as store, sqlite3.connect(path) as other:
        assert store.stats()["schema_version"] == len(schema.MIGRATIONS)
        assert not other.execute("SELECT 1 FROM sqlite_schema WHERE name = 'extra'").fetchall()
    other.close()


def test_a_lock_held_too_long_is_explained(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.1)
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match="in use by another program"):
        store.write_runs([run("t")])

    other.execute("ROLLBACK")
    other.close()
    assert store.write_runs([run("t")]) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_explained(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(closed / "traces.db")


def test_a_path_that_is_a_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        SqliteStore(tmp_path)

    assert "REFINERY_STORE" in caught.value.hint


def test_a_full_disk_is_explained_and_leaves_nothing(path: Path) -> None:
    store = SqliteStore(path)
    store._writer._connection.execute("PRAGMA max_page_count = 60")

    with pytest.raises(StoreError, match="full"):
        store.write_runs([run(f"t{n}", inputs=os.urandom(3000).hex()) for n in range(200)])

    assert store.list_traces(TraceFilter()) == []


def test_threads_share_a_store(path: Path) -> None:
    store = SqliteStore(path)

    def write(name: str) -> None:
        for number in range(20):
            store.write_runs([run(f"{name}{number}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.stats()["traces"] == 80


def test_a_forked_child_gets_a_connection_of_its_own(path: Path) -> None:
    store = SqliteStore(path)
    store.write_runs([run("parent")])

    child = os.fork()
    if child == 0:
        done = store.write_runs([run("child")]) == 1
        os._exit(0 if done else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get_trace("child") is not None


_WRITER = """
import sys
from pathlib import Path
from refinery.model.trace import Run
from refinery.stores.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
name, count = sys.argv[2], int(sys.argv[3])
for number in range(count):
    trace_id = f"{name}-{number}"
    child = Run(trace_id + "/1", trace_id, "x" * 900, parent_id=trace_id)
    store.write_runs([Run(trace_id, trace_id, "root"), child])
    print(trace_id, flush=True)
"""


def _writer(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _WRITER, str(path), name, str(count)]
    folder = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)


@pytest.mark.slow
def test_processes_share_a_store(path: Path) -> None:
    writers = [_writer(path, name, 50) for name in "abc"]

    assert [writer.communicate()[1] or writer.returncode for writer in writers] == [0, 0, 0]

    with SqliteStore(path) as store:
        assert store.stats()["traces"] == 150
        assert store.stats()["runs"] == 300


@pytest.mark.slow
def test_no_acknowledged_trace_is_lost_over_40_kills(path: Path) -> None:
    moments = random.Random(7)
    acknowledged: set[str] = set()
    for number in range(40):
        writer = _writer(path, f"kill{number}", 100_000)
        assert writer.stdout is not None
        acknowledged.add(writer.stdout.readline().strip())
        time.sleep(moments.uniform(0, 0.05))
        writer.kill()
        acknowledged.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        writer.wait()
        writer.stdout.close()

    with SqliteStore(path) as store:
        stored = {summary.trace_id for summary in store.list_traces(TraceFilter(limit=10**6))}
        halves = [s for s in store.list_traces(TraceFilter(limit=10**6)) if s.runs != 2]
        check = store._writer._connection.execute("PRAGMA integrity_check").fetchone()[0]
    assert len(acknowledged) > 40
    assert acknowledged <= stored
    assert halves == []
    assert check == "ok"


_READER = """
import sys
from pathlib import Path
from refinery.errors import StoreError
from refinery.model.trace import Run
from refinery.ports import RunFilter, TraceFilter
from refinery.stores.sqlite import SqliteStore

for name in sys.argv[1:]:
    try:
        with SqliteStore(Path(name)) as store:
            for found in store.list_traces(TraceFilter(text="lamp")):
                store.get_trace(found.trace_id)
            for number in range(20):
                store.get_trace(f"t{number}")
    except StoreError:
        pass
    for change in (
        lambda store: store.find_runs(RunFilter(project="p", status="error")),
        lambda store: store.projects(),
        lambda store: store.write_runs([Run("t3/9", "t3", parent_id="t3"), Run("t4", "t4", "x")]),
        lambda store: store.delete_traces(["t5"]),
        lambda store: store.get_feedback("t6"),
    ):
        try:
            with SqliteStore(Path(name)) as store:
                change(store)
        except StoreError:
            pass
"""


@pytest.mark.slow
def test_flipped_bits_never_crash_the_reader(tmp_path: Path) -> None:
    original = tmp_path / "whole.db"
    with SqliteStore(original) as store:
        for number in range(20):
            store.write_runs(sample(f"t{number}", failed="no lamp").runs, project="p")
    whole = original.read_bytes()
    chance = random.Random(11)
    files = []
    for number in range(200):
        damaged = bytearray(whole)
        if number % 4 == 0:
            damaged = damaged[: chance.randrange(len(damaged))]
        else:
            for _ in range(8):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        files.append(tmp_path / f"damaged{number}.db")
        files[-1].write_bytes(damaged)

    command = [sys.executable, "-c", _READER, *map(str, files)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )

    assert result.returncode == 0, result.stderr[-2000:]


def test_runs_without_any_times_are_kept(path: Path) -> None:
    with SqliteStore(path) as store:
        store.write_runs([Run("t", "t"), Run("t/1", "t", parent_id="t")])

        summary = store.list_traces(TraceFilter())[0]

    assert (summary.name, summary.status, summary.start_ns) == ("", "unknown", None)
