"""Random SIGKILLs while a hybrid store is written and synced: is anything acknowledged lost?

    python -m benchmarks.hybrid_kills [KILLS] [SEED]

(from the repository's root; 1,000 kills and seed 1 unless said)

Each round forks two processes that write to one store: new runs, patches of earlier ones,
feedback, deletions of whole traces, with the background sync on and explicit syncs between. A
write is acknowledged on a pipe once `write_runs` has returned. At a random moment both are killed;
every fourth round the process that syncs afterwards is killed as well. Then the store is opened
anew and this is checked: every acknowledged run is there and equal, what was deleted is gone,
every record reads, and after a sync DuckDB holds exactly LMDB's runs, traces and feedback. A
fresh store is begun every 25 kills. Ends with 1 when a check failed, else with 0.
"""

import contextlib
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from refinery.model.trace import Feedback, Run, RunKind, RunStatus
from refinery.ports import RunFilter
from refinery.stores._shared import analytics, hybrid_background, hybrid_records, hybrid_sync
from refinery.stores.hybrid import HybridStore

ROUNDS_A_STORE = 25
WRITERS = 2
START_NS = 1_780_000_000_000_000_000


@dataclass
class Scene:
    """A store and what was acknowledged of it."""

    base: Path
    chance: random.Random
    versions: dict[str, int] = field(default_factory=dict)
    """Latest acknowledged version of each run; 0: deleted."""
    attempted: dict[str, int] = field(default_factory=dict)
    """Latest version that was begun."""
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def opened(base: Path, *, auto_sync: bool) -> HybridStore:
    """The store as the benchmark uses it."""
    return HybridStore(base, auto_sync=auto_sync, durability="process")


def made(run_id: str, trace_id: str, version: int) -> Run:
    """A version of a run; its text tells the version."""
    return Run(
        run_id,
        trace_id,
        name=f"work {version}",
        kind=RunKind.TOOL,
        parent_id=None if run_id == trace_id else trace_id,
        start_ns=START_NS + version,
        end_ns=START_NS + version + 1_000_000,
        status=RunStatus.OK,
        inputs={"version": version, "text": "word " * (version % 700)},
    )


def write(scene: Scene, pipe: int, writer: str, chance: random.Random) -> None:
    """Write until killed, telling before and after each write what is written."""

    def tell(kind: str, said: dict[str, int]) -> None:
        os.write(pipe, (json.dumps([kind, said]) + "\n").encode())

    store = opened(scene.base, auto_sync=True)
    number = 0
    while True:
        number += 1
        trace_id = f"{writer}.{number // 6}"
        is_root = number % 6 == 0 or chance.random() < 0.2
        some = {trace_id if is_root else f"{trace_id}/{number}": number}
        if chance.random() < 0.1:
            some |= {f"{trace_id}/{number}.{n}": number for n in range(50)}
        tell("begin", some)
        store.write_runs([made(one, trace_id, version) for one, version in some.items()])
        tell("done", some)
        if chance.random() < 0.2:
            store.write_feedback([Feedback(f"{writer}.{number}", trace_id, "score", score=0.5)])
        if chance.random() < 0.05 and number > 12:
            gone = f"{writer}.{number // 6 - 2}"
            found = store.get_trace(gone)
            names = [run.run_id for run in found.runs] if found else []
            tell("begin", dict.fromkeys(names, 0))
            store.delete_traces([gone])
            tell("done", dict.fromkeys(names, 0))
        if chance.random() < 0.05:
            with contextlib.suppress(Exception):  # the other process may be syncing
                store.sync(timeout_s=0.02)


def in_child(work: object) -> int:
    """Do something in a forked child; returns its id."""
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        work()  # type: ignore[operator]
    os._exit(0)


