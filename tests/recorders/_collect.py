"""A sink that keeps documents in memory, and ways to look at the runs in them."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refinery.model.codec import decode_run
from refinery.model.merge import merge
from refinery.model.trace import Run
from refinery.recorders._book import Book
from refinery.recorders._origin import OriginReader
from refinery.recorders.langchain import RefineryCallbackHandler
from refinery.recorders.sink import Record
from refinery.recorders.spool_file import Reader, spool_files


def views(folder: Path) -> list[dict[str, Any]]:
    """Documents in the spool files of a folder, in order; none may be garbage."""
    found = []
    for path in spool_files(folder) if folder.is_dir() else ():
        with path.open("rb") as file:
            for view in Reader(file, path.name, is_finished=False).views():
                assert view is not None, f"garbage in {path.name}"
                found.append(view)
    return found


class ListSink:
    """Encodes records at once, as the writer thread would."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.lost: list[str] = []
        self.left_out = {"traces": 0, "failed": 0}

    def put(self, record: Record) -> bool:
        self.documents.append(json.loads(record.line(None)))
        return True

    def lose(self, reason: str) -> None:
        self.lost.append(reason)

    def leave_out(self, *, traces: int = 0, failed: int = 0) -> None:
        self.left_out["traces"] += traces
        self.left_out["failed"] += failed

    @property
    def runs(self) -> list[Run]:
        """Runs as a store would have them, in tree order."""
        found: dict[str, Run] = {}
        for document in self.documents:
            run = decode_run(document["run"])
            found[run.run_id] = merge(found[run.run_id], run) if run.run_id in found else run
        return sorted(found.values(), key=lambda run: run.dotted_order or "")

    def named(self, name: str) -> Run:
        return next(run for run in self.runs if run.name == name)

    def tree(self) -> Counter[tuple[str | None, str | None, str]]:
        """The multiset of (name, parent's name, status)."""
        by_id = {run.run_id: run for run in self.runs}
        return Counter(
            (run.name, by_id[run.parent_id].name if run.parent_id else None, str(run.status))
            for run in self.runs
        )


def recorder(root: Path | None = None) -> tuple[RefineryCallbackHandler, ListSink]:
    """A handler and the sink it fills."""
    sink = ListSink()
    book = Book(sink, origin=OriginReader(root or Path.cwd()))
    return RefineryCallbackHandler(book=book), sink


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises whatever it is given."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail
