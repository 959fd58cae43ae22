"""What the hybrid store costs to write and to ask, beside those it is built from.

    python -m benchmarks.analysis [RUNS] [WRITES]

(from the repository's root; 1,000,000 runs to ask and 3,000 single writes unless said; 0: none)

Writes: runs of about 2 KB, one a write, in turns of 50 between all ways, so that what else the
machine does hits all alike: raw LMDB and raw SQLite with what a store must at least do (encode,
one transaction), the hybrid and the SQLite store, and OpenTelemetry's SDK with a batch processor
whose exporter appends JSON to a file. `full` is on the disk before the call returns; `process`
survives a killed process. What recording adds to an operation: `python -m benchmarks.overhead`.

Questions: the same rows in the hybrid store's copy and in a plain DuckDB file, asked in turns.
50,000 runs go through the store, which gives the rates of writing and syncing; the copy's tables
are then multiplied by SQL to the number asked for.
"""

import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import lmdb
import msgpack
import orjson

from refinery.model.codec import encode_run
from refinery.model.trace import CodeReference, Run, RunKind, RunStatus, Usage
from refinery.performance.sql import open_reader
from refinery.stores import hybrid, sqlite

START_NS = 1_780_000_000_000_000_000
TURN = 50
NAMES = ("plan", "search", "fetch", "rank", "answer", "model")


