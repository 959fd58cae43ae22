"""Asks the DuckDB copy of a store, which cannot be changed from here, nor anything else.

The file is opened to read only, without access to other files or the network and with its
configuration locked; besides, a question of the user's must be one SELECT or EXPLAIN.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinery import clock, plugins
from refinery.errors import BudgetError, InputError, RefusedError, StoreError

MAX_ROWS = 10_000
"""Most rows of one answer unless asked otherwise."""
TIMEOUT_S = 60.0
"""Longest a question of the user's may take."""
BUSY_TIMEOUT_S = 5.0

_ALLOWED = ("SELECT", "EXPLAIN")
_ZONED = "WITH TIME ZONE"
"""In DuckDB's names of types."""
_CONFIG = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
    "memory_limit": "2GB",
    "threads": "2",
}


@dataclass(frozen=True, slots=True)
class Table:
    """An answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool = False
    """Whether there were more rows."""

    def records(self) -> list[dict[str, Any]]:
        """Rows as objects by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Reader:
    """An open copy; made by `open_reader`."""

    def __init__(self, connection: Any, duckdb: Any) -> None:
        self._connection, self._duckdb = connection, duckdb

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a question of our own.

        Raises:
            StoreError: the copy cannot answer it.
        """
        try:
            rows: list[tuple[Any, ...]] = self._connection.execute(
                sql, list(parameters)
            ).fetchall()
        except self._duckdb.Error as error:
            raise StoreError(
                f"the DuckDB copy cannot be read: {_first_line(error)}",
                hint="delete the .duckdb file; it is filled anew",
            ) from error
        return rows

    def ask(self, sql: str, *, max_rows: int = MAX_ROWS, timeout_s: float = TIMEOUT_S) -> Table:
        """The answer to a question of the user's.

        Raises:
            InputError: it is not SQL, or names what is not there.
            RefusedError: it is more than one statement, not a SELECT, or reaches elsewhere.
            BudgetError: it took too long, or too much memory.
        """
        duckdb = self._duckdb
        statement = self._checked(sql)
        timer = threading.Timer(timeout_s, self._connection.interrupt)
        timer.start()
        try:
            found = self._connection.execute(statement)
            columns = tuple(one[0] for one in found.description or ())
            if zoned := _zoned(statement.query, found.description or (), duckdb):
                found = self._connection.execute(zoned)
            rows = found.fetchmany(max_rows + 1)
        except duckdb.PermissionException as error:
            raise _refused(_first_line(error)) from error
        except duckdb.InterruptException as error:
            raise BudgetError(
                f"the query took longer than {timeout_s:.0f} s",
                hint="narrow it, or raise --timeout",
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise BudgetError(
                "the query needs more than 2 GB of memory", hint="narrow it"
            ) from error
        except (duckdb.Error, ValueError, OverflowError) as error:
            if "read-only" in str(error):
                raise _refused("the copy is read-only") from error
            raise InputError(
                f"the query cannot be answered: {_first_line(error)}",
                hint="tables: runs, traces, feedback, model_calls; `DESCRIBE runs` lists columns",
            ) from error
        finally:
            timer.cancel()
        return Table(columns, tuple(tuple(row) for row in rows[:max_rows]), len(rows) > max_rows)

    def _checked(self, sql: str) -> Any:
        """The one statement of a question, when it only reads."""
        try:
            statements = self._duckdb.extract_statements(sql.encode("utf-8", "replace").decode())
        except (self._duckdb.Error, ValueError) as error:
            raise InputError(
                f"this is not SQL: {_first_line(error)}", hint='e.g. "SELECT name FROM runs"'
            ) from error
        if len(statements) != 1:
            raise (
                _refused(f"{len(statements)} statements")
                if statements
                else InputError("the query is empty", hint='e.g. "SELECT name FROM runs"')
            )
        kind = str(statements[0].type).rpartition(".")[2]
        if kind not in _ALLOWED:
            raise _refused(f"a statement of kind {kind}")
        return statements[0]


@contextlib.contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """A reader of a copy; fillers wait until it is closed.

    Raises:
        StoreError: another program writes to the file, or it is damaged.
        PluginError: DuckDB is not installed.
    """
    duckdb = _load()
    with _shared(path):
        try:
            connection = duckdb.connect(str(path), read_only=True, config=_CONFIG)
        except duckdb.Error as error:
            raise StoreError(
                f"{path} cannot be opened: {_first_line(error)}",
                hint="close the program that uses it, or delete it: it is filled anew",
            ) from error
        try:
            yield Reader(connection, duckdb)
        finally:
            connection.close()


def _load() -> Any:
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise plugins.missing("this", error, "analytics") from error
    return duckdb


@contextlib.contextmanager
def _shared(path: Path) -> Iterator[None]:
    """Hold the lock file of a copy beside other readers, as whoever fills it holds it alone."""
    try:
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", hint="correct the rights") from error
    try:
        deadline = clock.monotonic_s() + BUSY_TIMEOUT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if clock.monotonic_s() > deadline:
                    raise StoreError(
                        f"{path} has been filled by another program for more than "
                        f"{BUSY_TIMEOUT_S:.0f} s",
                        hint="try again when it is done",
                    ) from error
                time.sleep(0.01)
        yield
    finally:
        os.close(file)


def _zoned(query: str, description: Sequence[Sequence[Any]], duckdb: Any) -> Any:
    """The question with times that have a zone as texts; None when it has none of them.

    DuckDB hands those over by `pytz` alone, which it does not bring along.
    """
    has_zone = [_ZONED in str(one[1]) for one in description]
    if not any(has_zone):
        return None
    names = [f"c{at}" for at in range(len(has_zone))]
    shown = ", ".join(
        f"CAST({name} AS VARCHAR)" if is_zoned else name
        for name, is_zoned in zip(names, has_zone, strict=True)
    )
    while True:
        whole = f"SELECT {shown} FROM ({query}\n) AS asked({', '.join(names)})"  # noqa: S608  # one SELECT, as was checked
        try:
            (statement,) = duckdb.extract_statements(whole)
            return statement
        except duckdb.ParserException:
            query, end, _ = query.rpartition(";")  # what follows the last one is a comment
            if not end:
                return None


def _refused(what: str) -> RefusedError:
    return RefusedError(
        f"refused: {what}", hint="one SELECT on runs, traces, feedback and model_calls is allowed"
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:500]
