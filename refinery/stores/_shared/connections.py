"""Connections to the SQLite store's file that several threads, and forked children, may share."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refinery.errors import StoreError
from refinery.stores._shared import schema

_FORKED: list[sqlite3.Connection] = []
"""Connections inherited from a parent process: closing one would end the parent's locks."""


class Connection:
    """One connection, used by one thread at a time, made anew in a forked child."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None = None) -> None:
        """Make it; without a connection given it is opened when first used."""
        self._path = path
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._connection = connection
        self._is_closed = False

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection, held by this thread; errors of SQLite come out explained.

        Raises:
            StoreError: it is closed, or SQLite cannot do what is asked.
        """
        with self._lock, schema.explained(self._path):
            if self._is_closed:
                raise StoreError(f"the trace store {self._path} is closed", hint="open it again")
            if self._process != os.getpid():  # a connection must not be used across a fork
                if self._connection is not None:
                    _FORKED.append(self._connection)
                self._connection = None
                self._process = os.getpid()
            if self._connection is None:
                self._connection = schema.connect(self._path)
            yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside a write transaction."""
        with self.use() as connection, schema.transaction(connection):
            yield connection

    def close(self) -> None:
        """Release it; closing twice is harmless."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None
            self._is_closed = True


READERS = 4
"""Connections that read side by side: a slow search must not hold up the others."""

_LEFT: list[list[Connection]] = []
"""Connections a forked child does not use: they must not be closed there."""


class Readers:
    """Several connections, each opened when as many threads read at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self._all = [Connection(self._path) for _ in range(READERS)]
        self._free = list(self._all)
        self._places = threading.Semaphore(READERS)

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """A connection, held by this thread; errors of SQLite come out explained.

        Raises:
            StoreError: it is closed, or SQLite cannot do what is asked.
        """
        if self._process != os.getpid():  # other threads of the parent may have held some
            _LEFT.append(self._all)
            self._start_anew()
        places, free = self._places, self._free
        with places:
            chosen = free.pop()  # the one used last, whose pages are in its memory
            try:
                with chosen.use() as connection:
                    yield connection
            finally:
                free.append(chosen)

    def close(self) -> None:
        """Release them; closing twice is harmless."""
        for one in self._all:
            one.close()
