"""Reads a spans dataframe of Phoenix's client that was saved as Parquet."""

import math
from collections.abc import Iterator
from pathlib import Path

from refinery.adapters._shared.plain import as_object
from refinery.errors import PluginError, TraceFormatError
from refinery.model.trace import Json

MAGIC = b"PAR1"
"""First and last bytes of a Parquet file."""

_MAX_ROWS = 1_000_000


def documents_of_table(path: Path) -> Iterator[tuple[str, Json]]:
    """The rows of a Parquet file, each with its place for errors.

    Raises:
        PluginError: `pyarrow` is not installed.
        TraceFormatError: the file is damaged, or no spans dataframe.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise PluginError(
            f"reading {path} needs the library 'pyarrow', which is not installed",
            hint="pip install 'refinery[analytics]'",
        ) from error
    try:
        file = parquet.ParquetFile(path)
        if file.metadata.num_rows > _MAX_ROWS:
            raise TraceFormatError(f"{path} has more than {_MAX_ROWS} rows", hint="split the file")
        number = 0
        for batch in file.iter_batches(batch_size=500):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", _plain(as_object(row))
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, TraceFormatError):
            raise
        raise TraceFormatError(f"{path} is damaged: {error}", hint="export it again") from error


def _plain(value: Json) -> Json:
    """Values of a table as JSON: what is not there in a row is left out."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
