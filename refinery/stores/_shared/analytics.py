"""The DuckDB copy of a store: runs, traces and feedback as columns for SQL.

The copy is derived: whoever fills it knows from where (`origin`) and up to what (`through`), both
written in the transaction that writes the rows. A damaged copy, or one of another schema, is put
aside and filled anew. Times are nanoseconds UTC; numbers that are not finite are null.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinery import clock, plugins
from refinery.errors import StoreError

SCHEMA_VERSION = 2
"""Version of the tables and of what stands in them; a copy of another one is filled anew."""

MAX_TEXT = 8_000
"""Characters of inputs, outputs and error messages that are copied."""

RUNS: dict[str, str] = {
    "number": "BIGINT",
    **dict.fromkeys(("run_id", "trace_id", "parent_id", "name", "kind", "layer"), "VARCHAR"),
    "status": "VARCHAR",
    "start_ns": "BIGINT",
    "end_ns": "BIGINT",
    "duration_ms": "DOUBLE",
    **dict.fromkeys(("session_id", "user_id", "project", "source", "provider"), "VARCHAR"),
    "model": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "total_tokens": "BIGINT",
    "cost_usd": "DOUBLE",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    **dict.fromkeys(("variant", "code_module", "code_qualname", "code_file"), "VARCHAR"),
    "code_line": "BIGINT",
    "code_commit": "VARCHAR",
    **dict.fromkeys(("cpu_ms", "wall_ms", "rss_bytes", "rss_delta_bytes", "io_bytes"), "DOUBLE"),
    "inputs": "VARCHAR",
    "outputs": "VARCHAR",
    "print": "UBIGINT",
}
"""Columns of `runs`; `print` is a fingerprint of everything the store holds of the run."""

TRACES: dict[str, str] = {
    "number": "BIGINT",
    **dict.fromkeys(("trace_id", "name", "status"), "VARCHAR"),
    **dict.fromkeys(("runs", "errors", "start_ns", "end_ns"), "BIGINT"),
    **dict.fromkeys(("source", "project", "session_id", "user_id"), "VARCHAR"),
    "total_tokens": "BIGINT",
    "label": "VARCHAR",
    "is_nested": "BIGINT",
}
FEEDBACK: dict[str, str] = {
    "number": "BIGINT",
    **dict.fromkeys(("feedback_id", "trace_id", "run_id", "key"), "VARCHAR"),
    "score": "DOUBLE",
    **dict.fromkeys(("value", "comment", "source"), "VARCHAR"),
    "created_ns": "BIGINT",
}
TABLES: dict[str, dict[str, str]] = {"runs": RUNS, "traces": TRACES, "feedback": FEEDBACK}

_MODEL_CALLS = """CREATE VIEW model_calls AS
WITH RECURSIVE covering(run_id) AS (
    SELECT parent_id FROM runs
    WHERE total_tokens IS NOT NULL AND kind IN ('llm', 'embedding') AND parent_id IS NOT NULL
        AND trace_id IN (SELECT trace_id FROM traces WHERE is_nested = 1)
    UNION
    SELECT runs.parent_id FROM covering JOIN runs USING (run_id) WHERE runs.parent_id IS NOT NULL)
SELECT * FROM runs WHERE kind IN ('llm', 'embedding')
    AND run_id NOT IN (SELECT run_id FROM covering WHERE run_id IS NOT NULL)"""
"""Leaf model calls only: several SDKs repeat the tokens of a call in the runs above it."""

BUSY_TIMEOUT_S = 5.0
_LOCKED = "lock"


@dataclass(frozen=True, slots=True)
class Place:
    """What a copy holds."""

    origin: str
    """Which store it was filled from; empty: a new copy."""
    through: int
    """How far, in that store's own count."""
    token: str
    """Of the sync that wrote it last."""


