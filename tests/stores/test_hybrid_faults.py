"""What can go wrong with a hybrid store's files, and with those who share them."""

import fcntl
import multiprocessing
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from refinery.errors import RefineryError, StoreError
from refinery.model.trace import Feedback
from refinery.ports import RunFilter, TraceFilter
from refinery.stores._shared import hybrid_env, hybrid_records
from refinery.stores.hybrid import HybridStore, open_store
from tests.kits.traces import run, sample


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def store(base: Path) -> Iterator[HybridStore]:
    with HybridStore(base, auto_sync=False, durability="process") as opened:
        yield opened


def data_file(base: Path) -> Path:
    return base.with_suffix(".lmdb") / "data.mdb"


def filled(base: Path) -> bytes:
    """Bytes of a store with forty traces."""
    with HybridStore(base, auto_sync=False, durability="process") as store:
        for number in range(40):
            store.write_runs(sample(f"t{number}").runs)
        store.index()
    return data_file(base).read_bytes()


def test_the_map_grows_and_other_users_see_it(store: HybridStore, base: Path) -> None:
    before = store._env.map_bytes()
    for number in range(12):
        store.write_runs([run(f"t{number}", inputs=os.urandom(2_000_000).hex())])

    assert store._env.map_bytes() > before
    assert len(store.list_traces(TraceFilter())) == 12


def test_a_full_map_is_said_and_what_is_stored_stays(tmp_path: Path) -> None:
    url = f"hybrid://{tmp_path}/small?max_map_mb=16&auto_sync=off&durability=process"
    with open_store(url) as store:
        store.write_runs(sample("a").runs)
        with pytest.raises(StoreError, match="full") as caught:
            for number in range(12):
                store.write_runs([run(f"t{number}", inputs=os.urandom(2_000_000).hex())])
        assert "max_map_mb" in caught.value.hint

        assert store.get_trace("a") is not None
        assert store.delete_traces(["t0"]) == 1
        store.write_runs([run("later")])
        assert store.get_run("later") is not None


@pytest.mark.parametrize("cut", [0, 10, 4096, 8192, 50_000])
def test_a_file_that_is_cut_off_is_refused(base: Path, cut: int) -> None:
    whole = filled(base)
    data_file(base).write_bytes(whole[:cut])
    if cut == 0:  # LMDB itself makes a new store of an empty file
        cut = 1
        data_file(base).write_bytes(b"\0")

    with pytest.raises(StoreError, match="damaged") as caught:
        HybridStore(base, auto_sync=False)
    assert "restore" in caught.value.hint


def test_a_foreign_file_is_refused(base: Path) -> None:
    data_file(base).parent.mkdir()
    data_file(base).write_bytes(b"SQLite format 3\0" + bytes(20_000))

    with pytest.raises(StoreError, match="not an LMDB file"):
        HybridStore(base, auto_sync=False)


def test_another_programs_lmdb_is_refused_and_left_alone(base: Path) -> None:
    with lmdb.open(str(base.with_suffix(".lmdb")), max_dbs=2) as theirs:
        records = theirs.open_db(b"records")
        with theirs.begin(write=True) as txn:
            txn.put(b"1", b"x", db=records)
    before = data_file(base).read_bytes()

    with pytest.raises(StoreError, match="another program"):
        HybridStore(base, auto_sync=False)

    assert data_file(base).read_bytes() == before


def test_a_store_of_a_later_version_is_refused(base: Path, store: HybridStore) -> None:
    hybrid_records.write(store._env, lambda records: records.set_number("schema_version", 99))

    with pytest.raises(StoreError, match="newer version"):
        HybridStore(base, auto_sync=False)


def test_a_flipped_bit_in_a_value_is_told_not_read(base: Path) -> None:
    with HybridStore(base, auto_sync=False) as store:
        store.write_runs([run("t", name="unmistakable name of a run")])
    whole = bytearray(data_file(base).read_bytes())
    at = -1
    while (at := whole.find(b"unmistakable", at + 1)) >= 0:
        whole[at] ^= 1
    data_file(base).write_bytes(whole)

    with (
        HybridStore(base, auto_sync=False) as store,
        pytest.raises(StoreError, match="checksum"),
    ):
        store.get_run("t")


