"""The SQLite store's file: its tables, numbered migrations, opening and naming what is wrong."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refinery import clock
from refinery.errors import StoreError

APPLICATION_ID = 0x52464E59
"""`RFNY` in the file's header tells our files from other programs' (sqlite.org/fileformat2)."""

BUSY_TIMEOUT_S = 5.0

CACHE_KIB = 16_384
"""Memory for pages of a connection: random run ids touch many pages of their index."""

CHECKPOINT_PAGES = 4_000
"""Pages (of 4 KiB) in the log before they are copied into the file: a page that is changed often
is copied less often. SQLite's own 1,000 costs a tenth more (`benchmarks/store.py`)."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE traces (
            trace_id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL,
            runs INTEGER NOT NULL, errors INTEGER NOT NULL, start_ns INTEGER, end_ns INTEGER,
            source TEXT NOT NULL, project TEXT, session_id TEXT, user_id TEXT,
            total_tokens INTEGER, label TEXT)""",
        "CREATE INDEX traces_by_start ON traces (start_ns DESC)",
        "CREATE INDEX traces_by_status ON traces (status, start_ns DESC)",
        "CREATE INDEX traces_by_label ON traces (label, start_ns DESC) WHERE label IS NOT NULL",
        "CREATE INDEX traces_by_session ON traces (session_id) WHERE session_id IS NOT NULL",
        "CREATE INDEX traces_by_user ON traces (user_id) WHERE user_id IS NOT NULL",
        """CREATE TABLE runs (
            number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, trace_id TEXT NOT NULL,
            parent_id TEXT, name TEXT, kind TEXT, status TEXT, start_ns INTEGER, end_ns INTEGER,
            tokens INTEGER, session_id TEXT, user_id TEXT, codec INTEGER NOT NULL,
            body BLOB NOT NULL)""",
        "CREATE INDEX runs_by_trace ON runs (trace_id)",
        "CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'unicode61')",
        """CREATE TABLE feedback (
            feedback_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, run_id TEXT, key TEXT NOT NULL,
            created_ns INTEGER NOT NULL, body TEXT NOT NULL)""",
        "CREATE INDEX feedback_by_trace ON feedback (trace_id, created_ns)",
    ),
    (
        "ALTER TABLE traces RENAME TO old_traces",
        "ALTER TABLE runs RENAME TO old_runs",
        """CREATE TABLE traces (
            number INTEGER PRIMARY KEY, trace_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
            status TEXT NOT NULL, runs INTEGER NOT NULL, errors INTEGER NOT NULL,
            start_ns INTEGER, end_ns INTEGER, source TEXT NOT NULL, project TEXT,
            session_id TEXT, user_id TEXT, total_tokens INTEGER, label TEXT,
            root INTEGER, root_rank INTEGER, first_ns INTEGER, last_ns INTEGER, ended INTEGER,
            is_nested INTEGER)""",
        """CREATE TABLE payloads (
            number INTEGER PRIMARY KEY, codec INTEGER NOT NULL, live INTEGER NOT NULL,
            body BLOB NOT NULL)""",
        """CREATE TABLE runs (
            number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, trace INTEGER NOT NULL,
            parent_id TEXT, name TEXT, kind TEXT, status TEXT, start_ns INTEGER, end_ns INTEGER,
            tokens INTEGER, session_id TEXT, user_id TEXT, payload INTEGER NOT NULL,
            slot INTEGER NOT NULL)""",
        """INSERT INTO traces
            SELECT rowid, trace_id, name, status, runs, errors, start_ns, end_ns, source, project,
                session_id, user_id, total_tokens, label, NULL, NULL, NULL, NULL, NULL, NULL
            FROM old_traces""",
        "INSERT INTO payloads SELECT number, codec, 1, body FROM old_runs",
        """INSERT INTO runs
            SELECT old.number, run_id, traces.number, parent_id, old.name, kind, old.status,
                old.start_ns, old.end_ns, tokens, old.session_id, old.user_id, old.number, 0
            FROM old_runs AS old JOIN traces USING (trace_id) ORDER BY old.number""",
        "DROP TABLE old_runs",
        "DROP TABLE old_traces",
        "CREATE INDEX traces_by_start ON traces (start_ns)",
        "CREATE INDEX traces_by_status ON traces (status, start_ns)",
        "CREATE INDEX traces_by_project ON traces (project, start_ns) WHERE project IS NOT NULL",
        "CREATE INDEX traces_by_label ON traces (label, start_ns) WHERE label IS NOT NULL",
        "CREATE INDEX traces_by_session ON traces (session_id) WHERE session_id IS NOT NULL",
        "CREATE INDEX traces_by_user ON traces (user_id) WHERE user_id IS NOT NULL",
        "CREATE INDEX runs_by_trace ON runs (trace)",
        "CREATE INDEX runs_by_parent ON runs (parent_id) WHERE parent_id IS NOT NULL",
        "CREATE INDEX runs_by_start ON runs (start_ns)",
        "CREATE INDEX runs_by_error ON runs (start_ns) WHERE status = 'error'",
        "CREATE INDEX runs_by_session ON runs (session_id, start_ns) WHERE session_id IS NOT NULL",
        "CREATE INDEX runs_by_user ON runs (user_id, start_ns) WHERE user_id IS NOT NULL",
        "CREATE INDEX feedback_waiting ON feedback (run_id) WHERE trace_id = ''",
        """CREATE TABLE blobs (
            reference TEXT PRIMARY KEY, codec INTEGER NOT NULL, body BLOB NOT NULL)""",
        """CREATE TABLE blobs_of_traces (
            trace_id TEXT NOT NULL, reference TEXT NOT NULL, PRIMARY KEY (trace_id, reference))
            WITHOUT ROWID""",
        "CREATE INDEX traces_of_blobs ON blobs_of_traces (reference)",
        "DROP TABLE texts",
        "CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', detail = none)",
        "CREATE TABLE indexed (through INTEGER NOT NULL)",
        "INSERT INTO indexed VALUES (0)",
        "CREATE TABLE unindexed (number INTEGER PRIMARY KEY)",
    ),
)
"""Statements of each schema version, from version 1; a released entry never changes."""

SCHEMA_VERSION = len(MIGRATIONS)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made private to the user when new, and bring its schema up to date.

    Raises:
        StoreError: the file cannot be used; it is left as it was.
    """
    with explained(path):
        _create(path)
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # Never opened here: closing any descriptor of the file would end the locks of this
        # process's other connections (fcntl(2)), and another process would delete their log.
        if path.is_dir():
            raise _not_opened(path, "it is a folder") from None
    except (OSError, ValueError) as error:
        raise _not_opened(path, getattr(error, "strerror", None) or error) from error


