"""Prints the records of a store whose library can take its process down with it.

    python -m refinery.adapters._shared.native_reader KIND PATH

LMDB maps its file into memory, and DuckDB and Lance are native code: a damaged file may end the
process instead of raising. So this runs as a child (`native.rows`) and prints one JSON line a
record: `{"table", "record"}`; a failure is one line on standard error and exit code 1.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from refinery.model.codec import encode
from refinery.model.trace import Json

MAX_RECORD_BYTES = 64 << 20
"""Largest record read."""
Row = tuple[str, Json]


def lmdb_rows(path: Path) -> Iterator[Row]:
    """Every record of the sub-database `records` of an LMDB environment."""
    import lmdb
    import msgpack

    # Read-only and without lock: the file may be a huge sparse one on a medium of its own.
    environment = lmdb.open(
        str(path), readonly=True, lock=False, max_dbs=16, subdir=path.is_dir(), readahead=False
    )
    with environment, environment.begin() as transaction:
        records = environment.open_db(b"records", transaction, create=False)
        for key, value in transaction.cursor(records):
            if len(value) > MAX_RECORD_BYTES:
                raise ValueError(f"record {key!r} is larger than {MAX_RECORD_BYTES} bytes")
            yield "records", msgpack.unpackb(value, raw=False, strict_map_key=False)


def duckdb_rows(path: Path) -> Iterator[Row]:
    """Every row of the table `records` of a DuckDB file."""
    import duckdb

    options: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": False,
        "autoinstall_known_extensions": False,
    }
    with duckdb.connect(str(path), read_only=True, config=options) as connection:
        found = connection.execute("SELECT * FROM records")
        names = [str(about[0]) for about in found.description or ()]
        while rows := found.fetchmany(1000):
            yield from (("records", dict(zip(names, row, strict=True))) for row in rows)


def lance_rows(path: Path) -> Iterator[Row]:
    """Every row of the four tables of a LanceDB folder, without the vectors."""
    import lancedb

    database = lancedb.connect(str(path))
    for name in ("users", "sessions", "interactions", "react_cycles"):
        if not (path / f"{name}.lance").is_dir():
            continue
        table = database.open_table(name).to_arrow()
        kept = [column for column in table.schema.names if not column.endswith("embedding")]
        for batch in table.select(kept).to_batches(max_chunksize=500):
            yield from ((name, row) for row in batch.to_pylist())


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "lmdb": lmdb_rows,
    "duckdb": duckdb_rows,
    "lance": lance_rows,
}


def main(kind: str, path: str) -> int:
    """Print the records; returns the exit code."""
    try:
        for table, record in READERS[kind](Path(path)):
            line = {"table": table, "record": encode(_with_times(record))}
            sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  # Rust panics are no `Exception`; it is told
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def _with_times(value: Any, depth: int = 0) -> Any:
    """Dates as ISO text, at any place."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if depth < 50 and isinstance(value, dict):
        return {str(key): _with_times(item, depth + 1) for key, item in value.items()}
    if depth < 50 and isinstance(value, list | tuple):
        return [_with_times(item, depth + 1) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