class Copy:
    """The DuckDB file of a store, opened for each filling and each reading.

    Its lock file tells of which moment of the store it is, so that a copy that needs no filling
    is not opened, and whoever reads it is not waited for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.moment = ""
        """Set while filling: what the store was like; empty when that cannot be told."""

    def is_of(self, moment: str) -> bool:
        """Whether the copy was filled at a moment of its store, and not touched since."""
        try:
            noted = self._lock_file().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        return bool(moment) and noted == f"{moment}\n{self._looks()}"

    @contextlib.contextmanager
    def filling(self, timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[Any]:
        """A connection that may write, alone on the file.

        Raises:
            StoreError: another process uses the file for longer than that.
        """
        with locked(self.path, fcntl.LOCK_EX, timeout_s):
            self._lock_file().write_text("", encoding="utf-8")
            self.moment = ""
            connection = self._usable(timeout_s)
            try:
                yield connection
            finally:
                connection.close()
            if self.moment:
                noted = f"{self.moment}\n{self._looks()}"
                self._lock_file().write_text(noted, encoding="utf-8")

    def _lock_file(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def _looks(self) -> str:
        """What changes whenever the file does."""
        try:
            found = self.path.stat()
        except OSError:
            return ""
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"

    def _usable(self, timeout_s: float) -> Any:
        """A connection to a file of this schema; one that is not is put aside."""
        duckdb = load_duckdb()
        connection = None
        try:
            connection = connect(self.path, timeout_s)
            if _version(connection) in (None, SCHEMA_VERSION):
                _create(connection)
                return connection
        except duckdb.Error as error:
            if _is_locked(error):
                raise busy(self.path, timeout_s) from error
        if connection is not None:
            with contextlib.suppress(duckdb.Error):
                connection.close()
        self._put_aside()
        connection = connect(self.path, timeout_s)
        _create(connection)
        return connection

    def _put_aside(self) -> None:
        """Rename a file that cannot be used, with its log."""
        wal = self.path.with_name(self.path.name + ".wal")
        for file in (self.path, wal):
            if file.exists():
                file.replace(file.with_name(f"{file.name}.damaged"))


@contextlib.contextmanager
def locked(path: Path, kind: int, timeout_s: float) -> Iterator[None]:
    """Hold the lock file of a copy: `fcntl.LOCK_EX` to fill it, `fcntl.LOCK_SH` to read it.

    Raises:
        StoreError: another process holds it for longer than that, or the folder is not usable.
    """
    try:
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be used: {error.strerror}", hint="correct the rights of its folder"
        ) from error
    try:
        deadline = clock.monotonic_s() + timeout_s
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if clock.monotonic_s() >= deadline:
                    raise busy(path, timeout_s) from error
                time.sleep(0.01)
        yield
    finally:
        os.close(file)


def busy(path: Path, timeout_s: float) -> StoreError:
    """The error of a file that others hold."""
    return StoreError(
        f"the DuckDB file {path} has been in use by another program for more than "
        f"{timeout_s:.0f} s",
        hint="close the other program; nothing is lost, the next sync takes what waits",
    )


def load_duckdb() -> Any:
    """The library.

    Raises:
        PluginError: it is not installed.
    """
    try:
        import duckdb
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise plugins.missing("this", error, "analytics") from error
    del pa
    return duckdb


def connect(path: Path, timeout_s: float) -> Any:
    """Open a DuckDB file to write, waiting for programs that hold it."""
    duckdb = load_duckdb()
    deadline = clock.monotonic_s() + timeout_s
    config = {"threads": "2", "autoinstall_known_extensions": "false"}
    while True:
        try:
            connection = duckdb.connect(str(path), config=config)
            path.chmod(0o600)  # it holds what the store holds, which is private as well
            return connection
        except duckdb.Error as error:
            if not _is_locked(error) or clock.monotonic_s() >= deadline:
                raise
        time.sleep(0.05)


def _is_locked(error: BaseException) -> bool:
    return _LOCKED in str(error).lower() and "could not set" in str(error).lower()


def _version(connection: Any) -> int | None:
    """Version of the tables; None in a new file, 0 when they are none of ours."""
    names = {
        row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    }
    if not names:
        return None
    if "copy_state" not in names:
        return 0
    row = connection.execute("SELECT schema_version FROM copy_state").fetchone()
    return int(row[0]) if row else 0


def _create(connection: Any) -> None:
    connection.execute("BEGIN")
    for table, columns in TABLES.items():
        body = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({body})")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS copy_state "
        "(schema_version INTEGER, origin VARCHAR, through BIGINT, token VARCHAR)"
    )
    if connection.execute("SELECT count(*) FROM copy_state").fetchone()[0] == 0:
        connection.execute("INSERT INTO copy_state VALUES (?, '', 0, '')", [SCHEMA_VERSION])
        connection.execute(_MODEL_CALLS)
    connection.execute("COMMIT")


def place(connection: Any) -> Place:
    """What the copy holds."""
    return Place(*connection.execute("SELECT origin, through, token FROM copy_state").fetchone())


def empty(connection: Any, origin: str) -> None:
    """Begin anew, for a store; part of a transaction of the caller's."""
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # our own names
    connection.execute("UPDATE copy_state SET origin = ?, through = 0", [origin])


def move_to(connection: Any, through: int, token: str) -> None:
    """Note how far the copy goes and who wrote it; part of the transaction that did."""
    connection.execute("UPDATE copy_state SET through = ?, token = ?", [through, token])


def save(
    connection: Any, table: str, rows: Sequence[Sequence[Any]], gone: Iterable[int] = ()
) -> None:
    """Write rows in place of those with the same numbers, and delete others; no transaction."""
    import pyarrow as pa

    numbers = pa.array([*(row[0] for row in rows), *gone], type=pa.int64())
    if len(numbers) == 0:
        return
    connection.register("numbers_now", pa.table({"number": numbers}))
    connection.execute(
        f"DELETE FROM {table} WHERE number IN (SELECT number FROM numbers_now)"  # noqa: S608  # our own names
    )
    connection.unregister("numbers_now")
    if not rows:
        return
    kinds = {
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "VARCHAR": pa.string(),
        "UBIGINT": pa.uint64(),
    }
    columns = zip(*rows, strict=True)
    fields = TABLES[table].items()
    made = {
        name: pa.array(values, type=kinds[kind])
        for (name, kind), values in zip(fields, columns, strict=True)
    }
    connection.register("rows_now", pa.table(made))
    connection.execute(f"INSERT INTO {table} SELECT * FROM rows_now")  # noqa: S608  # our own names
    connection.unregister("rows_now")
