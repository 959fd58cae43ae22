"""Looks over the pages of an LMDB file before LMDB does, which ends the process on a bad one.

The trees are walked from the newer meta page, level by level: every page must name itself, be
of the sort its depth asks for, and have its nodes inside. Layout: lmdb's `mdb.c`, structures
MDB_meta, MDB_db, MDB_page and MDB_node, 64 bits, version 1 of the format.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refinery import clock
from refinery.stores._shared.hybrid_keys import damaged

BUDGET_S = 0.1
"""Longest look at a file (chosen by us); of a large one only the upper levels are seen."""

_MAGIC = 0xBEEFC0DE
_HEADER = struct.Struct("<QHHHH")
_META = struct.Struct("<IIQQ")
_DB = struct.Struct("<IHHQQQQQ")
_NODE = struct.Struct("<HHHH")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUB = 1, 2
_NONE = 2**64 - 1


@dataclass(frozen=True, slots=True)
class _Tree:
    """Root page of a database and the levels it has."""

    root: int
    depth: int


def check(file: Path) -> None:
    """See that LMDB can walk a file.

    Raises:
        StoreError: it cannot; nothing was changed.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        if size < 2 * 4096:
            raise damaged(f"{file} is cut off")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _Pages(content, file).check()


class _Pages:
    """The pages of one file."""

    def __init__(self, content: mmap.mmap, file: Path) -> None:
        self._content, self._file = content, file
        self._size = os.sysconf("SC_PAGE_SIZE")
        self._count = len(content) // self._size

    def check(self) -> None:
        """Walk the trees, upper levels first, while the budget lasts."""
        until_s = clock.monotonic_s() + BUDGET_S
        level = [(tree.root, tree.depth) for tree in self._roots()]
        while level:
            below: list[tuple[int, int]] = []
            for page, depth in level:
                below += self._below(page, depth)
                if clock.monotonic_s() > until_s:
                    return
            level = below

    def _roots(self) -> Iterator[_Tree]:
        """The free list and the main tree of the newer meta page."""
        metas = []
        for page in (0, 1):
            at = page * self._size + _HEADER.size
            magic, _, _, _ = _META.unpack_from(self._content, at)
            if magic != _MAGIC:
                raise damaged(f"{self._file} is not an LMDB file")
            at += _META.size
            last, transaction = struct.unpack_from("<QQ", self._content, at + 2 * _DB.size)
            metas.append((transaction, last, at))
        _, last, at = max(metas)
        if last >= self._count:
            raise damaged(f"{self._file} is cut off: {self._count} of {last + 1} pages")
        for number in (0, 1):
            if tree := self._tree(at + number * _DB.size):
                yield tree

    def _tree(self, at: int) -> _Tree | None:
        """The database described at a place; None when it is empty."""
        _, _, depth, _, _, _, _, root = _DB.unpack_from(self._content, at)
        if root == _NONE:
            return None
        if depth > 32:
            raise self._bad(root)
        return _Tree(root, depth)

    def _below(self, page: int, depth: int) -> Iterator[tuple[int, int]]:
        """Pages below one, each with its depth, the page itself being looked over."""
        if not 2 <= page < self._count or depth < 1:
            raise self._bad(page)
        base = page * self._size
        own, _, flags, lower, upper = _HEADER.unpack_from(self._content, base)
        wanted = _LEAF if depth == 1 else _BRANCH
        is_placed = _HEADER.size <= lower <= upper <= self._size and lower % 2 == 0
        if own != page or flags & 0xF != wanted or flags & ~0x13 or not is_placed:
            raise self._bad(page)
        places = struct.unpack_from(f"<{(lower - 16) // 2}H", self._content, base + 16)
        if not places or min(places) < upper or max(places) > self._size - _NODE.size:
            raise self._bad(page)
        for place in places:
            yield from self._node(page, place, depth)

    def _node(self, page: int, place: int, depth: int) -> Iterator[tuple[int, int]]:
        at = page * self._size + place
        low, high, flags, key = _NODE.unpack_from(self._content, at)
        end = place + _NODE.size + key
        if depth > 1:
            if end > self._size:
                raise self._bad(page)
            yield low | high << 16 | flags << 32, depth - 1
            return
        length = low | high << 16
        if end + (8 if flags & _BIG else length) > self._size or flags & ~(_BIG | _SUB):
            raise self._bad(page)
        value = at + _NODE.size + key
        if flags & _BIG:
            self._check_overflow(struct.unpack_from("<Q", self._content, value)[0], length)
        elif flags & _SUB and length == _DB.size and (tree := self._tree(value)):
            yield tree.root, tree.depth

    def _check_overflow(self, page: int, length: int) -> None:
        if not 2 <= page < self._count:
            raise self._bad(page)
        own, _, flags, low, high = _HEADER.unpack_from(self._content, page * self._size)
        pages = low | high << 16
        is_enough = pages * self._size >= length + _HEADER.size and page + pages <= self._count
        if own != page or flags & 0xF != _OVERFLOW or not is_enough:
            raise self._bad(page)

    def _bad(self, page: int) -> Exception:
        return damaged(f"page {page} of {self._file} is none of LMDB's")