def made(number: int, words: int = 200) -> Run:
    """A run of about 2 KB with 200 words."""
    trace = f"trace-{number // 20}"
    is_root = number % 20 == 0
    is_model = number % 6 == 5
    return Run(
        trace if is_root else f"run-{number}",
        trace,
        name=NAMES[number % 6],
        kind=RunKind.LLM if is_model else RunKind.TOOL,
        parent_id=None if is_root else trace,
        start_ns=START_NS + number * 1_000_000,
        end_ns=START_NS + number * 1_000_000 + (number * 7919 % 1000) * 1_000,
        status=RunStatus.ERROR if number % 50 == 0 else RunStatus.OK,
        inputs={"question": f"word{number} " * (words // 2)},
        outputs={"answer": f"text{number % 97} " * (words // 2)},
        usage=Usage(input=100, output=number % 200, total=100 + number % 200)
        if is_model
        else None,
        session_id=f"session-{number // 1000}",
        code=CodeReference(variant=f"{number % 12:064x}"),
        layer="tool",
        metrics={"cpu_ms": 0.5, "wall_ms": 1.0},
    )


@dataclass
class Way:
    """One way to write runs."""

    name: str
    write: Callable[[Run], object]
    times_us: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """Median, microseconds."""
        return statistics.median(self.times_us)

    @property
    def p99(self) -> float:
        """99th percentile, microseconds."""
        return statistics.quantiles(self.times_us, n=100)[98]


@contextlib.contextmanager
def ways(folder: Path) -> Iterator[list[Way]]:
    """All ways, opened."""
    with contextlib.ExitStack() as stack:
        yield [
            Way("raw LMDB, process", _raw_lmdb(stack, folder / "lmdb-process", sync=False)),
            Way("raw LMDB, full", _raw_lmdb(stack, folder / "lmdb-full", sync=True)),
            Way("raw SQLite, process", _raw_sqlite(stack, folder / "p.db", "OFF")),
            Way("raw SQLite, full", _raw_sqlite(stack, folder / "f.db", "FULL")),
            Way("OpenTelemetry SDK", _opentelemetry(stack, folder / "spans.jsonl")),
            Way("hybrid store, process", _hybrid(stack, folder / "process", "process")),
            Way("the same, sync off", _hybrid(stack, folder / "off", "process", auto_sync=False)),
            Way("hybrid store, full", _hybrid(stack, folder / "full", "full")),
            Way("SQLite store, full", _sqlite_store(stack, folder / "store.db")),
        ]


def _raw_lmdb(stack: contextlib.ExitStack, path: Path, *, sync: bool) -> Callable[[Run], object]:
    environment = stack.enter_context(lmdb.open(str(path), map_size=2**31, sync=sync))

    def write(run: Run) -> None:
        with environment.begin(write=True) as txn:
            txn.put(run.run_id.encode(), msgpack.packb(encode_run(run)))

    return write


def _raw_sqlite(stack: contextlib.ExitStack, path: Path, level: str) -> Callable[[Run], object]:
    database = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {level}")
    database.execute("CREATE TABLE runs (run_id TEXT PRIMARY KEY, start_ns INTEGER, body BLOB)")

    def write(run: Run) -> None:
        body = orjson.dumps(encode_run(run))
        database.execute("INSERT INTO runs VALUES (?, ?, ?)", (run.run_id, run.start_ns, body))

    return write


def _opentelemetry(stack: contextlib.ExitStack, path: Path) -> Callable[[Run], object]:
    tracer, shut = opentelemetry_tracer(path)
    stack.callback(shut)

    def write(run: Run) -> None:
        span = tracer.start_span(run.name or "", start_time=run.start_ns)
        span.set_attribute("inputs", json.dumps(run.inputs))
        span.set_attribute("outputs", json.dumps(run.outputs))
        span.set_attribute("session", run.session_id or "")
        span.end(end_time=run.end_ns)

    return write


def opentelemetry_tracer(path: Path) -> tuple[Any, Callable[[], None]]:
    """A tracer whose spans a batch processor appends to a file, and what shuts it down."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class ToFile(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(span.to_json(indent=None) + "\n" for span in spans)
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ToFile(), max_queue_size=100_000))
    return provider.get_tracer("bench"), provider.shutdown


def _hybrid(
    stack: contextlib.ExitStack, base: Path, durability: str, *, auto_sync: bool = True
) -> Callable[[Run], object]:
    store = stack.enter_context(
        hybrid.HybridStore(base, durability=durability, auto_sync=auto_sync)
    )
    return lambda run: store.write_runs([run])


def _sqlite_store(stack: contextlib.ExitStack, path: Path) -> Callable[[Run], object]:
    store = sqlite.open_store(str(path))
    stack.callback(store.close)
    return lambda run: store.write_runs([run])


def measure_writes(writes: int) -> None:
    """Single writes in turns."""
    runs = [made(number) for number in range(writes)]
    size = statistics.fmean(len(orjson.dumps(encode_run(run))) for run in runs[:100])
    print(f"\n{writes} single writes of {size:,.0f} bytes as JSON, in turns of {TURN}\n")
    with (
        tempfile.TemporaryDirectory(prefix="refinery-bench-") as folder,
        ways(Path(folder)) as all_ways,
    ):
        for at in range(0, writes, TURN):
            for way in all_ways:
                for run in runs[at : at + TURN]:
                    begun = time.perf_counter_ns()
                    way.write(run)
                    way.times_us.append((time.perf_counter_ns() - begun) / 1000)
        base = all_ways[0].p50
        print(f"{'way':24}{'writes/s':>10}{'p50 µs':>10}{'p99 µs':>12}{'p50 ratio':>11}")
        for way in all_ways:
            rate = 1e6 / statistics.fmean(way.times_us)
            times = f"{way.p50:>10.1f}{way.p99:>12.1f}{way.p50 / base:>11.2f}"
            print(f"{way.name:24}{rate:>10,.0f}{times}")


SEEDED = 50_000
MULTIPLIED = f"""INSERT INTO runs SELECT runs.* REPLACE (
    number + {SEEDED}::BIGINT * again AS number, run_id || '-' || again AS run_id,
    trace_id || '-' || again AS trace_id,
    start_ns + {SEEDED}::BIGINT * 1000000 * again AS start_ns,
    end_ns + {SEEDED}::BIGINT * 1000000 * again AS end_ns, inputs || again AS inputs)
FROM runs, range(1, ?) AS copies(again)"""

QUESTIONS = {
    "one trace": "SELECT * FROM runs WHERE trace_id = 'trace-777'",
    "latest 50 errors": (
        "SELECT run_id, error_message FROM runs WHERE status = 'error' "
        "ORDER BY start_ns DESC LIMIT 50"
    ),
    "percentiles by name, 100k": (
        "SELECT name, count(*), quantile_cont(duration_ms, [0.5, 0.9, 0.99]) FROM runs "
        "WHERE number <= 100000 GROUP BY name"
    ),
    "percentiles by name, all": (
        "SELECT name, count(*), quantile_cont(duration_ms, [0.5, 0.9, 0.99]) FROM runs GROUP BY 1"
    ),
    "full scan of texts": "SELECT sum(length(inputs)), sum(length(outputs)) FROM runs",
}


def measure_questions(count: int) -> None:
    """The copy of a hybrid store against plain DuckDB with the same rows."""
    with tempfile.TemporaryDirectory(prefix="refinery-bench-") as folder:
        base, plain = Path(folder, "traces"), Path(folder, "plain.duckdb")
        with hybrid.HybridStore(base, auto_sync=False, durability="process") as store:
            begun = time.perf_counter()
            for at in range(0, SEEDED, 5_000):
                store.write_runs([made(number, 20) for number in range(at, at + 5_000)])
            written = time.perf_counter() - begun
            begun = time.perf_counter()
            store.sync()
            synced = time.perf_counter() - begun
        rates = [f"{SEEDED / seconds:,.0f}/s" for seconds in (written, synced)]
        print(f"\n{SEEDED:,} runs: written {rates[0]}, synced {rates[1]}")
        files = (base.with_suffix(".lmdb") / "data.mdb", base.with_suffix(".duckdb"))
        sizes = [file.stat().st_size / SEEDED for file in files]
        print(f"bytes a run: LMDB {sizes[0]:.0f}, DuckDB {sizes[1]:.0f}")
        with duckdb.connect(str(base.with_suffix(".duckdb"))) as ours:
            ours.execute(MULTIPLIED, [count // SEEDED])
            total = ours.execute("SELECT count(*) FROM runs").fetchone()
        print(f"questions over {total[0]:,} runs\n" if total else "")
        with duckdb.connect(str(plain), config={"threads": "2"}) as raw:
            raw.execute(f"ATTACH '{base}.duckdb' AS ours (READ_ONLY)")
            raw.execute("CREATE TABLE runs AS FROM ours.runs")
        _ask_in_turns(base.with_suffix(".duckdb"), plain)


def _ask_in_turns(ours: Path, plain: Path, turns: int = 15) -> None:
    print(f"{'question':28}{'ours ms':>10}{'plain ms':>10}{'ratio':>8}")
    with (
        open_reader(ours) as reader,
        duckdb.connect(str(plain), read_only=True, config={"threads": "2"}) as raw,
    ):
        for name, sql in QUESTIONS.items():
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(turns):
                begun = time.perf_counter()
                found = reader.ask(sql, max_rows=1_000).rows
                times[0].append((time.perf_counter() - begun) * 1000)
                begun = time.perf_counter()
                expected = raw.execute(sql).fetchmany(1_001)
                times[1].append((time.perf_counter() - begun) * 1000)
                assert sorted(map(str, found)) == sorted(map(str, expected)), name
            one, two = (statistics.median(side) for side in times)
            print(f"{name:28}{one:>10.2f}{two:>10.2f}{one / two:>8.2f}")
    opening = []
    for _ in range(5):
        begun = time.perf_counter()
        with open_reader(ours) as reader:
            reader.query("SELECT 1")
        opening.append((time.perf_counter() - begun) * 1000)
    print(f"{'opening, once a command':28}{statistics.median(opening):>10.2f}")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    if writes := given[1] if len(given) > 1 else 3_000:
        measure_writes(writes)
    measure_questions(given[0] if given else 1_000_000)