def one_round(scene: Scene, number: int) -> None:
    """Write, kill, look."""
    pipes, children = [], []
    for writer in range(WRITERS):
        reading, writing = os.pipe()
        chance = random.Random(scene.chance.random())
        name = f"w{number}.{writer}"
        children.append(in_child(lambda w=writing, n=name, c=chance: write(scene, w, n, c)))  # type: ignore[misc]
        os.close(writing)
        pipes.append(reading)
    until = time.monotonic() + scene.chance.uniform(0.05, 0.6)
    said: dict[int, bytes] = dict.fromkeys(pipes, b"")
    while (left := until - time.monotonic()) > 0:
        for pipe in select.select(pipes, [], [], left)[0]:
            said[pipe] += os.read(pipe, 1 << 16)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        scene.counts["kills"] += 1
    for pipe in pipes:
        while more := os.read(pipe, 1 << 16):
            said[pipe] += more
        os.close(pipe)
        note(scene, said[pipe])
    if scene.chance.random() < 0.25:
        child = in_child(lambda: opened(scene.base, auto_sync=False).sync())
        time.sleep(scene.chance.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        scene.counts["kills"] += 1
    check(scene)


def note(scene: Scene, said: bytes) -> None:
    """Take in what a writer has told."""
    for line in said.split(b"\n")[:-1]:
        kind, versions = json.loads(line)
        scene.attempted.update(versions)
        if kind == "done":
            scene.versions.update(versions)
            scene.counts["acknowledged"] += len(versions)


def check(scene: Scene) -> None:
    """What was acknowledged is in LMDB, and DuckDB equals LMDB once it is synced."""
    store = opened(scene.base, auto_sync=False)
    try:
        for run_id, version in scene.versions.items():
            found = store.get_run(run_id)
            now = found.run.inputs["version"] if found else 0
            if now not in (version, scene.attempted[run_id]):
                scene.counts["missing or wrong in LMDB"] += 1
                scene.failures.append(f"{run_id}: acknowledged {version}, found {now}")
        listed = sum(1 for _ in pages(store))
        if listed != store.stats()["runs"]:
            scene.failures.append(f"{listed} of {store.stats()['runs']} runs can be listed")
        scene.counts["unsynced when killed"] += store.unsynced() > 0
        store.sync()
        difference = differences(store)
        scene.counts["unequal after a sync"] += bool(difference)
        scene.failures += difference
    finally:
        store.close()


def pages(store: HybridStore) -> object:
    """Every run, page by page."""
    after = None
    while True:
        page = store.find_runs(RunFilter(limit=5_000, after=after))
        yield from page.runs
        if (after := page.next) is None:
            return


def differences(store: HybridStore) -> list[str]:
    """How DuckDB differs from LMDB, by table."""
    with store.copy.filling() as connection:
        copied = {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall())
            for table in analytics.TABLES
        }

    def truth(records: hybrid_records.Records) -> dict[str, list[tuple[object, ...]]]:
        found = {}
        for table, name in (("runs", "heads"), ("traces", "traces"), ("feedback", "feedback")):
            piece = hybrid_sync._Slice(0)
            numbers = [int.from_bytes(key, "big") for key in records.keys(name)]
            hybrid_sync._collect(records, piece, table, numbers)
            found[table] = sorted(piece.rows[table])
        return found

    kept = hybrid_records.read(store._env, truth)
    return [
        f"{table}: {len(copied[table])} rows in DuckDB, {len(kept[table])} in LMDB, not equal"
        for table in analytics.TABLES
        if copied[table] != kept[table]
    ]


def main(kills: int, seed: int) -> int:
    """Run the rounds and print the figures; returns the exit code."""
    hybrid_background.PAUSE_S = 0.02
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    number = 0
    with tempfile.TemporaryDirectory(prefix="refinery-kills-") as folder:
        while counts["kills"] < kills:
            if number % ROUNDS_A_STORE == 0:
                scene = Scene(Path(folder, f"store{number}"), chance, counts=counts)
            one_round(scene, number)
            failures += scene.failures
            scene.failures = []
            number += 1
    print(f"rounds                     {number}")
    for name in (
        "kills",
        "acknowledged",
        "missing or wrong in LMDB",
        "unsynced when killed",
        "unequal after a sync",
    ):
        print(f"{name:26} {counts[name]}")
    for failure in failures[:20]:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in (*sys.argv[1:], *("1000", "1")[len(sys.argv) - 1 :]))))