@pytest.mark.slow
def test_pages_overwritten_at_random_never_kill_the_process(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole")
    chance = random.Random(3)
    endings = []
    for number in range(40):
        bad = bytearray(whole)
        at = chance.randrange(len(bad) // 4096) * 4096
        bad[at : at + 4096] = chance.choice([bytes(4096), chance.randbytes(4096)])
        folder = tmp_path / f"bad{number}.lmdb"
        folder.mkdir()
        (folder / "data.mdb").write_bytes(bad)
        child = os.fork()
        if child == 0:
            os._exit(_use(tmp_path / f"bad{number}"))
        endings.append(os.waitpid(child, 0)[1])

    assert not [status for status in endings if os.WIFSIGNALED(status)]
    assert {os.WEXITSTATUS(status) for status in endings} == {0, 3}


def _use(base: Path) -> int:
    """0: nothing was noticed; 3: an error that says so."""
    try:
        with HybridStore(base, auto_sync=False, durability="process") as store:
            for number in range(40):
                store.get_trace(f"t{number}")
            store.list_traces(TraceFilter(text="lamp"))
            store.find_runs(RunFilter(limit=1_000))
            store.write_runs(sample("new").runs)
    except RefineryError:
        return 3
    return 0


def _write_many(base: Path, name: str) -> None:
    with HybridStore(base, auto_sync=False, durability="process") as store:
        for number in range(150):
            store.write_runs([run(f"{name}{number}", inputs="x" * 500)])


@pytest.mark.slow
def test_several_processes_write_at_once(base: Path, store: HybridStore) -> None:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_write_many, args=(base, name)) for name in "ab"]
    for other in others:
        other.start()
    for number in range(100):
        store.write_runs([run(f"c{number}")])
    for other in others:
        other.join(60)

    assert [other.exitcode for other in others] == [0, 0]
    assert store.stats()["runs"] == 400
    assert store.sync() == 400


def test_a_forked_child_shares_the_store(store: HybridStore) -> None:
    store.write_runs([run("before")])
    child = os.fork()
    if child == 0:
        store.write_runs([run("child")])
        os._exit(0 if store.get_run("before") else 1)

    assert os.waitpid(child, 0)[1] == 0
    store.write_runs([run("after")])
    assert [store.get_run(one) is not None for one in ("before", "child", "after")] == [True] * 3


def test_a_writer_that_does_not_end_is_said(
    store: HybridStore, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid_env, "BUSY_TIMEOUT_S", 0.05)
    other = os.open(base.with_suffix(".lmdb") / "writer.lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)

    with pytest.raises(StoreError, match="in use by another process"):
        store.write_runs([run("t")])

    os.close(other)
    assert store.write_runs([run("t")]) == 1


def test_two_stores_of_one_process_share_the_files(store: HybridStore, base: Path) -> None:
    with HybridStore(base, auto_sync=False) as second:
        second.write_runs([run("t")])

    assert store.get_run("t") is not None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(StoreError, match="cannot be used"):
        HybridStore(tmp_path / "file" / "store", auto_sync=False)


@pytest.mark.parametrize("size", [0, 399, 400, 401, 511, 512, 100_000])
def test_ids_of_any_length_are_kept_apart(store: HybridStore, size: int) -> None:
    first, second = "x" * size + "1", "x" * size + "2"
    store.write_runs([run(first, trace_id=first), run(second, trace_id=second)])
    store.write_feedback([Feedback("f" * (size + 1), first, "k", score=1.0)])

    assert store.get_trace(first).runs[0].run_id == first
    assert store.get_trace(second).runs[0].run_id == second
    assert [len(store.get_feedback(one)) for one in (first, second)] == [1, 0]
    assert store.find_ids("x" * size) == [first, second]


def test_the_magic_number_is_where_lmdb_puts_it(base: Path) -> None:
    assert struct.unpack_from("<I", filled(base), 16)[0] == 0xBEEFC0DE
