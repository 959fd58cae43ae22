"""What recording adds to an operation of 10 ms, with warm caches and with cold ones.

    python -m benchmarks.overhead [OPERATIONS]

(from the repository's root; 100 operations a row unless said)

The operation reads the clock when it begins and when it ends, so what is added is known of every
single call: what lies before and behind it. It either sleeps for 10 ms, in which others use the
processor's caches, or computes for 10 ms; the calls follow one another at once, or each after a
rest of 0.1 s, in which everything grows cold. `tight` is a call that does nothing, over and over.

- an empty wrapper: a function that calls another one, which is what no recorder can do without;
- `@instrument`: the recorder's queue. Its own thread writes the spool; at the end another process
  takes the spool into a hybrid store, where every call must be found;
- OpenTelemetry's SDK: a span with both payloads as attributes, a batch processor, to a file;
- a direct write of the ended run into a hybrid store, durable for the process and in full.

`CPU` is what the whole process worked for an operation, beside the operation's own time.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.analysis import made, opentelemetry_tracer
from refinery.stores import hybrid

OPERATION_MS = 10
REST_S = 0.1
INSTRUMENT = "@instrument"
WAYS = (
    *("an empty wrapper", INSTRUMENT, "OpenTelemetry SDK"),
    *("direct write, process", "direct write, full"),
)
PAYLOAD = {"question": "word12 " * 100}
Wrap = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]

DRAIN = """
import sys
from pathlib import Path
from refinery.stores.hybrid import HybridStore
from refinery.workflows.spool import drain
with HybridStore(Path(sys.argv[2]), durability="full") as store:
    print(drain(Path(sys.argv[1]), store))
"""


@dataclass
class Clock:
    """When the operation at work began and ended, and how long it computed."""

    begun_ns: int = 0
    ended_ns: int = 0
    worked_ns: int = 0


@dataclass
class Row:
    """What was added to every operation of one sort, microseconds."""

    times_us: list[float] = field(default_factory=list)
    cpu_us: float = 0.0


def operations(clock: Clock) -> dict[str, Callable[[Any], Any]]:
    """The operations by name, each of which tells the clock when it began and ended."""

    def sleeping(payload: Any) -> Any:
        clock.begun_ns = time.perf_counter_ns()
        time.sleep(OPERATION_MS / 1000)
        clock.ended_ns = time.perf_counter_ns()
        return payload

    def computing(payload: Any) -> Any:
        clock.begun_ns = time.perf_counter_ns()
        begun = time.thread_time_ns()
        while time.thread_time_ns() < begun + OPERATION_MS * 1_000_000:
            sum(range(500))
        clock.worked_ns += time.thread_time_ns() - begun
        clock.ended_ns = time.perf_counter_ns()
        return payload

    def nothing(payload: Any) -> Any:
        clock.begun_ns = clock.ended_ns = time.perf_counter_ns()
        return payload

    return {"sleep": sleeping, "compute": computing, "tight": nothing}


def measured(call: Callable[[Any], Any], clock: Clock, count: int, rest_s: float) -> Row:
    """Call an operation so often, after a rest each time."""
    row = Row()
    call(PAYLOAD)
    clock.worked_ns = 0
    before = time.process_time_ns()
    for _ in range(count):
        if rest_s:
            time.sleep(rest_s)
        begun = time.perf_counter_ns()
        call(PAYLOAD)
        ended = time.perf_counter_ns()
        row.times_us.append((clock.begun_ns - begun + ended - clock.ended_ns) / 1000)
    row.cpu_us = (time.process_time_ns() - before - clock.worked_ns) / 1000 / count
    return row


def spanned(tracer: Any) -> Wrap:
    """Records as OpenTelemetry does."""

    def wrap(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(payload: Any) -> Any:
            with tracer.start_as_current_span("work") as span:
                span.set_attribute("inputs", json.dumps(payload))
                result = function(payload)
                span.set_attribute("outputs", json.dumps(result))
                return result

        return call

    return wrap


def written(store: hybrid.HybridStore) -> Wrap:
    """Writes a run at the end of each call."""
    numbers = iter(range(20_000_000, 30_000_000))

    def wrap(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(payload: Any) -> Any:
            result = function(payload)
            store.write_runs([made(next(numbers), 100)])
            return result

        return call

    return wrap


@contextlib.contextmanager
def opened(way: str, folder: Path) -> Iterator[Wrap]:
    """One way to record a function; nothing of the others is at work meanwhile."""
    if way == INSTRUMENT:
        from refinery.recorders.instrument import instrument

        yield instrument(layer="tool")
    elif way == "OpenTelemetry SDK":
        tracer, shut = opentelemetry_tracer(folder / "spans.jsonl")
        yield spanned(tracer)
        shut()
    elif way.startswith("direct write"):
        level = way.rpartition(" ")[2]
        with hybrid.HybridStore(folder / level, durability=level) as store:
            yield written(store)
    else:
        yield lambda function: lambda payload: function(payload)


def show(way: str, sort: str, row: Row, share_of_ms: float = OPERATION_MS) -> None:
    """Print one row."""
    ordered = sorted(row.times_us)
    middle, high = statistics.median(ordered), ordered[len(ordered) * 9 // 10]
    mean = statistics.fmean(ordered)
    print(
        f"{way:22}{sort:24}{middle:>9.1f}{middle / share_of_ms / 10:>7.2f} %"
        f"{mean:>9.1f}{high:>9.1f}{row.cpu_us:>9.1f}"
    )


def main(count: int) -> None:
    """Measure every way with every operation, and look for the recorded calls."""
    with tempfile.TemporaryDirectory(prefix="refinery-bench-") as name:
        folder = Path(name)
        os.environ.update(REFINERY_RECORD="1", REFINERY_SPOOL=str(folder / "spool"))
        clock, calls = Clock(), 0
        print(f"added to an operation of {OPERATION_MS} ms, µs; {count} operations a row\n")
        print(f"{'':22}{'':24}{'p50':>9}{'share':>9}{'mean':>9}{'p90':>9}{'CPU':>9}")
        for way in WAYS:
            with opened(way, folder) as wrap:
                for sort, operation in operations(clock).items():
                    for rest_s in (0.0, REST_S) if sort != "tight" else (0.0,):
                        often = count * 10 if sort == "tight" else count
                        row = measured(wrap(operation), clock, often, rest_s)
                        show(way, f"{sort}{', after 0.1 s' if rest_s else ''}", row)
                        calls += (often + 1) if way == INSTRUMENT else 0
        _check(folder, calls)


def _check(folder: Path, calls: int) -> None:
    """Every recorded call is in the hybrid store another process has filled."""
    from refinery.recorders.sink import close_all

    close_all()
    done = subprocess.run(
        [sys.executable, "-c", DRAIN, str(folder / "spool"), str(folder / "store")],
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"\n@instrument: {calls} calls, {done.stdout.strip()} runs in the hybrid store")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
