"""Reads files that may be packed, huge, cut off or no text at all, with clear errors."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from refinery.adapters import HEAD_BYTES
from refinery.errors import InputError, TraceFormatError
from refinery.model.trace import Json

MAX_BYTES = 512 * 2**20
"""Most a file may unpack to; also stops archives made to fill the memory."""

_GZIP_MAGIC = b"\x1f\x8b"


def head(path: Path) -> bytes:
    """The unpacked beginning of a file, at most `HEAD_BYTES`.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: the file is packed and damaged.
    """
    return _read(path, HEAD_BYTES)


def content(path: Path) -> bytes:
    """The whole unpacked file.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it is damaged or too large.
    """
    found = _read(path, MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise TraceFormatError(
            f"{path} holds more than {MAX_BYTES // 2**20} MB", hint="split the file"
        )
    return found


def text(path: Path) -> str:
    """The whole unpacked file as UTF-8 text, without a byte order mark.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it is damaged, too large, or not UTF-8.
    """
    found = content(path)
    try:
        return found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = found.count(b"\n", 0, error.start) + 1
        raise TraceFormatError(
            f"{path} line {line}: not UTF-8 text", hint="save the file as UTF-8"
        ) from error


def parse(source: str, where: str) -> Json:
    """A JSON value.

    Args:
        source: the JSON text.
        where: what to call it in an error, e.g. `runs.jsonl line 3`.

    Raises:
        TraceFormatError: it is not JSON, is nested too deeply, or holds NaN.
    """
    try:
        return json.loads(source, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise TraceFormatError(f"{where}: nested too deeply", hint="correct the file") from error
    except ValueError as error:
        raise TraceFormatError(f"{where}: not JSON: {error}", hint="correct the file") from error


def lines(path: Path) -> Iterator[tuple[int, Json]]:
    """The JSON values of a file with one a line, with line numbers from 1; blank lines skipped.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: a line is not JSON; its number is in the message.
    """
    for number, line in enumerate(text(path).split("\n"), start=1):
        if line.strip():
            yield number, parse(line, f"{path} line {number}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _read(path: Path, limit: int) -> bytes:
    try:
        if not path.is_file():
            reason = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{path} {reason}", hint="give the path of a file")
        with path.open("rb") as file:
            if file.read(2) != _GZIP_MAGIC:
                file.seek(0)
                return file.read(limit)
        with gzip.open(path, "rb") as packed:
            return packed.read(limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceFormatError(f"{path} is damaged: {error}", hint="copy it again") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="correct the path") from error
