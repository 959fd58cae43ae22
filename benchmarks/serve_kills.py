"""Whether the collector ever loses what it has acknowledged when it is killed.

    python -m benchmarks.serve_kills [KILLS]      (1,000 unless said)

A collector begins to serve, in a process forked from this one; three clients send it batches of
runs and note what was answered with 202; at a random moment it is killed with SIGKILL, and the
next one begins with the same store. At the end every run noted is looked for in the store. Exits
with 1 when one is missing.
"""

import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from refinery.ports import RunFilter
from refinery.server import running
from refinery.server.config import ServeSettings
from refinery.stores.sqlite import open_store

SENDERS = 3
LONGEST_S = 0.25
"""Latest moment of a kill after the first request may be sent."""
LONG_S = 3.0
"""The same of one life in ten, long enough for the processes that read large bodies."""
_TEXT = "so long that more than a few runs are read by a process beside the collector " * 15
_JSON = {"content-type": "application/json"}


def serve(store: Path) -> tuple[int, str]:
    """Begin to serve in a child; its process id and address."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            settings = ServeSettings(store=f"sqlite://{store}", port=0)
            running.serve(settings, lambda url: _tell(writing, url))
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as told:
        return child, told.readline().strip()


def _tell(writing: int, url: str) -> None:
    os.write(writing, f"{url}\n".encode())
    os.close(writing)


def send(url: str, acknowledged: list[str]) -> None:
    """Send batches until the collector is gone; note what it acknowledged."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    while True:
        ids = [str(uuid.uuid4()) for _ in range(random.randint(1, 30))]
        runs = [{"id": run_id, "trace_id": run_id, "inputs": {"q": _TEXT}} for run_id in ids]
        try:
            connection.request("POST", "/runs/batch", json.dumps({"post": runs}), _JSON)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return
        if answer.status == 202:
            acknowledged += ids


def kill_once(store: Path, acknowledged: list[str]) -> None:
    """One life of a collector."""
    child, url = serve(store)
    senders = [threading.Thread(target=send, args=(url, acknowledged)) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    time.sleep(random.random() * random.choices((LONGEST_S, LONG_S), (9, 1))[0])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for sender in senders:
        sender.join()


def stored(path: Path) -> Iterator[str]:
    """Ids of all runs in the store."""
    with closing(open_store(f"sqlite://{path}")) as store:
        after = None
        while True:
            page = store.find_runs(RunFilter(limit=5000, after=after))
            yield from (item.run.run_id for item in page.runs)
            after = page.next
            if after is None:
                return


def main() -> int:
    """Kill so many, count what is missing, print it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    acknowledged: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        for _ in range(count):
            kill_once(path, acknowledged)
        missing = set(acknowledged).difference(stored(path))
    print(f"{count:,} kills -9: {len(acknowledged):,} runs acknowledged, {len(missing)} lost")
    return 1 if missing or not acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
