"""Spool files: how the sink packs a batch of lines, and how a drain takes it apart again.

A file is a row of blocks, each written by one call and complete in itself: a frame of zstd
(`.jsonl.zst`), else a member of gzip (`.jsonl.gz`), where `zstd -dc` and `zcat` read the whole
file; or plain lines (`.jsonl`). In front of a frame stands a skippable frame (RFC 8878, 3.1.2)
with its packed and its plain size, in front of a member the same in an extra field (RFC 1952,
2.3.1.1), so a reader never unpacks more than it agreed to.

A line is a view of a run, `{"run", "source", "project"}`, or `{"shared": {key: text}}`: long
texts that views of the same block name instead of repeating.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

# At the top: a process that forks in the middle of an import leaves its child a module that is
# half there.
try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # absence of the module is the marker
try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]  # the same

PLAIN, GZIP, ZSTD = ".jsonl", ".jsonl.gz", ".jsonl.zst"
LEVEL = 1
"""Effort of compression, zstd's and zlib's alike; level 3 saves 6 % more bytes and costs half as
much time again (benchmarks/record.py)."""
MAX_BLOCK_BYTES = 256 << 20
"""Largest block, and longest plain line, that is read; anything larger is garbage."""
SHARED = "shared"
"""Key of a line with shared texts, and of the object `{"shared": key}` that names one."""

_ZSTD_HEAD = struct.Struct("<IIII")
_SKIPPABLE = 0x184D2A50
_GZIP_HEAD = struct.Struct("<4sI2sH2sHII")
_GZIP_START, _GZIP_END = b"\x1f\x8b\x08\x04", b"\x04\xff"
_FIELD = b"RF"


class _Format(Protocol):
    """One way to pack blocks."""

    suffix: str
    head_bytes: int

    def pack(self, text: bytes) -> bytes:
        """A block of lines, as it stands in the file."""
        ...

    def sizes(self, head: bytes) -> tuple[int, int] | None:
        """Packed and plain size told by the head of a block; None when it is no head."""
        ...

    def unpack(self, packed: bytes, size: int) -> bytes | None:
        """What follows the head, as lines of exactly `size` bytes; None when damaged."""
        ...


class _Zstd:
    suffix = ZSTD
    head_bytes = _ZSTD_HEAD.size

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)

    def pack(self, text: bytes) -> bytes:
        packed = self._compressor.compress(text)
        return _ZSTD_HEAD.pack(_SKIPPABLE, 8, len(packed), len(text)) + packed

    def sizes(self, head: bytes) -> tuple[int, int] | None:
        magic, follows, packed, plain = _ZSTD_HEAD.unpack(head)
        return (packed, plain) if (magic, follows) == (_SKIPPABLE, 8) else None

    def unpack(self, packed: bytes, size: int) -> bytes | None:
        try:
            if zstandard.get_frame_parameters(packed).content_size != size:
                return None
            text: bytes = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        except zstandard.ZstdError:
            return None
        return text


class _Gzip:
    suffix = GZIP
    head_bytes = _GZIP_HEAD.size

    def pack(self, text: bytes) -> bytes:
        work = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = work.compress(text) + work.flush()
        packed += struct.pack("<II", zlib.crc32(text), len(text) & 0xFFFFFFFF)
        sizes = (len(packed), len(text))
        return _GZIP_HEAD.pack(_GZIP_START, 0, _GZIP_END, 12, _FIELD, 8, *sizes) + packed

    def sizes(self, head: bytes) -> tuple[int, int] | None:
        start, _, end, extra, field, follows, packed, plain = _GZIP_HEAD.unpack(head)
        known = (start, end, extra, field, follows)
        return (packed, plain) if known == (_GZIP_START, _GZIP_END, 12, _FIELD, 8) else None

    def unpack(self, packed: bytes, size: int) -> bytes | None:
        work = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            text = work.decompress(packed[:-8], size + 1)
        except zlib.error:
            return None
        is_whole = len(text) == size and packed[-8:-4] == struct.pack("<I", zlib.crc32(text))
        return text if is_whole else None


class _Plain:
    suffix = PLAIN
    head_bytes = 0

    def pack(self, text: bytes) -> bytes:
        return text

    def sizes(self, head: bytes) -> tuple[int, int] | None:
        return None

    def unpack(self, packed: bytes, size: int) -> bytes | None:
        return None


def best_format() -> _Format:
    """The way to pack that this process can: zstd when it is importable, else gzip.

    `REFINERY_SPOOL_FORMAT=plain` (or `gzip`) asks for another.
    """
    asked = os.environ.get("REFINERY_SPOOL_FORMAT", "").lower()
    if asked == "plain":
        return _Plain()
    return _Zstd() if zstandard is not None and asked != "gzip" else _Gzip()


def spool_files(folder: Path) -> list[Path]:
    """The spool files in a folder, not those in folders inside it, by name."""
    return sorted(path for path in folder.iterdir() if path.name.endswith((PLAIN, GZIP, ZSTD)))


@dataclass(slots=True)
class Reader:
    """Reads the lines of one spool file from where the file stands."""

    file: IO[bytes]
    name: str
    """Name of the file; its end tells the format."""
    is_finished: bool
    """Whether its writer is gone: then a torn end is garbage, else it waits."""
    left_bytes: int | None = None
    """Plain bytes that may still be read; None: any amount."""

    def views(self) -> Iterator[dict[str, Any] | None]:
        """Documents of views, each with its shared texts in place; None for garbage.

        Afterwards the file stands behind the last whole block.
        """
        shared: dict[str, Any] = {}
        for line in self.lines():
            document = _parsed(line)
            texts = document.get(SHARED) if document is not None else None
            if isinstance(texts, dict):
                shared = texts
            else:
                yield _resolved(document, shared) if document is not None else None

    def lines(self) -> Iterator[bytes]:
        """Lines without their end; empty for garbage."""
        if self.name.endswith(ZSTD):
            if zstandard is None:
                return iter(())  # kept for whoever can read it
            return self._blocks(_Zstd())
        return self._blocks(_Gzip()) if self.name.endswith(GZIP) else self._plain()

    def _blocks(self, form: _Format) -> Iterator[bytes]:
        while head := self.file.read(form.head_bytes):
            sizes = form.sizes(head) if len(head) == form.head_bytes else (0, 0)
            if sizes is None or not self._may_read(max(sizes)):
                self.file.seek(0, os.SEEK_END)
                yield b""
                return
            packed = self.file.read(sizes[0])
            if len(head) < form.head_bytes or len(packed) < sizes[0]:
                if self.is_finished:
                    yield b""
                else:
                    self.file.seek(-len(head) - len(packed), os.SEEK_CUR)
                return
            text = form.unpack(packed, sizes[1])
            yield from text.splitlines() if text is not None else (b"",)

    def _plain(self) -> Iterator[bytes]:
        left = MAX_BLOCK_BYTES if self.left_bytes is None else self.left_bytes
        limit = min(MAX_BLOCK_BYTES, left)
        while self._may_read(0) and (line := self.file.readline(limit)):
            self._may_read(len(line))
            if line.endswith(b"\n"):
                yield line[:-1]
                continue
            if not self.is_finished and len(line) < limit:
                self.file.seek(-len(line), os.SEEK_CUR)
                return
            while len(line) == limit and not line.endswith(b"\n"):
                line = self.file.readline(limit)
            yield b""

    def _may_read(self, size: int) -> bool:
        if self.left_bytes is not None:
            self.left_bytes -= size
        return size <= MAX_BLOCK_BYTES and (self.left_bytes is None or self.left_bytes > 0)


def shared_line(texts: Iterable[tuple[str, bytes]]) -> bytes:
    """The line that tells shared texts, given as encoded JSON."""
    told = b",".join(b'"' + key.encode("ascii") + b'":' + text for key, text in texts)
    return b'{"shared":{' + told + b"}}\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line) if orjson is not None else json.loads(line)
    except (ValueError, RecursionError):
        document = _parsed_by_the_standard_library(line)
    return document if isinstance(document, dict) else None


def _parsed_by_the_standard_library(line: bytes) -> Any:
    """What orjson refuses: integers of more than 64 bits, odd numbers, lone surrogates."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _resolved(document: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """A view with the shared text of its entry point, the one place that may name one."""
    place: Any = document
    for name in ("run", "metadata", "refinery", "entry_point"):
        place = place.get(name) if isinstance(place, dict) else None
    named = place.get("dirty_diff") if isinstance(place, dict) else None
    if isinstance(named, dict):
        place["dirty_diff"] = shared.get(str(named.get(SHARED)))
    return document
