"""How quickly the API answers 50 readers while recording goes on, with 100,000 traces stored.

    python -m benchmarks.ui [--traces 100000] [--seconds 20] [--keep FOLDER] [PART …]

Seeds a store (once per `--keep` folder), starts `refinery serve` on it, lets a client record all
the while, and prints what each part of `PARTS` measures; without a name all of them. A part is a
function that takes a `Target` and yields lines.

Parts: `api` is 50 connections that ask again as soon as they have an answer (what the server can
do at most) and 50 that ask once a second, as 50 open pages would. One reader process and the
client that records share the machine with the server. `pages` is Chromium: first useful paint of
the list and of a trace of 5,000 runs, scrolling and keys in it (see `ui_pages`).
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import psutil

from benchmarks import ui_pages
from refinery.model.trace import Run, RunError, RunKind, RunStatus, Usage
from refinery.ports import RunBatch, TraceFilter
from refinery.workflows.wiring import open_store

TRACES = 100_000
READERS = 50
LARGE_RUNS = 5_000
LARGE = "large-trace"
"""Id of the one trace of 5,000 runs."""
RECORDED_PER_S = 250
"""Runs recorded each second while others read: ten requests of 25."""
_SEED = 7
_START_NS = 1_790_000_000_000_000_000
_PROJECTS = ("support", "search", "billing")
_WORDS = (
    *("order", "refund", "parcel", "invoice", "customer", "shipping", "address", "please"),
    *("could", "kindly", "status", "late", "broken", "return", "money", "back", "today"),
)


@dataclass(frozen=True)
class Target:
    """A server with a seeded store, while a client records."""

    url: str
    token: str
    traces: int
    seconds: float
    process: int = 0
    """Of the server."""


def runs_of(number: int, rng: random.Random) -> tuple[Run, ...]:
    """A trace of five runs: an agent, two model calls, a retriever and a tool."""
    trace_id = f"trace-{number:06d}"
    start = _START_NS + number * 1_000_000_000
    failed = number % 20 == 0
    words = " ".join(rng.choices(_WORDS, k=60))
    messages = {"messages": [{"role": "user", "content": words}]}

    def run(name: str, kind: RunKind, at_ms: int, took_ms: int, **more: object) -> Run:
        begun = start + at_ms * 1_000_000
        about = {
            "run_id": f"{trace_id}.{name}",
            "parent_id": trace_id,
            "trace_id": trace_id,
            "name": name,
            "kind": kind,
            "start_ns": begun,
            "end_ns": begun + took_ms * 1_000_000,
            "status": RunStatus.OK,
        }
        return Run(**{**about, **more})  # type: ignore[arg-type]  # values of many fields

    answer = {"messages": [{"role": "assistant", "content": f"{words[:200]} #{number}"}]}
    error = RunError("ValueError", f"no order {number}", "Traceback …") if failed else None
    status = RunStatus.ERROR if failed else RunStatus.OK
    usage = Usage(rng.randint(100, 900), rng.randint(10, 200), None)
    call = {"inputs": messages, "outputs": answer, "usage": usage, "model_requested": "small-1"}
    return (
        run(
            f"agent {number % 40}",
            RunKind.AGENT,
            0,
            rng.randint(200, 4_000),
            run_id=trace_id,
            parent_id=None,
            inputs=messages,
            outputs=answer,
            status=status,
            error=error,
            user_id=f"user-{number % 500}",
            session_id=f"session-{number % 5_000}",
        ),
        run("plan", RunKind.LLM, 1, 80, **call),
        run("retrieve", RunKind.RETRIEVER, 90, 20, inputs={"query": words[:40]}),
        run("lookup", RunKind.TOOL, 120, 10, inputs={"order": number}, status=status, error=error),
        run("answer", RunKind.LLM, 140, 60, **call),
    )


def large_trace(runs: int = LARGE_RUNS) -> list[Run]:
    """One trace of many runs, five levels deep, the newest of all."""
    start = _START_NS + 10**9 * 10**6
    made = [Run(LARGE, LARGE, "large", RunKind.AGENT, start_ns=start, status=RunStatus.OK)]
    for number in range(1, runs):
        above = made[(number - 1) // 6]
        made.append(
            Run(
                f"{LARGE}.{number}",
                LARGE,
                f"step {number}",
                (RunKind.LLM, RunKind.TOOL, RunKind.STEP)[number % 3],
                parent_id=above.run_id,
                start_ns=start + number * 1_000_000,
                end_ns=start + number * 1_000_000 + 900_000,
                status=RunStatus.ERROR if number % 500 == 0 else RunStatus.OK,
                inputs={"number": number},
                outputs={"text": f"step {number} is done"},
            )
        )
    made[0] = Run(
        **{
            **{name: getattr(made[0], name) for name in ("run_id", "trace_id", "name", "kind")},
            "start_ns": start,
            "end_ns": start + runs * 1_000_000,
            "status": RunStatus.OK,
        }
    )
    return made


def seed(path: Path, traces: int = TRACES) -> None:
    """Fill a store, unless it holds as many already."""
    store = open_store(str(path))
    while left := store.list_traces(TraceFilter(project="live", limit=5_000)):
        store.delete_traces([one.trace_id for one in left])  # recorded in an earlier measurement
    if store.stats()["traces"] < traces:
        rng = random.Random(_SEED)
        for first in range(0, traces, 500):
            batches = [
                RunBatch(runs_of(n, rng), "langchain", _PROJECTS[n % len(_PROJECTS)])
                for n in range(first, min(first + 500, traces))
            ]
            store.write_batches(batches)
        store.write_runs(large_trace(), source="langchain", project="search")
        store.index()  # type: ignore[attr-defined]  # the default store has it
    store.close()


@contextmanager
def served(path: Path) -> Iterator[tuple[str, str, int]]:
    """`refinery serve` in a process of its own, as users start it; address, token, process."""
    command = [sys.executable, "-m", "refinery", "serve", "--port", "0", "--json", "--no-open"]
    process = subprocess.Popen(
        [*command, "--store", str(path)], stdout=subprocess.PIPE, text=True, cwd=path.parent
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield told["url"], told["ui"].partition("token=")[2], process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def recording(url: str) -> Iterator[list[float]]:
    """Record all the while; the list gets the milliseconds each request took."""
    over, took = threading.Event(), []

    def work() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not over.is_set():
                began = time.perf_counter()
                client.post("/runs/batch", json={"post": [_posted() for _ in range(25)]})
                took.append((time.perf_counter() - began) * 1000)
                over.wait(max(0.0, 25 / RECORDED_PER_S - took[-1] / 1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


def _posted() -> dict[str, object]:
    name, now = str(uuid.uuid4()), datetime.now(UTC)
    return {
        "id": name,
        "trace_id": name,
        "dotted_order": f"{now:%Y%m%dT%H%M%S%f}Z{name}",
        "name": "recorded now",
        "run_type": "chain",
        "start_time": now.isoformat(),
        "end_time": now.isoformat(),
        "inputs": {"question": "where is my parcel"},
        "outputs": {"answer": "on its way"},
        "session_name": "live",
    }


def addresses(traces: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """What readers ask, as kind and path, in the proportions of somebody who looks around."""
    while True:
        number = rng.randrange(traces)
        trace = f"trace-{number:06d}"
        kind = rng.choices(
            ("list", "filtered", "later page", "words", "trace", "run"), (40, 15, 5, 5, 20, 15)
        )[0]
        query: dict[str, object] = {"limit": 50}
        if kind == "filtered":
            chosen = rng.choice(("status", "project", "user"))
            values = {"status": "failed", "project": "billing", "user": f"user-{number % 500}"}
            query[chosen] = values[chosen]
        elif kind == "later page":
            query["until"] = _START_NS // 10**6 + number * 1_000
        elif kind == "words":
            query["q"] = f"{rng.choice(_WORDS)} {rng.choice(_WORDS)}"
        path = {"trace": f"/traces/{trace}", "run": f"/traces/{trace}/runs/{trace}.answer"}
        yield kind, "/refinery/v1" + path.get(kind, f"/traces?{urlencode(query)}")


async def _reader(target: Target, pause_s: float, number: int) -> list[tuple[str, float]]:
    """One connection that asks until the time is over; milliseconds of each answer by kind."""
    place = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"Host: {place.netloc}\r\nAuthorization: Bearer {target.token}\r\n\r\n"
    took: list[tuple[str, float]] = []
    rng = random.Random(number)
    await asyncio.sleep(rng.random() * pause_s)
    end = time.perf_counter() + target.seconds
    for kind, path in addresses(target.traces, rng):
        began = time.perf_counter()
        if began > end:
            break
        writer.write(f"GET {path} HTTP/1.1\r\n{head}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {answer[:60]!r}")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        spent = time.perf_counter() - began
        took.append((kind, spent * 1000))
        await asyncio.sleep(max(0.0, pause_s - spent))
    writer.close()
    return took


def read_all(target: Target, pause_s: float) -> list[tuple[str, float]]:
    """50 readers in this process."""

    async def everybody() -> list[list[tuple[str, float]]]:
        readers = (_reader(target, pause_s, number) for number in range(READERS))
        return await asyncio.gather(*readers)

    return [one for reader in asyncio.run(everybody()) for one in reader]


def api(target: Target) -> Iterator[str]:
    """Latencies by kind of question, at full load and at one question a second each."""
    for pause_s, told in ((0.0, "asking at once again"), (1.0, "asking once a second")):
        before = _processor_s(target.process)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            took = pool.submit(read_all, target, pause_s).result()
        rate = len(took) / target.seconds
        each = (_processor_s(target.process) - before) * 1000 / max(1, len(took))
        yield (
            f"\n{READERS} readers {told}: {rate:.0f} answers/s, {each:.1f} ms of the server's "
            f"processor time each (recording included), load {os.getloadavg()[0]:.0f}"
        )
        kinds = sorted({kind for kind, _ in took})
        for kind in (*kinds, "all"):
            ms = [spent for which, spent in took if kind in (which, "all")]
            yield f"  {kind:<12} {len(ms):>6}  {figures(ms)}"


def _processor_s(process: int) -> float:
    """Processor time of a process so far; a busy machine does not change it as it does waiting."""
    used = psutil.Process(process).cpu_times()
    return float(used.user + used.system)


def figures(ms: list[float]) -> str:
    """Percentiles in words."""
    if len(ms) < 2:
        return "too few"
    cuts = statistics.quantiles(ms, n=100)
    return f"p50 {cuts[49]:7.1f} ms   p90 {cuts[89]:7.1f} ms   p99 {cuts[98]:7.1f} ms"


def pages(target: Target) -> Iterator[str]:
    """How soon the list and the trace of 5,000 runs are seen in a browser."""
    yield f"\npages with {target.traces:,} traces stored:"
    yield from ui_pages.measure(target.url, target.token, LARGE)


Part = Callable[[Target], Iterator[str]]
PARTS: dict[str, Part] = {"api": api, "pages": pages}
"""What is measured, by name."""


def run(folder: Path, traces: int, seconds: float, parts: list[str]) -> None:
    """Seed, serve, record, measure, print."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"traces-{traces}.db"
    began = time.perf_counter()
    seed(path, traces)
    size = path.stat().st_size / 2**20
    print(f"{traces:,} traces, {size:.0f} MiB (ready after {time.perf_counter() - began:.0f} s)")
    for name in parts:
        with served(path) as (url, token, process), recording(url) as took:
            for line in PARTS[name](Target(url, token, traces, seconds, process)):
                print(line, flush=True)
        print(f"recording meanwhile: {len(took)} requests of 25 runs, {figures(took)}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--traces", type=int, default=TRACES)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--keep", type=Path, help="folder in which the store is kept")
    given = parser.parse_args()
    parts = given.parts or list(PARTS)
    if given.keep:
        run(given.keep, given.traces, given.seconds, parts)
        return
    with tempfile.TemporaryDirectory(prefix=f"refinery-ui-{secrets.token_hex(4)}-") as folder:
        run(Path(folder), given.traces, given.seconds, parts)


if __name__ == "__main__":
    main()
