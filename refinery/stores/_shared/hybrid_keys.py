"""Keys and values of the hybrid store's LMDB: ordered keys, values that carry a checksum.

LMDB orders keys by their bytes and allows 511 of them: numbers are big-endian, and of a long text
its beginning and its hash are kept. A value is CRC-32 and msgpack, so that a damaged page is told
of rather than read as something else.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import msgpack

from refinery.errors import StoreError

MAX_TEXT = 400
"""Bytes of a text that stand in a key; LMDB's own limit is 511 (lmdb.h, MDB_MAXKEYSIZE)."""

_OFFSET = 2**63
_KNOWN, _UNKNOWN = b"\1", b"\2"


def of_number(number: int) -> bytes:
    """Key of a number that is not negative."""
    return number.to_bytes(8, "big")


def to_number(key: bytes) -> int:
    """The number a key ends with."""
    return int.from_bytes(key[-8:], "big")


def of_text(text: str) -> bytes:
    """Key of a text; short ones keep their order, by code point."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > MAX_TEXT:
        encoded = encoded[:MAX_TEXT] + b"\0" + hashlib.sha256(encoded).digest()
    return b"=" + encoded


def short(text: str) -> bytes:
    """16 bytes that stand for a text inside a longer key; equal ones must be compared again."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def of_start(start_ns: int | None, number: int) -> bytes:
    """Key in the order of starts: known ones by time and number, then the unknown by number."""
    if start_ns is None:
        return _UNKNOWN + of_number(number)
    return _KNOWN + (start_ns + _OFFSET).to_bytes(8, "big") + of_number(number)


def has_start(key: bytes) -> bool:
    """Whether a key of `of_start` has one."""
    return key[:1] == _KNOWN


def start_of(key: bytes) -> int:
    """The start in a key of `of_start` that has one."""
    return int.from_bytes(key[1:9], "big") - _OFFSET


def pack(values: Sequence[Any]) -> bytes:
    """Values as bytes with their checksum in front."""
    packed: bytes = msgpack.packb(values)
    return zlib.crc32(packed).to_bytes(4, "big") + packed


def unpack(raw: bytes) -> list[Any]:
    """The values behind bytes of `pack`.

    Raises:
        StoreError: they are not what was written.
    """
    packed = raw[4:]
    if zlib.crc32(packed) != int.from_bytes(raw[:4], "big"):
        raise damaged("the checksum of a record does not fit")
    try:
        found = msgpack.unpackb(packed, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise damaged(str(error)) from error
    if not isinstance(found, list):
        raise damaged("a record is not a list")
    return found


def damaged(reason: str) -> StoreError:
    """The error of a record that cannot be what was written."""
    return StoreError(
        f"the hybrid store is damaged: {reason}",
        hint="rename its .lmdb folder and restore it from a copy; the DuckDB file beside it "
        "holds the columns of what was synced",
    )