def _not_opened(path: Path, reason: object) -> StoreError:
    return StoreError(
        f"the trace store {path} cannot be opened: {reason}",
        hint="choose another place with --store or REFINERY_STORE, or correct its rights",
    )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check whose file it is, set it up, migrate it."""
    version = _version(connection, path)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {CHECKPOINT_PAGES * 4096}")
    _use_write_ahead_log(connection)
    if version == SCHEMA_VERSION:
        return
    with transaction(connection):
        for number in range(_version(connection, path), SCHEMA_VERSION):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_version VALUES (?, ?)", (number + 1, clock.now_ns())
            )


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the log mode; the switch itself does not wait for other processes, so retry."""
    deadline = clock.monotonic_s() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or clock.monotonic_s() > deadline:
                raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Schema version of the file; a new file is marked as ours and has version 0.

    Raises:
        StoreError: another program's file, or one of a newer version of this program.
    """
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    if tables and owner != APPLICATION_ID:
        raise StoreError(
            f"{path} is a database of another program, not a trace store",
            hint="choose another file with --store or REFINERY_STORE",
        )
    if "schema_version" not in tables:
        if not connection.in_transaction:
            with transaction(connection):
                _mark(connection)
        return 0
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    version = int(row[0] or 0)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the trace store {path} was written by a newer version of refinery "
            f"(schema {version}; this one reads up to {SCHEMA_VERSION})",
            hint="pip install --upgrade refinery",
        )
    return version


def _mark(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version "
        "(version INTEGER PRIMARY KEY, applied_ns INTEGER NOT NULL)"
    )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: all of it or, on any exception, nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite raises inside into a `StoreError` that says what to do."""
    try:
        yield
    except UnicodeDecodeError as error:  # Python reads a damaged TEXT value
        raise StoreError(f"the trace store {path} is damaged", hint=_SET_ASIDE) from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        for prefix, (message, hint) in _REASONS.items():
            if name.startswith(prefix):
                raise StoreError(f"the trace store {path} {message}", hint=hint) from error
        raise StoreError(
            f"the trace store {path} cannot be used: {error}", hint=_SET_ASIDE
        ) from error


_SET_ASIDE = "rename the file (nothing in it was changed) and a new store will be made"
_REASONS = {
    "SQLITE_BUSY": (
        f"has been in use by another program for more than {BUSY_TIMEOUT_S:.0f} s",
        "try again when the other program is done",
    ),
    "SQLITE_LOCKED": ("is in use by another thread", "try again"),
    "SQLITE_NOTADB": ("is not a trace store, or is damaged", _SET_ASIDE),
    "SQLITE_CORRUPT": ("is damaged", f"{_SET_ASIDE}; `sqlite3 FILE .recover` saves what it can"),
    "SQLITE_FULL": ("cannot grow: the disk is full", "free some space and try again"),
    "SQLITE_READONLY": ("cannot be written", "correct the rights of the file and its folder"),
    "SQLITE_CANTOPEN": ("cannot be opened", "correct the rights of the file and its folder"),
    "SQLITE_IOERR": ("cannot be read or written: the disk reports an error", "check the disk"),
}
