"""The observability store of one folder: who owns it, what is in it, what is near a text."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from refinery import clock
from refinery.errors import InputError
from refinery.ports import Embedder, Store, TraceFilter
from refinery.search import filling, hashed
from refinery.search.filling import Filling, Parts, Progress, embed
from refinery.search.fusion import least_similarity
from refinery.search.interactions import embedded_text
from refinery.search.lance import DamagedTablesError, Near, Tables
from refinery.search.query import UNLIMITED, Query
from refinery.search.register import FILE, About, DamagedRegisterError, Register, set_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX_FROM = 20_000
"""Interactions from which on the vectors are indexed: comparing all of so many takes about 20 ms
of processor time (`benchmarks/search.py`)."""
RECALL_FLOOR = 0.95
"""Share of the true ten nearest that the index must find before it is used."""
EXACT_UP_TO = 20_000
"""Interactions passing a filter up to which all of them are compared: an index loses recall the
more is filtered away."""
_GROWTH = 0.2
"""Share of interactions outside the vector index at which it is made anew."""
_SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of the vector index that are tried. Even all of it is read many times faster than the
table, whose vectors are not kept in memory (`benchmarks/search.py`)."""
_SAMPLE = 40
_TEXTS = ("asked", "answered", "error")
_QUESTION_WORDS = 8
"""Words of a question the index is tried with, as many as people search with."""

Floats = NDArray[np.float32]
BROKEN = (DamagedTablesError, DamagedRegisterError)


@dataclass(frozen=True, slots=True)
class State:
    """What the index is."""

    embedder: str | None
    """What its vectors were made with; None: nothing is in it yet."""
    dimensions: int | None
    interactions: int
    wanted: str
    """Name of the embedder of the settings."""
    recall: float | None
    """Share of the true ten nearest that were found when tried; None: all are compared."""
    probes: int | None

    @property
    def is_other(self) -> bool:
        """Whether its vectors were made with another embedder than the settings name."""
        return self.embedder is not None and self.embedder != self.wanted


@dataclass(frozen=True, slots=True)
class Point:
    """A text and its vector."""

    text: str
    vector: Floats
    """(dimensions,) float32, unit length."""


class OtherEmbedderError(Exception):
    """The vectors are of another embedder; they are never mixed. Never leaves the search room."""


