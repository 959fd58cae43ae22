"""Reads other programs' SQLite files without changing them or anything beside them.

A file with a write-ahead log is copied together with it first: opening it in place would write a
`-shm` file beside it, and opening it without its log would lose what is only there.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from refinery.errors import InputError, TraceFormatError
from refinery.model.trace import Json

MAGIC = b"SQLite format 3\0"
"""First bytes of every SQLite file (sqlite.org/fileformat2, section 1.3)."""


def is_sqlite(head: bytes) -> bool:
    """Whether the beginning of a file is that of a SQLite file."""
    return head.startswith(MAGIC)


def columns(path: Path) -> dict[str, frozenset[str]]:
    """Column names by table name, both in lower case; empty when the file cannot be read."""
    try:
        with opened(path) as connection:
            names = [
                str(row["name"])
                for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")
            ]
            return {
                name.lower(): frozenset(
                    str(row["name"]).lower()
                    for row in connection.execute("SELECT * FROM pragma_table_info(?)", (name,))
                )
                for name in names
            }
    except (InputError, TraceFormatError):
        return {}


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads; rows are mappings by column name.

    Raises:
        InputError: the file cannot be read.
        TraceFormatError: it is damaged, here or while rows are read.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="refinery-") as folder:
            connection = sqlite3.connect(_address(path, Path(folder)), uri=True)
            connection.row_factory = _row
            connection.text_factory = _text
            try:
                connection.execute("PRAGMA query_only = ON")
                yield connection
            finally:
                connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged schema is no text
        raise TraceFormatError(
            f"{path} is damaged or being written: {error}",
            hint="stop the program that writes it, or copy it again together with its -wal file",
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}", hint="correct the path") from error


def _address(path: Path, folder: Path) -> str:
    log = path.with_name(path.name + "-wal")
    if not log.is_file() or log.stat().st_size == 0:
        return f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    copy = folder / "copy.db"
    shutil.copyfile(path, copy)
    shutil.copyfile(log, folder / "copy.db-wal")
    return f"{copy.as_uri()}?mode=ro"


def _row(cursor: sqlite3.Cursor, values: tuple[Json, ...]) -> Mapping[str, Json]:
    return {str(about[0]).lower(): v for about, v in zip(cursor.description, values, strict=True)}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
