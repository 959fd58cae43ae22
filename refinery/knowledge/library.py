"""Searches the guides and the user's own texts: words and vectors, their ranks fused."""

import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from refinery import clock
from refinery.errors import InputError, StoreError
from refinery.knowledge.passages import Passage, cut, read_guides
from refinery.knowledge.truth import Truth
from refinery.ports import Embedder

if TYPE_CHECKING:
    from filelock import FileLock

    from refinery.knowledge.chroma import VectorIndex

GUIDES = Path(__file__).parent / "guides"
"""The guides that ship with Refinery."""
LEXICAL_WEIGHT, VECTOR_WEIGHT = 3.0, 1.0
"""Weights of the two arms with the hash embedder: its vectors are the weaker arm, and equal
weights pull good word matches down. Measured by `benchmarks.retrieval_quality`; figures in
`docs/knowledge.md`."""
TRAINED_WEIGHTS = 1.0, 1.0
"""With an embedder that was trained: there equal weights are best, in the same benchmark."""
__all__ = ["Library", "Passage"]

_SMOOTHING = 60
"""Constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
_DEPTH = 30
"""Ranks of each arm that are fused."""
MAX_ADDED_BYTES = 2_000_000


class Library:
    """The knowledge base of one folder; use as a context manager or call `close`.

    Opening does nothing but read and, when guides changed, rewrite SQLite. Chroma is opened at
    the first search and then held, with a file lock, until `close`: one process owns the vectors.
    While another does, a search uses words only and `arms` says so.

    Args:
        folder: where it is kept; created when missing.
        embedder: makes the vectors; None searches by words only and never opens Chroma.
        guides: markdown files to keep in it; default: those that ship with Refinery.
        wait_s: how long to wait for another owner of the vectors.

    Raises:
        StoreError: the knowledge base was written by a newer Refinery or cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        embedder: Embedder | None,
        *,
        guides: Path = GUIDES,
        wait_s: float = 2.0,
    ) -> None:
        self._folder = folder
        self._embedder = embedder
        self._guides = guides
        self._wait_s = wait_s
        is_trained = embedder is not None and not embedder.name.startswith("hash-")
        self.weights = TRAINED_WEIGHTS if is_trained else (LEXICAL_WEIGHT, VECTOR_WEIGHT)
        """How much a rank among words and one among vectors counts."""
        self._index: VectorIndex | None = None
        self._lock: FileLock | None = None
        self.notes: list[str] = []
        """What went wrong and was mended, for people; empty when nothing did."""
        self._truth = self._open_truth()
        self._known = self._truth.passages()

    def __enter__(self) -> "Library":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def embedder_name(self) -> str:
        """Name of the active embedder, or `none` when only words are searched."""
        return self._embedder.name if self._embedder else "none"

    @property
    def arms(self) -> tuple[str, ...]:
        """What the last search used: `lexical`, and `vector` when Chroma is open."""
        return ("lexical", "vector") if self._index else ("lexical",)

    def passages(self) -> list[Passage]:
        """Every passage, by guide and in no particular order within it."""
        return sorted(self._known.values(), key=lambda passage: passage.guide)

    def search(self, query: str, k: int = 5) -> list[Passage]:
        """The passages that fit a query best, best first; none when nothing fits.

        Args:
            query: words in any form: a question, an error message, a finding's title.
            k: most passages to return.
        """
        lexical = self._truth.rank(query, _DEPTH)
        vector = self._rank_vectors(query)
        scores: dict[str, float] = {}
        for weight, ranking in zip(self.weights, (lexical, vector), strict=True):
            for place, key in enumerate(ranking, start=1):
                scores[key] = scores.get(key, 0.0) + weight / (_SMOOTHING + place)
        best = sorted((key for key in scores if key in self._known), key=lambda i: (-scores[i], i))
        return [
            replace(self._known[key], score=scores[key], arm=_arm(key, lexical, vector))
            for key in best[:k]
        ]

    def add(self, source: Path | str, name: str | None = None) -> int:
        """Add a file or a text of the user's; returns the number of new passages.

        Args:
            source: a text file, or the text itself.
            name: what citations call it; default: the file's name, or `notes`.

        Raises:
            InputError: the file cannot be read, is not UTF-8 text, is empty or too large.
        """
        text = _read(source) if isinstance(source, Path) else source
        guide = name or (source.stem if isinstance(source, Path) else "notes")
        passages = cut(guide, text, origin="user")
        if not passages:
            raise InputError("there is no text to add", hint="name a file with text in it")
        new = self._truth.add(passages)
        if new:
            self._release()
            self._known = self._truth.passages()
        return new

    def teach(self, passages: Sequence[Passage], origin: str = "lesson") -> None:
        """Make these the passages of an origin; those of before are forgotten."""
        if self._truth.replace(origin, passages):
            self._release()
            self._known = self._truth.passages()

    def remove(self, name: str) -> int:
        """Take a text of the user's out; returns the number of passages removed."""
        kept = [p for p in self._known.values() if p.origin == "user" and p.guide != name]
        removed = sum(p.origin == "user" for p in self._known.values()) - len(kept)
        if removed:
            self._release()
            self._truth.replace("user", kept)
            self._known = self._truth.passages()
        return removed

    def rebuild(self) -> int:
        """Build the vectors anew from the truth; returns the number of passages.

        Raises:
            InputError: another process owns the vectors.
        """
        self._release()
        if self._embedder is None:
            return len(self._known)
        if not self._own():
            raise InputError(
                "another process is using the knowledge base", hint="try again when it has ended"
            )
        self._index = self._build()
        return len(self._known)

    def close(self) -> None:
        """Give up the vectors and release all files; a second call does nothing."""
        self._release()
        self._truth.close()

    def _open_truth(self) -> Truth:
        path = self._folder / "knowledge.db"
        try:
            return self._load(path)
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(
                f"the knowledge base {path} cannot be opened: {error}",
                hint="check that its folder can be written and the disk is not full",
            ) from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{clock.short_id('damaged')}.db")
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self.notes.append(
                f"the knowledge base was damaged ({error}); it was built again from the guides, "
                f"the damaged file is {aside}"
            )
            return self._load(path)

    def _load(self, path: Path) -> Truth:
        truth = Truth(path)
        try:
            truth.replace("guide", read_guides(self._guides))
        except sqlite3.Error:
            truth.close()
            raise
        return truth

    def _rank_vectors(self, query: str) -> list[str]:
        if self._embedder is None or not query.strip():
            return []
        from refinery.knowledge.chroma import DamagedIndexError

        vector = self._embedder.embed([query])[0]
        if not any(vector):
            return []
        try:
            index = self._opened()
            return index.rank(vector, min(_DEPTH, len(self._known))) if index else []
        except DamagedIndexError as error:
            self.notes.append(f"the vector index was damaged and built again: {error}")
            self.rebuild()
            return self._index.rank(vector, min(_DEPTH, len(self._known))) if self._index else []

    def _opened(self) -> "VectorIndex | None":
        """The index of exactly the known passages, built when missing; None while not ours."""
        if self._index is None and self._known and self._own():
            from refinery.knowledge.chroma import VectorIndex

            built = next(self._folder.glob(f"{self._index_name()}-*"), None)
            self._index = VectorIndex(built) if built else self._build()
        return self._index

    def _build(self) -> "VectorIndex":
        from refinery.knowledge.chroma import VectorIndex

        assert self._embedder is not None
        for stale in self._folder.glob("vectors-*"):
            shutil.rmtree(stale, ignore_errors=True)
        ids = list(self._known)
        texts = [f"{p.guide} {p.heading}\n{p.text}" for p in self._known.values()]
        # Never a path that was open before: Chroma keeps a damaged one cached by its path.
        folder = self._folder / clock.short_id(self._index_name())
        index = VectorIndex(folder, new=True)
        index.fill(ids, self._embedder.embed(texts))
        return index

    def _index_name(self) -> str:
        """Names all that the vectors depend on, so that a stale index is never opened."""
        depends = f"{self._truth.digest()}\0{self.embedder_name}".encode()
        return f"vectors-{sha256(depends).hexdigest()[:16]}"

    def _own(self) -> bool:
        from filelock import FileLock, Timeout

        if self._lock is not None:
            return True
        lock = FileLock(self._folder / "owner.lock")
        try:
            lock.acquire(timeout=self._wait_s, poll_interval=0.05)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _release(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _arm(key: str, lexical: Sequence[str], vector: Sequence[str]) -> str:
    if key in lexical and key in vector:
        return "both"
    return "lexical" if key in lexical else "vector"


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_ADDED_BYTES:
            raise InputError(
                f"{path} has {len(raw)} bytes; at most {MAX_ADDED_BYTES} are taken",
                hint="split it into smaller files",
            )
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as text: {error}", hint="add a UTF-8 text"
        ) from error
