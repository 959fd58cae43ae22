"""What searching costs over many conversations, beside raw libraries in the same run.

    python -m benchmarks.search [INTERACTIONS] [--questions N] [--keep FOLDER]

100,000 interactions unless said, of 1,000 users over 30 days, their words as unequal as words are
and drawn by topic. Ours and its peer are asked in turns, so that a busy machine is unfair to
both. Peers: the same rows in plain SQLite tables with the indexes somebody would give them, FTS5
with its own `bm25()`, an exact scan of all vectors in numpy, LanceDB without an index. "exact"
compares with every vector through our tables. Quality is measured by `benchmarks.search_quality`.
"""

import argparse
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from refinery import plugins
from refinery.model.trace import Run, RunKind, RunStatus
from refinery.search import fusion, searching, text
from refinery.search.filling import Floats
from refinery.search.index import Index, Point
from refinery.search.query import Query
from refinery.stores.sqlite import SqliteStore

START_NS = 1_780_000_000_000_000_000
USERS = 1_000
SPAN_S = 30 * 86_400
TOPICS, WORDS = 2_000, 8_000
CUT = 10


@dataclass(frozen=True)
class Ground:
    """Everything that is asked."""

    store: SqliteStore
    index: Index
    plain: sqlite3.Connection
    vectors: Floats
    """(interactions, dimensions), in the order of `names`."""
    names: list[str]
    raw: Any
    """LanceDB table without an index."""


class Speaker:
    """Makes questions and answers about topics; the same ones each time."""

    def __init__(self, seed: int = 1) -> None:
        self.chance = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = [
            "".join(self.chance.choices(letters, k=self.chance.randint(3, 10)))
            for _ in range(WORDS)
        ]
        self._weights = [1 / (rank + 5) for rank in range(WORDS)]
        self.topics = [self.chance.choices(self._words, k=25) for _ in range(TOPICS)]

    def say(self, about: int, other: int, topic: Sequence[str] | None = None) -> str:
        """Words of one topic and of no topic, mixed."""
        words = self.chance.choices(topic or self.some_topic(), k=about)
        words += self.chance.choices(self._words, self._weights, k=other)
        self.chance.shuffle(words)
        return " ".join(words)

    def some_topic(self) -> list[str]:
        """The words of some topic."""
        return self.chance.choice(self.topics)

    def interaction(self, number: int, count: int) -> Run:
        """One root run."""
        topic = self.some_topic()
        start = START_NS + number * (SPAN_S * 10**9 // count)
        name = f"t{number:07d}"
        return Run(
            name,
            name,
            "agent",
            RunKind.AGENT,
            start_ns=start,
            end_ns=start + 10**9,
            status=RunStatus.ERROR if number % 20 == 0 else RunStatus.OK,
            inputs={"messages": [{"role": "user", "content": self.say(8, 8, topic)}]},
            outputs={"messages": [{"role": "assistant", "content": self.say(10, 14, topic)}]},
            user_id=f"user{self.chance.randrange(USERS)}",
            session_id=f"session{number // 20}",
        )


def build(folder: Path, count: int) -> Ground:
    """Fill our store and index, and the peers."""
    store = SqliteStore(folder / "traces.db")
    plain = sqlite3.connect(folder / "plain.db")
    plain.executescript(
        "CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, id TEXT, user TEXT,"
        " start INTEGER, body TEXT); CREATE INDEX IF NOT EXISTS by_user ON rows (user, start);"
        "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (body);"
    )
    if not store.stats()["traces"]:
        _write(store, plain, count)
    embedder = plugins.load("embedders", "hash").create("")
    index = Index(folder / "index", embedder)
    began, cpu = time.perf_counter(), time.process_time()
    done = index.fill(store)
    assert done is not None
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    if done.written:
        print(f"filling the index: {done.written / wall:,.0f} interactions/s, "
              f"{1e3 * cpu / done.written:.2f} ms CPU each, {done.embedded} embedded")  # fmt: skip
    for mark, title in ((None, "looking at all traces"), ("same", ""), ("same", "by the mark")):
        again, cpu = time.perf_counter(), time.process_time()
        index.fill(store, mark=mark)
        wall, cpu = 1e3 * (time.perf_counter() - again), 1e3 * (time.process_time() - cpu)
        if title:
            print(f"finding that nothing has changed, {title}: {wall:,.0f} ms, CPU {cpu:,.0f}")
    return Ground(store, index, plain, *_copies(folder, index))


def _write(store: SqliteStore, plain: sqlite3.Connection, count: int) -> None:
    speaker = Speaker()
    began = time.perf_counter()
    for at in range(0, count, 1_000):
        runs = [speaker.interaction(at + n, count) for n in range(min(1_000, count - at))]
        store.write_runs(runs, source="benchmark")
        for run in runs:
            said = (
                f"{run.inputs['messages'][0]['content']} {run.outputs['messages'][0]['content']}"
            )
            row = plain.execute(
                "INSERT INTO rows (id, user, start, body) VALUES (?, ?, ?, ?)",
                (run.run_id, run.user_id, run.start_ns, said),
            )
            plain.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (row.lastrowid, said))
    plain.commit()
    store.index()
    print(f"writing: {count / (time.perf_counter() - began):,.0f} interactions/s, peers' included")