class Index:
    """The observability store; use as a context manager or call `close`.

    One process at a time owns it, by a lock, and may fill it; others may read meanwhile.

    Args:
        folder: where it is; created when missing.
        embedder: makes the vectors.
        wait_s: how long to wait for another owner.
    """

    def __init__(self, folder: Path, embedder: Embedder, *, wait_s: float = 0.5) -> None:
        self._folder = folder
        self.embedder = embedder
        self._wait_s = wait_s
        self.notes: list[str] = []
        """What went wrong and was mended, for people."""
        self._lock: FileLock | None = None
        self._tables: Tables | None = None
        self._register = self._open_register()

    def __enter__(self) -> "Index":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.close()

    def state(self) -> State:
        """What the index is now."""
        about, facts = self._register.about(), self._register.facts()
        return State(
            embedder=about.embedder if about else None,
            dimensions=about.dimensions if about else None,
            interactions=self._register.count(),
            wanted=self.embedder.name,
            recall=float(facts["recall"]) if "recall" in facts else None,
            probes=int(facts["probes"]) if facts.get("probes") else None,
        )

    def fill(
        self,
        store: Store,
        for_s: float | None = None,
        progress: Progress | None = None,
        *,
        mark: str | None = None,
    ) -> Filling | None:
        """Bring it up to date; None when another process owns it.

        Args:
            store: what it is filled from.
            for_s: stop after about so many seconds; None: when all is done.
            progress: told after each batch.
            mark: anything that changes with the store's content; when it is the one of the last
                whole filling, there is nothing to do. None: look at all traces.

        Raises:
            OtherEmbedderError: it holds vectors of another embedder; `rebuild` makes it anew.
            DamagedTablesError, DamagedRegisterError: it cannot be read; `rebuild` makes it anew.
        """
        if not self._own():
            return None
        tables = self._opened(make=True)
        assert tables is not None
        is_same = mark is not None and self._register.facts().get("mark") == mark
        if is_same and tables.count() == self._register.count():
            return Filling()
        done = filling.fill(self._parts(store, tables), for_s, progress)
        if done.written or done.removed:
            self._index_vectors(tables)
        if mark is not None:
            self._register.note({"mark": "" if done.waiting else mark})
        return done

    def rebuild(self, store: Store, progress: Progress | None = None) -> Filling:
        """Make it anew from the trace store with the present embedder.

        Raises:
            InputError: another process owns it.
        """
        if not self._own():
            raise InputError(
                "another process is filling the search index", hint="try again when it has ended"
            )
        tables = self._begin()
        done = filling.fill(self._parts(store, tables), None, progress)
        self._index_vectors(tables)
        return done

    def point(self, text: str) -> "Point | None":
        """Where a text stands among the vectors; None when the embedder finds nothing in it."""
        vector: Floats = embed(self.embedder, [text])[0]
        return Point(text, vector) if vector.any() else None

    def point_of(self, trace_id: str) -> "Point | None":
        """Where an interaction stands; None when it is not in the index or has no words."""
        tables = self._opened()
        number = self._register.numbers([trace_id]).get(trace_id)
        if tables is None or number is None:
            return None
        row = tables.rows([number], ["vector", *_TEXTS]).get(number)
        vector = np.asarray(row["vector"], dtype=np.float32) if row else None
        if row is None or vector is None or not vector.any():
            return None
        return Point(_text(row), vector)

    def nearest(
        self, point: "Point", query: Query, limit: int, *, exact: bool = False
    ) -> list[tuple[str, float]]:
        """Trace ids and similarities of the nearest interactions that pass the filters.

        Those no nearer than chance are left out.

        Args:
            point: what to be near to.
            query: its filters; its text and limit are not used.
            limit: most interactions.
            exact: compare with every vector, whatever an index could save.
        """
        tables = self._opened()
        if tables is None:
            return []
        probes = None if exact else self._probes(tables, query)
        found: list[Near] = tables.nearest(point.vector, query, limit, probes)
        if self.embedder.name.startswith(hashed.PREFIX):
            found = _compared(tables, point.text, found)
        else:
            least = least_similarity(self.embedder.dimensions)
            found = [near for near in found if near.similarity >= least]
        traces = self._register.traces([near.number for near in found])
        return [(traces[near.number], near.similarity) for near in found if near.number in traces]

    def containing(self, text: str, query: Query, limit: int) -> list[str]:
        """Trace ids of interactions whose question or answer holds a text literally."""
        tables = self._opened()
        found = tables.containing(text, query, limit) if tables else []
        traces = self._register.traces(found)
        return [traces[number] for number in found if number in traces]

    def forget(self, trace_ids: Sequence[str], store: Store) -> bool:
        """Take interactions out, erased from the disk as well; False while another owns it.

        Args:
            trace_ids: of the interactions.
            store: without them already; says who the users and sessions are now.
        """
        if not self._own():
            return False
        about = self._register.about()
        if about is None or not self._register.numbers(trace_ids):
            return True
        tables = self._tables or Tables(self._folder / about.folder, about.dimensions)
        filling.remove(tables, self._register, trace_ids)
        filling.write_people(tables, store.list_traces(TraceFilter(limit=UNLIMITED)))
        tables.tidy(forget=True)
        return True

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        self._tables = None
        self._register.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _parts(self, store: Store, tables: Tables) -> Parts:
        return Parts(store, tables, self._register, self.embedder)

    def _open_register(self) -> Register:
        path = self._folder / FILE
        try:
            return Register(path)
        except DamagedRegisterError as error:
            if not self._own():
                raise InputError(
                    f"{path} is damaged, and another process is using it",
                    hint="try again when it has ended",
                ) from error
            aside = set_aside(path)
            self.notes.append(f"the search index was damaged ({error}) and is made anew: {aside}")
            return Register(path)

    def _opened(self, *, make: bool = False) -> Tables | None:
        """The tables; None when there are none yet and none are to be made."""
        about = self._register.about()
        if about is not None and about.embedder != self.embedder.name:
            raise OtherEmbedderError(about.embedder)
        if self._tables is None and about is not None:
            self._tables = Tables(self._folder / about.folder, about.dimensions)
        if self._tables is None and make:
            self._tables = self._begin()
        return self._tables

    def _begin(self) -> Tables:
        """Empty tables in a new folder; older ones go."""
        about = About(clock.short_id("tables"), self.embedder.name, self.embedder.dimensions)
        (self._folder / about.folder).mkdir(mode=0o700)
        tables = Tables(self._folder / about.folder, about.dimensions, new=True)
        tables.make_scalar_indexes()
        self._register.begin(about)
        for stale in self._folder.glob("tables-*"):
            if stale.name != about.folder:
                shutil.rmtree(stale, ignore_errors=True)
        self._tables = tables
        return tables

    def _own(self) -> bool:
        if self._lock is not None:
            return True
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(self._folder / "owner.lock")
        try:
            lock.acquire(timeout=self._wait_s, poll_interval=0.05)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _probes(self, tables: Tables, query: Query) -> int | None:
        """Parts of the vector index to read; None: compare with all."""
        probes = self._register.facts().get("probes")
        if not probes:
            return None
        is_filtered = query.as_filter() != Query().as_filter() or query.kind is not None
        if is_filtered and tables.count_matching(query, EXACT_UP_TO + 1) <= EXACT_UP_TO:
            return None
        return int(probes)

    def _index_vectors(self, tables: Tables) -> None:
        """Make the vector index when it pays, and find how much of it must be read."""
        count = tables.count()
        if count < INDEX_FROM:
            self._register.note({"probes": ""})
            return
        if tables.unindexed() <= _GROWTH * count:
            return
        parts = math.isqrt(count)
        tables.make_vector_index(parts)
        self._register.note(self._tried(tables, parts))

    def _tried(self, tables: Tables, parts: int) -> dict[str, str]:
        """The fewest parts that reach the recall floor, as facts; none when all must be read."""
        questions = list(self._questions(tables))
        truth = [set(_numbers(tables, one, None)) for one in questions]
        for share in _SHARES:
            probes = max(1, round(parts * share))
            hits = [
                len(set(_numbers(tables, one, probes)) & wanted) / len(wanted)
                for one, wanted in zip(questions, truth, strict=True)
                if wanted
            ]
            recall = float(np.mean(hits)) if hits else 0.0
            if recall >= RECALL_FLOOR:
                return {"probes": str(probes), "recall": f"{recall:.3f}"}
        return {"probes": "", "recall": "1.0"}

    def _questions(self, tables: Tables) -> "Iterator[Floats]":
        """Vectors like those that will be asked for: of short questions, and of whole texts."""
        for number, row in enumerate(tables.sample(_SAMPLE)):
            if number % 3 == 0:
                yield np.asarray(row["vector"], dtype=np.float32)
                continue
            words = (row["asked"] or "").split()[:_QUESTION_WORDS]
            point = self.point(" ".join(words)) if words else None
            if point is not None:
                yield point.vector


def _numbers(tables: Tables, vector: Floats, probes: int | None) -> list[int]:
    return [near.number for near in tables.nearest(vector, Query(), 10, probes)]


def _compared(tables: Tables, text: str, found: Sequence[Near]) -> list[Near]:
    """Candidates of hashed vectors by what they really share with a text, nearest first."""
    rows = tables.rows([near.number for near in found], _TEXTS)
    numbers = [near.number for near in found if near.number in rows]
    shares = hashed.similarities(text, [_text(rows[number]) for number in numbers])
    pairs = sorted(zip(shares, numbers, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return [Near(number, share) for share, number in pairs if share >= hashed.LEAST]


def _text(row: Mapping[str, str | None]) -> str:
    return embedded_text(*(row[name] or "" for name in _TEXTS))
