"""The passages and their lexical index in one SQLite file: the truth of the knowledge base."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from refinery.errors import StoreError
from refinery.knowledge.common_words import COMMON
from refinery.knowledge.passages import Passage

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE passages (
    id TEXT PRIMARY KEY, guide TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL,
    origin TEXT NOT NULL
) STRICT;
CREATE VIRTUAL TABLE words USING fts5 (
    id UNINDEXED, guide, heading, body, tokenize = 'porter unicode61'
);
"""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TOKEN = re.compile(r"[^\W_]+")
MAX_QUERY_WORDS = 40


class Truth:
    """Reads and writes the passages; safe for several processes.

    Raises:
        StoreError: the file was written by a newer Refinery.
        sqlite3.DatabaseError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._prepare()
            state = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if state != "ok":
                raise sqlite3.DatabaseError(state)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def replace(self, origin: str, passages: Iterable[Passage]) -> bool:
        """Make these the passages of an origin; returns whether anything changed."""
        wanted = {passage.passage_id: passage for passage in passages}
        if set(wanted) == self._ids(origin):
            return False
        with closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")  # readers see the old or the new guides, never half
            try:
                for stale in self._ids(origin) - set(wanted):
                    cursor.execute("DELETE FROM passages WHERE id = ?", (stale,))
                    cursor.execute("DELETE FROM words WHERE id = ?", (stale,))
                self._insert(cursor, wanted)
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
        return True

    def add(self, passages: Iterable[Passage]) -> int:
        """Add passages; returns how many were new."""
        wanted = {passage.passage_id: passage for passage in passages}
        with closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                new = self._insert(cursor, wanted)
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
        return new

    def passages(self) -> dict[str, Passage]:
        """All passages by id, in order of id."""
        rows = self._db.execute(
            "SELECT id, guide, heading, text, origin FROM passages ORDER BY id"
        )
        return {row[0]: Passage(row[1], row[2], row[3], origin=row[4]) for row in rows}

    def digest(self) -> str:
        """SHA-256 hex of all passage ids: changes whenever any passage does."""
        rows = self._db.execute("SELECT id FROM passages ORDER BY id")
        return sha256(b"".join(row[0].encode() for row in rows)).hexdigest()

    def rank(self, query: str, limit: int) -> list[str]:
        """Ids of passages that share words with the query, best first (BM25).

        Headings count three times, guide names twice; chosen by us: a heading says what its
        passage is about.
        """
        words = query_words(query)
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        rows = self._db.execute(
            "SELECT id FROM words WHERE words MATCH ? "
            "ORDER BY bm25(words, 0.0, 2.0, 3.0, 1.0), id LIMIT ?",
            (match, limit),
        )
        return [row[0] for row in rows]

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"the knowledge base has version {version}, newer than this program's "
                f"{SCHEMA_VERSION}",
                hint="upgrade refinery, or delete the knowledge folder to build it again",
            )
        if version == SCHEMA_VERSION:
            return
        self._db.execute("BEGIN IMMEDIATE")
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    def _ids(self, origin: str) -> set[str]:
        rows = self._db.execute("SELECT id FROM passages WHERE origin = ?", (origin,))
        return {row[0] for row in rows}

    def _insert(self, cursor: sqlite3.Cursor, wanted: dict[str, Passage]) -> int:
        new = 0
        for key, found in wanted.items():
            row = (key, found.guide, found.heading, found.text, found.origin)
            cursor.execute("INSERT OR IGNORE INTO passages VALUES (?, ?, ?, ?, ?)", row)
            if cursor.rowcount == 1:
                new += 1
                words = (key, found.guide, found.heading, with_parts(found.text))
                cursor.execute("INSERT INTO words VALUES (?, ?, ?, ?)", words)
        return new


def with_parts(text: str) -> str:
    """The text, followed by the parts of its camelCase words, which FTS5 does not split."""
    parts = [part for word in _TOKEN.findall(text) for part in _split(word)]
    return f"{text}\n{' '.join(parts)}" if parts else text


def query_words(query: str) -> Sequence[str]:
    """Distinct words of a query and their parts, without common ones, in order."""
    words: list[str] = []
    for token in _TOKEN.findall(query):
        words += [part.lower() for part in (token, *_split(token))]
    kept = dict.fromkeys(word for word in words if word not in COMMON)
    return list(kept)[:MAX_QUERY_WORDS]


def _split(word: str) -> list[str]:
    parts = _CAMEL.sub(" ", word).split()
    return parts if len(parts) > 1 else []
