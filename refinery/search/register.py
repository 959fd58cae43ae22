"""What the observability store holds, kept in SQLite beside its tables.

The tables have no transactions that span them; this file says what of them counts. An interaction
is written to the tables first and registered after, so a killed process leaves at most rows that
nobody registered, which the next owner removes.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from refinery import clock
from refinery.errors import StoreError
from refinery.model.trace import TraceSummary

FILE = "register.db"
SCHEMA_VERSION = 1
_BUSY_S = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS filled (
    trace_id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, fingerprint BLOB NOT NULL,
    text_hash BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS filled_by_text ON filled (text_hash);
"""


class DamagedRegisterError(Exception):
    """The register cannot be read; build the index again. Never leaves the search room."""


@dataclass(frozen=True, slots=True)
class About:
    """What the tables were made with."""

    folder: str
    """Name of the folder of the tables."""
    embedder: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Filled:
    """One interaction that the tables hold."""

    trace_id: str
    number: int
    """Its key in the tables, from 1."""
    fingerprint: bytes
    text_hash: bytes


def fingerprint(summary: TraceSummary) -> bytes:
    """12 bytes that change with anything a listing shows of a trace."""
    seen = (
        *(summary.name, str(summary.status), summary.runs, summary.errors),
        *(summary.start_ns, summary.end_ns, summary.source, summary.project),
        *(summary.session_id, summary.user_id, summary.total_tokens, summary.label),
    )
    return blake2b(repr(seen).encode("utf-8", "replace"), digest_size=12).digest()


class Register:
    """The open file; close it after use."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _explained(path):
            self._db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        self._path = path
        with _explained(path):
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES)
            version = self._value("schema_version")
        if version is None:
            self._set("schema_version", str(SCHEMA_VERSION))
        elif int(version) > SCHEMA_VERSION:
            self.close()
            raise StoreError(
                f"{path} was written by a newer version of refinery",
                hint="pip install --upgrade refinery",
            )

    def about(self) -> About | None:
        """What the tables were made with; None when there are none."""
        found = [self._value(key) for key in ("folder", "embedder", "dimensions")]
        if any(value is None for value in found):
            return None
        folder, embedder, dimensions = (str(value) for value in found)
        return About(folder, embedder, int(dimensions))

    def begin(self, about: About) -> None:
        """Forget everything registered and start with other tables, in one transaction."""
        with self._transaction():
            self._db.execute("DELETE FROM filled")
            self._db.execute("DELETE FROM about WHERE key <> 'schema_version'")
            for key in ("folder", "embedder", "dimensions"):
                self._set(key, str(getattr(about, key)))

    def fingerprints(self) -> dict[str, tuple[int, bytes]]:
        """Number and fingerprint of every registered trace, by trace id."""
        with _explained(self._path):
            rows = self._db.execute("SELECT trace_id, number, fingerprint FROM filled").fetchall()
        return {trace_id: (number, mark) for trace_id, number, mark in rows}

    def numbers(self, trace_ids: Iterable[str]) -> dict[str, int]:
        """Numbers of those that are registered, by trace id."""
        found: dict[str, int] = {}
        with _explained(self._path):
            for trace_id in trace_ids:
                row = self._db.execute(
                    "SELECT number FROM filled WHERE trace_id = ?", (trace_id,)
                ).fetchone()
                if row:
                    found[trace_id] = row[0]
        return found

    def traces(self, numbers: Sequence[int]) -> dict[int, str]:
        """Trace ids by number; numbers nobody registered are left out."""
        found: dict[int, str] = {}
        with _explained(self._path):
            for number in numbers:
                row = self._db.execute(
                    "SELECT trace_id FROM filled WHERE number = ?", (number,)
                ).fetchone()
                if row:
                    found[number] = row[0]
        return found

    def with_text(self, hashes: Iterable[bytes]) -> dict[bytes, int]:
        """A number whose embedded text has the hash, for each hash that is known."""
        found: dict[bytes, int] = {}
        with _explained(self._path):
            for one in hashes:
                row = self._db.execute(
                    "SELECT number FROM filled WHERE text_hash = ? LIMIT 1", (one,)
                ).fetchone()
                if row:
                    found[one] = row[0]
        return found

    def next_number(self) -> int:
        """The lowest number above all that are registered."""
        with _explained(self._path):
            row = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM filled").fetchone()
        return int(row[0])

    def count(self) -> int:
        """Number of registered interactions."""
        with _explained(self._path):
            return int(self._db.execute("SELECT count(*) FROM filled").fetchone()[0])

    def add(self, filled: Sequence[Filled]) -> None:
        """Register interactions, in one transaction."""
        rows = [(one.trace_id, one.number, one.fingerprint, one.text_hash) for one in filled]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO filled VALUES (?, ?, ?, ?)", rows)

    def remove(self, trace_ids: Iterable[str]) -> None:
        """Strike interactions out, in one transaction."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM filled WHERE trace_id = ?", [(one,) for one in trace_ids]
            )

    def facts(self) -> dict[str, str]:
        """Everything noted of the tables, by key."""
        with _explained(self._path):
            return dict(self._db.execute("SELECT key, value FROM about").fetchall())

    def note(self, facts: Mapping[str, str]) -> None:
        """Note facts of the tables, in one transaction."""
        with self._transaction():
            for key, value in facts.items():
                self._set(key, value)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _value(self, key: str) -> str | None:
        with _explained(self._path):
            row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def _set(self, key: str, value: str) -> None:
        with _explained(self._path):
            self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _explained(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def set_aside(path: Path) -> Path:
    """Rename a damaged register, so that a new one can be made; returns where it is."""
    aside = path.with_name(f"{clock.short_id('damaged')}.db")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{path} cannot be used: {error}",
            hint="check that its folder can be written, the disk is not full and no other program "
            "uses it",
        ) from error
    except (sqlite3.DatabaseError, ValueError) as error:
        raise DamagedRegisterError(str(error)) from error
