"""What the SQLite store costs, beside raw SQLite with orjson in the same run.

    python -m benchmarks.store [KILLS]      (from the repository's root; 1,000 kills unless said)

The runs are spans of about 2 KB in traces of ten. "Raw" is one table, one row a run, an index on
the run and one on the trace, the run as JSON by orjson, the same pragmas: what somebody would
write in an afternoon, without joining views, listing or searching. CPU is of this process.
Ends with 1 when a run that was acknowledged is missing after a kill, else with 0.
"""

import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from refinery import clock
from refinery.model.codec import encode_run
from refinery.model.trace import Run, RunKind, RunStatus, Usage
from refinery.ports import RunBatch, RunFilter
from refinery.stores.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[1]
START_NS = 1_780_000_000_000_000_000
RUNS = {1: 4_000, 100: 20_000, 500: 20_000}
"""Runs written in batches of so many."""

LONG_TRACE = 5_000


@dataclass(frozen=True)
class Cost:
    """What writing took."""

    wall_s: float
    cpu_s: float
    size_bytes: int
    runs: int

    def __str__(self) -> str:
        rate, cpu = self.runs / self.wall_s, 1e6 * self.cpu_s / self.runs
        return f"{rate:8,.0f} runs/s {cpu:7.1f} us CPU {self.size_bytes / self.runs:7,.0f} B a run"


class Speaker:
    """Makes runs whose words are as unequal as words are; the same ones each time."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = [
            "".join(self._chance.choices(letters, k=self._chance.randint(2, 9)))
            for _ in range(3_000)
        ]
        self._weights = [1 / (rank + 3) for rank in range(len(self._words))]

    def runs(self, count: int, per_trace: int = 10) -> list[Run]:
        """So many runs, root first in each trace."""
        made: list[Run] = []
        root = ""
        for number in range(count):
            run_id = clock.new_uuid()
            is_root = number % per_trace == 0
            root = run_id if is_root else root
            made.append(self._run(run_id, root, None if is_root else root, number))
        return made

    def _say(self, words: int) -> str:
        return " ".join(self._chance.choices(self._words, self._weights, k=words))

    def _run(self, run_id: str, trace_id: str, parent_id: str | None, number: int) -> Run:
        kind = (RunKind.CHAIN, RunKind.LLM, RunKind.TOOL)[number % 3]
        start_ns = START_NS + number * 1_000_000
        system = "You are a support agent of the shop. Answer from the documents only. " * 2
        usage = Usage(self._chance.randint(10, 2_000), self._chance.randint(1, 500))
        return Run(
            run_id=run_id,
            trace_id=trace_id,
            parent_id=parent_id,
            name=("agent", "ChatOpenAI", "lookup_order")[number % 3],
            kind=kind,
            start_ns=start_ns,
            end_ns=start_ns + self._chance.randint(10**6, 10**9),
            status=RunStatus.OK,
            inputs={
                "messages": [
                    {"role": "system", "content": system},
                    {"role": "user", "content": self._say(80)},
                ]
            },
            outputs={"messages": [{"role": "assistant", "content": self._say(80)}]},
            metadata={"thread_id": trace_id, "langgraph_node": "agent", "revision_id": "9fcf82f"},
            tags=["seq:step:1", "shop"],
            model_requested="gpt-4o-mini" if kind is RunKind.LLM else None,
            usage=usage if kind is RunKind.LLM else None,
        )


def measured(runs: Sequence[Run], size: int, write: Callable[[Sequence[Run]], object]) -> Cost:
    """Time of writing all runs in batches."""
    wall, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(runs), size):
        write(runs[at : at + size])
    return Cost(time.perf_counter() - wall, time.process_time() - cpu, 0, len(runs))


def raw(folder: Path, runs: Sequence[Run], size: int) -> Cost:
    """Plain rows of JSON."""
    path = folder / f"raw{size}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE runs (run_id TEXT PRIMARY KEY, trace_id TEXT, body BLOB)")
    connection.execute("CREATE INDEX runs_by_trace ON runs (trace_id)")

    def write(batch: Sequence[Run]) -> None:
        rows = [(run.run_id, run.trace_id, _raw_json(run)) for run in batch]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")

    cost = measured(runs, size, write)
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    connection.close()
    return Cost(cost.wall_s, cost.cpu_s, path.stat().st_size, cost.runs)


def _raw_json(run: Run) -> bytes:
    names = (name for name in Run.__slots__ if getattr(run, name) is not None)
    return orjson.dumps({name: getattr(run, name) for name in names})


def ours(folder: Path, runs: Sequence[Run], size: int) -> tuple[Cost, SqliteStore]:
    """The store, still open."""
    path = folder / f"ours{size}.db"
    store = SqliteStore(path)
    cost = measured(runs, size, lambda batch: store.write_batches([RunBatch(batch, "x", "shop")]))
    return Cost(cost.wall_s, cost.cpu_s, settled(path), cost.runs), store


def settled(path: Path) -> int:
    """Bytes of a file with its log written into it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    connection.close()
    return path.stat().st_size


