"""A book of its own for what a test instruments by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refinery.recorders import _context
from refinery.recorders._book import Book
from refinery.recorders._origin import OriginReader
from tests.recorders._collect import ListSink


@contextmanager
def recording() -> Iterator[ListSink]:
    """Runs begun inside go to the sink; the first ones are roots."""
    sink = ListSink()
    token = _context.enter("outside", Book(sink, origin=OriginReader(Path.cwd())))
    try:
        yield sink
    finally:
        _context.leave(token)
