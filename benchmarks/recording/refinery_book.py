"""Refinery's recorder as every way in uses it: a run opened and closed in the book."""

import os
import sys
from pathlib import Path

from benchmarks.recording.workload import Payload, burst, report
from refinery import clock
from refinery.recorders._book import Book
from refinery.recorders._snapshot import fragment
from refinery.recorders.sink import shared_sink


def main() -> None:
    """Measure, or with `burst` record as many runs as possible at once."""
    book = Book(shared_sink(Path(os.environ["REFINERY_SPOOL"])), project="bench")

    def call(inputs: Payload, outputs: Payload) -> None:
        run_id = clock.new_uuid()
        held, size_bytes, source = fragment(inputs)
        fields = {"name": "call", "kind": "llm", "inputs": held}
        book.start(run_id, None, fields, size_bytes=size_bytes, source="bench", given=source)
        held, size_bytes, source = fragment(outputs)
        book.finish(run_id, {"outputs": held}, size_bytes=size_bytes, gave=source)

    if "burst" in sys.argv:
        burst(call)
    else:
        report(call, lambda: book.sink.flush(10))  # type: ignore[attr-defined]  # a SpoolSink


if __name__ == "__main__":
    main()