def write_figures(folder: Path) -> None:
    """Writing, sending again, searching."""
    for size, count in RUNS.items():
        runs = Speaker(size).runs(count)
        json_bytes = sum(len(orjson.dumps(encode_run(run))) for run in runs) / count
        plain = raw(folder, runs, size)
        cost, store = ours(folder, runs, size)
        print(f"batches of {size}, {json_bytes:,.0f} B of JSON a run")
        print(f"  ours {cost}")
        print(f"  raw  {plain}")
        ratio = cost.cpu_s / plain.cpu_s, cost.size_bytes / plain.size_bytes
        print(f"  ours / raw: {ratio[0]:.2f} CPU, {ratio[1]:.2f} bytes")
        if size == 100:
            read_figures(store, runs, size)
        store.close()


def read_figures(store: SqliteStore, runs: Sequence[Run], size: int) -> None:
    """Sending the same again, and searching."""
    again = measured(runs, size, lambda batch: store.write_batches([RunBatch(batch)]))
    print(f"  sent again: {1e6 * again.cpu_s / len(runs):.1f} us CPU a run")
    for which in ("first", "next"):
        took = timed(lambda: store.find_runs(RunFilter(text="shop agent", limit=100)))
        print(f"  {which} text query over {len(runs):,} runs: {took:.3f} s")
    print(f"  with the full-text index: {settled(store.path) / len(runs):,.0f} B a run")


def timed(call: Callable[[], object]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def long_trace(folder: Path) -> None:
    """Reading and growing one trace of many runs."""
    runs = Speaker(3).runs(LONG_TRACE, per_trace=LONG_TRACE)
    for order, given in (("root first", runs), ("root last", runs[::-1])):
        store = SqliteStore(folder / f"{order}.db")
        cost = measured(given, 100, store.write_runs)
        took = timed(partial(store.get_trace, runs[0].trace_id))
        print(
            f"one trace of {LONG_TRACE:,} runs, {order}: written in batches of 100 at "
            f"{1e6 * cost.cpu_s / LONG_TRACE:.1f} us CPU a run, read in {took:.2f} s"
        )
        store.close()


_WRITER = """
import sys
from pathlib import Path
from refinery.model.trace import Run
from refinery.stores.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
for number in range(100_000):
    root = f"{sys.argv[2]}-{number}"
    store.write_runs([Run(root, root, "root"), Run(root + "/1", root, "x" * 900, parent_id=root)])
    print(root, flush=True)
"""


def kills(folder: Path, count: int) -> int:
    """Kill a writer so many times at random moments; returns the acknowledged traces lost."""
    path, chance = folder / "killed.db", random.Random(7)
    acknowledged: list[str] = []
    for number in range(count):
        command = [sys.executable, "-c", _WRITER, str(path), f"w{number}"]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert writer.stdout is not None
        acknowledged.append(writer.stdout.readline().strip())
        time.sleep(chance.uniform(0, 0.02))
        writer.kill()
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
    with SqliteStore(path) as store:
        whole = [store.get_trace(trace_id) for trace_id in acknowledged]
    lost = sum(trace is None or len(trace.runs) != 2 for trace in whole)
    connection = sqlite3.connect(path)
    check = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    print(
        f"{count:,} kills -9: {2 * len(acknowledged):,} runs acknowledged, {2 * lost} lost; "
        f"integrity {check}"
    )
    return lost


def main(arguments: Sequence[str]) -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="refinery-bench-") as name:
        folder = Path(name)
        write_figures(folder)
        long_trace(folder)
        return 1 if kills(folder, int(arguments[0]) if arguments else 1_000) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
