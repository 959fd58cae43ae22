"""What is acknowledged is stored; what cannot be stored is refused in time, and said why."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from refinery.model.trace import Run
from refinery.ports import RunBatch, RunFilter
from refinery.server.limits import DEFAULT_LIMITS
from refinery.server.writer import BusyError, UnavailableError, Writer
from refinery.stores.sqlite import SqliteStore, open_store
from tests.kits.timing import until
from tests.server.bodies import record
from tests.server.serving import serving

pytestmark = pytest.mark.slow

JSON = {"content-type": "application/json"}


def batch(count: int = 1) -> list[RunBatch]:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    return [RunBatch([Run(run_id=run_id, trace_id=run_id) for run_id in ids], "test")]


class SlowStore(SqliteStore):
    """A real store whose transactions wait for a sign."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_write = threading.Event()

    def write_batches(self, batches: Sequence[RunBatch]) -> int:
        self.may_write.wait(60)
        return super().write_batches(batches)


def test_requests_that_wait_share_a_transaction(tmp_path: Path) -> None:
    store = SlowStore(tmp_path / "traces.db")
    writer = Writer(store, DEFAULT_LIMITS)

    async def send_all() -> None:
        waiting = [asyncio.create_task(writer.commit(batch())) for _ in range(50)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        store.may_write.set()
        await asyncio.gather(*waiting)

    asyncio.run(send_all())
    writer.close()

    assert store.stats()["runs"] == 50
    assert writer.transactions <= 2


def test_more_than_fits_is_busy(tmp_path: Path) -> None:
    store = SlowStore(tmp_path / "traces.db")
    writer = Writer(store, replace(DEFAULT_LIMITS, pending_bytes=100))

    async def send_too_much() -> None:
        first = asyncio.create_task(writer.commit(batch(), size_bytes=90))
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError):
            await writer.commit(batch(), size_bytes=90)
        store.may_write.set()
        await first

    asyncio.run(send_too_much())
    writer.close()
    assert store.stats()["runs"] == 1


def test_a_store_that_does_not_answer_in_time_is_unavailable(tmp_path: Path) -> None:
    store = SlowStore(tmp_path / "traces.db")
    writer = Writer(store, replace(DEFAULT_LIMITS, answer_s=0.2))

    async def send() -> None:
        with pytest.raises(UnavailableError):
            await writer.commit(batch())

    asyncio.run(send())
    store.may_write.set()
    writer.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "traces.db"))
    writer = Writer(store, DEFAULT_LIMITS)

    async def send() -> None:
        waiting = [asyncio.create_task(writer.commit(batch())) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close)
        await asyncio.gather(*waiting)
        with pytest.raises(UnavailableError):
            await writer.commit(batch())

    asyncio.run(send())

    assert store.stats()["runs"] == 20


def post(url: str) -> tuple[str, httpx.Response]:
    run_id = str(uuid.uuid4())
    body = json.dumps({"post": [{"id": run_id, "trace_id": run_id, "name": "x"}]})
    return run_id, httpx.post(url + "/runs/batch", content=body, headers=JSON, timeout=20)


def test_a_locked_store_is_said_and_the_next_request_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with serving(path) as served:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        run_id, refused = post(served.url)
        other.execute("ROLLBACK")
        other.close()

        assert time.monotonic() - start < 10
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["detail"]
        assert served.store.get_run(run_id) is None
        assert post(served.url)[1].status_code == 202


@pytest.mark.filterwarnings("ignore")
def test_the_real_client_comes_again_when_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    with serving(tmp_path / "traces.db") as served:
        take_in = served.app.state.writer._take_in

        def refuse_twice(parcel: Any) -> None:
            if len(refused) < 2:
                refused.append(parcel)
                raise BusyError
            take_in(parcel)

        monkeypatch.setattr(served.app.state.writer, "_take_in", refuse_twice)
        root = record(served.url)

        trace = served.store.get_trace(root)

    assert len(refused) == 2
    assert trace is not None
    assert len(trace.runs) == 4
    assert trace.is_complete


APPLICATION = """
import os, time
from langsmith import traceable

@traceable
def work():
    return "done"

start = time.monotonic()
assert work() == "done"
assert time.monotonic() - start < 20
print("went on", flush=True)
os._exit(0)  # the client's own wait at exit is not ours to test
"""


def test_an_application_goes_on_when_the_collector_is_down(tmp_path: Path) -> None:
    with serving(tmp_path / "traces.db") as served:
        url = served.url
    env = {**os.environ, "LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": url}

    done = subprocess.run(
        [sys.executable, "-c", APPLICATION], env=env, capture_output=True, text=True, timeout=120
    )

    assert done.stdout == "went on\n"


def serve(folder: Path) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
    command = [sys.executable, "-m", "refinery", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--store", str(folder / "traces.db")],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def send_until_it_is_gone(url: str, acknowledged: list[str]) -> None:
    with httpx.Client(timeout=20) as client:
        while True:
            ids = [str(uuid.uuid4()) for _ in range(5)]
            runs = [{"id": run_id, "trace_id": run_id, "name": "x"} for run_id in ids]
            try:
                body = json.dumps({"post": runs})
                answer = client.post(url + "/runs/batch", content=body, headers=JSON)
            except httpx.HTTPError:
                return
            if answer.status_code == 202:
                acknowledged += ids


def test_nothing_acknowledged_is_lost_when_the_collector_is_killed(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for wait_s in (0.2, 0.5, 0.05):
        process, told = serve(tmp_path)
        senders = [
            threading.Thread(target=send_until_it_is_gone, args=(told["url"], acknowledged))
            for _ in range(4)
        ]
        for sender in senders:
            sender.start()
        time.sleep(wait_s)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for sender in senders:
            sender.join()

    assert acknowledged
    assert missing(tmp_path / "traces.db", acknowledged) == set()


def test_nothing_acknowledged_is_lost_when_the_collector_is_asked_to_end(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    process, told = serve(tmp_path)
    sender = threading.Thread(target=send_until_it_is_gone, args=(told["url"], acknowledged))
    sender.start()
    until(lambda: acknowledged)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    sender.join()

    assert (process.returncode, errors) == (0, "")
    assert acknowledged
    assert missing(tmp_path / "traces.db", acknowledged) == set()


def missing(path: Path, wanted: list[str]) -> set[str]:
    store = open_store(str(path))
    found: set[str] = set()
    after = None
    while True:
        page = store.find_runs(RunFilter(limit=500, after=after))
        found |= {item.run.run_id for item in page.runs}
        after = page.next
        if after is None:
            store.close()
            return set(wanted) - found


def test_runs_become_searchable_while_nothing_else_is_to_be_done(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "traces.db") as store:
        writer = Writer(store, DEFAULT_LIMITS)
        try:
            asyncio.run(writer.commit(batch(5)))
            until(lambda: store.index(limit=0) == 0)
        finally:
            writer.close()
