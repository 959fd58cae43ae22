"""Processes that read large bodies change nothing but the speed."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from refinery.model.trace import Feedback
from refinery.ports import PackedRuns, RunBatch, RunFilter
from refinery.server.answers import RequestError
from refinery.server.limits import DEFAULT_LIMITS
from refinery.server.readers import frames, pool
from refinery.server.readers.pool import Readers
from refinery.server.readers.taken import Blob, Job, Taken
from refinery.server.writer import Writer
from refinery.stores._shared.preparing import pack
from refinery.stores.hybrid import HybridStore
from refinery.stores.sqlite import SqliteStore
from tests.kits.timing import until
from tests.kits.traces import sample
from tests.server.serving import Served, serving

pytestmark = pytest.mark.slow

BATCH = "refinery.server.ingest.langsmith_bodies:take_batch"
TEXT = "a text that makes the body large enough to be handed over " * 20


def runs(count: int = 30) -> list[dict[str, Any]]:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    return [{"id": one, "trace_id": one, "name": "x", "inputs": {"q": TEXT}} for one in ids]


def body(given: list[Any]) -> bytes:
    return orjson.dumps({"post": given})


def waiting_readers(store: SqliteStore) -> Readers:
    """Readers of which one process has said that it is ready."""
    readers = Readers(store, DEFAULT_LIMITS)
    job = Job(BATCH, {})
    until(lambda: readers.read(job, body(runs())) is not None)
    return readers


def send(url: str, given: list[Any]) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.post(f"{url}/runs/batch", content=body(given), headers=headers, timeout=30)


def stored(served: Served) -> set[str]:
    page = served.store.find_runs(RunFilter(limit=10_000))
    return {item.run.run_id for item in page.runs}


def processes(served: Served) -> list[Any]:
    return list(served.app.state.writer.readers._all)


def test_what_is_read_elsewhere_is_what_is_read_here(tmp_path: Path) -> None:
    job = Job(BATCH, {})
    sent = body([*runs(), {"id": "no uuid"}, "no run"])
    with SqliteStore(tmp_path / "traces.db") as store:
        readers = waiting_readers(store)
        there, here = readers.read(job, sent), job.read(sent, DEFAULT_LIMITS)
        readers.close()

    assert there is not None
    assert there.told == here.told
    assert [type(one) for one in there.batches] == [PackedRuns]
    assert there.batches[0].count == len(here.batches[0].runs) == 30  # type: ignore[union-attr]


def test_a_body_that_is_refused_is_refused_with_the_same_words(tmp_path: Path) -> None:
    job = Job(BATCH, {})
    sent = b'{"post": ' + b"[" * 50_000
    with SqliteStore(tmp_path / "traces.db") as store:
        readers = waiting_readers(store)
        with pytest.raises(RequestError) as there:
            readers.read(job, sent)
        readers.close()
    with pytest.raises(RequestError) as here:
        job.read(sent, DEFAULT_LIMITS)

    assert (there.value.status, there.value.reason) == (here.value.status, here.value.reason)


def test_feedback_and_attachments_come_over_whole() -> None:
    said = Feedback("f", "t", "k", value={"a": [1.5]}, correction={"b": None}, created_ns=7)
    taken = Taken([], [said], [Blob(b"", "t"), Blob(b"\x00\xff", "u")], {"refused": []})

    head, content = frames.of_taken(taken, PackedRuns(b"rows", 3))
    back = frames.to_taken(orjson.loads(orjson.dumps(head)), content)

    assert back == Taken([PackedRuns(b"rows", 3)], [said], list(taken.blobs), {"refused": []})


def test_acknowledged_runs_are_stored_although_readers_are_killed(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    killed = 0
    with serving(tmp_path / "traces.db") as served:
        ending = threading.Event()

        def work() -> None:
            while not ending.is_set():
                given = runs()
                assert send(served.url, given).status_code == 202
                acknowledged.update(one["id"] for one in given)

        senders = [threading.Thread(target=work) for _ in range(3)]
        for sender in senders:
            sender.start()
        for _ in range(2):
            until(lambda: any(one._has_begun for one in processes(served)))
            for reader in processes(served):
                reader._process.kill()
                killed += 1
            time.sleep(0.2)
        ending.set()
        for sender in senders:
            sender.join()

        assert killed >= 2
        assert acknowledged <= stored(served)


def test_no_reader_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path;"
        "from tests.server import test_readers as t; from refinery.stores.sqlite import *;"
        "readers = t.waiting_readers(SqliteStore(Path(sys.argv[1])));"
        "print(*[one._process.pid for one in readers._all], flush=True); time.sleep(60)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "traces.db")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    reader_ids = [int(one) for one in server.stdout.readline().split()]
    assert reader_ids

    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()

    until(lambda: not any(map(is_running, reader_ids)))


def is_running(process_id: int) -> bool:
    """Whether a process is there and no zombie that its new parent has not looked at."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_readers_rest_and_begin_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteStore(tmp_path / "traces.db") as store:
        readers = waiting_readers(store)
        readers.rest()
        assert readers._all

        monkeypatch.setattr(pool, "RESTS_AFTER_S", 0.0)
        readers.rest()
        assert not readers._all

        until(lambda: readers.read(Job(BATCH, {}), body(runs())) is not None)
        readers.close()
        assert readers.read(Job(BATCH, {}), body(runs())) is None


def test_small_bodies_and_other_stores_are_read_by_the_server(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "traces.db") as store:
        readers = waiting_readers(store)
        assert readers.read(Job(BATCH, {}), b'{"post": []}') is None
        readers.close()
    with HybridStore(tmp_path / "hybrid") as other:
        readers = Readers(other, DEFAULT_LIMITS)
        assert [readers.read(Job(BATCH, {}), body(runs())) for _ in range(10)] == [None] * 10
        assert not readers._all


def test_a_reader_that_cannot_start_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteStore, "packer", "no.such.module:pack")
    with SqliteStore(tmp_path / "traces.db") as store:
        readers = Readers(store, DEFAULT_LIMITS)

        def gave_up() -> bool:
            assert readers.read(Job(BATCH, {}), body(runs())) is None
            return readers._failures >= pool.MOST_FAILURES and not readers._all

        until(gave_up)
        readers.close()


def test_a_packed_batch_alone_is_committed(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "traces.db") as store:
        writer = Writer(store, DEFAULT_LIMITS)
        packed = pack([RunBatch(sample().runs)])
        asyncio.run(writer.commit([packed, RunBatch([])]))
        writer.close()

        assert store.get_trace("t").runs == sample().runs  # type: ignore[union-attr]