def _copies(folder: Path, index: Index) -> tuple[Floats, list[str], Any]:
    """All vectors in memory, their trace ids, and the same in a raw table."""
    import lancedb
    import pyarrow as pa

    about = index._register.about()
    assert about is not None
    table = lancedb.connect(str(folder / "index" / about.folder)).open_table("interactions")
    found = table.search().select(["trace_id", "vector"]).limit(None).to_arrow()
    names = found["trace_id"].to_pylist()
    flat = found["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = flat.reshape(len(names), -1)
    raw = lancedb.connect(str(folder / "raw")).create_table(
        "rows",
        pa.table({"id": names, "vector": found["vector"].combine_chunks()}),
        mode="overwrite",
    )
    return vectors, names, raw


Ask = Callable[[Point, random.Random], list[str]]


def _frame(chance: random.Random) -> tuple[str, int, int]:
    """A user and a time frame of a day."""
    since = START_NS + chance.randrange(SPAN_S - 86_400) * 10**9
    return f"user{chance.randrange(USERS)}", since, since + 86_400 * 10**9


class Ways:
    """How each question is answered: by us, and by the peers."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def ours_frame(self, _: Point, chance: random.Random) -> list[str]:
        """Time frame and user, verbatim."""
        user, since, until = _frame(chance)
        query = Query(user=user, since_ns=since, until_ns=until, limit=1_000)
        found = searching.timeframe(self._ground.store, query)
        return [one.trace.trace_id for one in found.moments]

    def plain_frame(self, _: Point, chance: random.Random) -> list[str]:
        """The same from a plain table."""
        user, since, until = _frame(chance)
        sql = (
            "SELECT id, body FROM rows WHERE user = ? AND start >= ? AND start < ? ORDER BY start"
        )
        return [row[0] for row in self._ground.plain.execute(sql, (user, since, until))]

    def ours_text(self, point: Point, _: random.Random) -> list[str]:
        """Words, ranked."""
        found = text.ranked(self._ground.store, Query(text=point.text), CUT)
        return [hit.trace.trace_id for hit in found]

    def plain_text(self, point: Point, _: random.Random) -> list[str]:
        """The same by FTS5."""
        sql = (
            "SELECT rows.id FROM words JOIN rows ON rows.number = words.rowid "
            "WHERE words MATCH ? ORDER BY rank LIMIT ?"
        )
        asked = (" OR ".join(f'"{word}"' for word in point.text.split()), CUT)
        return [row[0] for row in self._ground.plain.execute(sql, asked)]

    def ours_near(self, point: Point, _: random.Random) -> list[str]:
        """Meaning, through the index."""
        return [name for name, _ in self._ground.index.nearest(point, Query(), CUT)]

    def exact_near(self, point: Point, _: random.Random) -> list[str]:
        """Meaning, every vector compared."""
        return [name for name, _ in self._ground.index.nearest(point, Query(), CUT, exact=True)]

    def user_near(self, point: Point, chance: random.Random) -> list[str]:
        """Meaning among the conversations of a user in eleven days."""
        user, since, until = _frame(chance)
        query = Query(user=user, since_ns=since - 10 * 86_400 * 10**9, until_ns=until)
        return [name for name, _ in self._ground.index.nearest(point, query, CUT)]

    def scan_near(self, point: Point, _: random.Random) -> list[str]:
        """Meaning, by numpy over vectors in memory."""
        ground = self._ground
        scores = ground.vectors @ point.vector
        best = np.argpartition(-scores, CUT)[:CUT]
        return [ground.names[n] for n in best[np.argsort(-scores[best])]]

    def lance_near(self, point: Point, _: random.Random) -> list[str]:
        """Meaning, by LanceDB without an index."""
        asked = (
            self._ground.raw.search(point.vector).distance_type("dot").select(["id", "_distance"])
        )
        return list(asked.limit(CUT).to_arrow()["id"].to_pylist())

    def ours_fused(self, point: Point, _: random.Random) -> list[str]:
        """Words and meaning, as `refinery search` fuses them."""
        ground, depth = self._ground, searching.DEPTH
        found = text.ranked(ground.store, Query(text=point.text), depth)
        arms = {
            "text": [hit.trace.trace_id for hit in found],
            "meaning": [name for name, _ in ground.index.nearest(point, Query(), depth)],
        }
        return [name for name, _ in fusion.fuse(arms, fusion.HASHED_WEIGHTS)][:CUT]

    def plain_fused(self, point: Point, chance: random.Random) -> list[str]:
        """The first ten of FTS5 and of numpy, fused."""
        arms = {
            "text": self.plain_text(point, chance),
            "meaning": self.scan_near(point, chance),
        }
        return [name for name, _ in fusion.fuse(arms, fusion.HASHED_WEIGHTS)][:CUT]


def questions_of(ground: Ground) -> dict[str, list[tuple[str, Ask]]]:
    """What is asked, and of whom; the first of each is ours."""
    ways = Ways(ground)
    return {
        "time frame and user": [("ours", ways.ours_frame), ("plain SQLite", ways.plain_frame)],
        "full text, ranked": [("ours", ways.ours_text), ("SQLite FTS5 bm25()", ways.plain_text)],
        "meaning": [
            ("ours", ways.ours_near),
            ("ours, exact", ways.exact_near),
            ("LanceDB without index", ways.lance_near),
            ("numpy, in memory", ways.scan_near),
        ],
        "meaning, user, 11 days": [("ours", ways.user_near)],
        "fused, 60 ranks an arm": [
            ("ours", ways.ours_fused),
            ("FTS5 and numpy, 10", ways.plain_fused),
        ],
    }


def measure(ground: Ground, count: int) -> None:
    """Ask everything in turns and print what it took."""
    speaker = Speaker(2)
    speaker.topics = Speaker(1).topics
    asked = [speaker.say(3, 2) for _ in range(count)]
    points = [ground.index.point(words) for words in asked]
    print(
        f"\n{count} questions, in turns; ms; ratios are ours to it; at last the share of its ten "
        "that the last line's has too"
    )
    print(f"{'':47s} {'p50':>8s} {'p99':>8s} {'CPU p50':>8s} {'p50':>7s} {'CPU':>7s}")
    for title, ways in questions_of(ground).items():
        took: dict[str, list[float]] = {name: [] for name, _ in ways}
        spent: dict[str, list[float]] = {name: [] for name, _ in ways}
        agreed: dict[str, list[float]] = {name: [] for name, _ in ways}
        for number, point in enumerate(points):
            assert point is not None
            answers = {}
            for name, ask in ways:
                began, cpu = time.perf_counter(), time.process_time()
                answers[name] = ask(point, random.Random(number))
                took[name].append(1e3 * (time.perf_counter() - began))
                spent[name].append(1e3 * (time.process_time() - cpu))
            truth = set(answers[ways[-1][0]])
            for name, found in answers.items():
                agreed[name].append(len(truth & set(found)) / len(truth) if truth else 1.0)
        _print(title, took, spent, agreed)
    state = ground.index.state()
    print(f"\nthe index reads {state.probes or 'all'} parts; recall@10 when made: {state.recall}")


def _print(
    title: str,
    took: dict[str, list[float]],
    spent: dict[str, list[float]],
    agreed: dict[str, list[float]],
) -> None:
    ours, ours_cpu = float(np.median(took["ours"])), float(np.median(spent["ours"]))
    for name, times in took.items():
        p50, p99 = np.percentile(times, [50, 99])
        cpu = float(np.median(spent[name]))
        same = f"  {np.mean(agreed[name]):.3f}" if len(took) > 1 else ""
        ratios = f"{ours / p50:7.2f} {ours_cpu / max(cpu, 1e-3):7.2f}"
        print(
            f"{title:24s} {name:22s} {p50:8.1f} {p99:8.1f} {cpu:8.1f} {ratios}{same}", flush=True
        )


def commands(folder: Path) -> None:
    """Print what whole commands take, interpreter and imports included."""
    day = datetime.fromtimestamp(START_NS / 1e9 + 86_400, tz=UTC)
    frame = (day.isoformat(), day.replace(hour=23).isoformat())
    print("\nwhole commands, s (wall, CPU)")
    for words in (
        ("timeframe", *frame, "--user", "user7"),
        ("users",),
        ("sessions", "--user", "user7"),
        ("search", "refund never came", "--text-only"),
        ("clean", "--older-than", frame[0], "--dry-run"),
    ):
        line = [sys.executable, "-m", "refinery", "--store", str(folder / "traces.db"), *words]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([*line, "--json"], capture_output=True, cwd=folder)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"  refinery {words[0]:10s} {wall:6.2f} {cpu:6.2f}   exit {done.returncode}")


def main() -> None:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interactions", nargs="?", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="build here, or use what is here already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        ground = build(folder, given.interactions)
        measure(ground, given.questions)
        ground.index.close()
        ground.store.close()
        commands(folder)


if __name__ == "__main__":
    main()
