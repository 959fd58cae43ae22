"""Joins and encodes runs before they are written, in this process or in another one.

`pack` does it where no store is open; `prepare` takes what came from there and what is still to
be encoded, in order of arrival.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from refinery.model.merge import merge
from refinery.model.trace import Run
from refinery.ports import PackedRuns, RunBatch
from refinery.stores._shared import layout
from refinery.stores._shared.queries import clean

try:
    import orjson
except ImportError:  # an optional speed-up: json of the standard library does the same job
    orjson = None  # type: ignore[assignment]  # absence is checked where it is used

_About = dict[str, tuple[str, str | None]]
_SIZE = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came, joined and encoded."""

    runs: dict[str, Run]
    """By clean run id; of those that another process encoded only what had to be joined."""
    rows: dict[str, layout.RunRow]
    """All by clean run id, in order of arrival."""
    about: _About
    """Source and project of each trace, by clean trace id, as first said."""

    def run(self, key: str) -> Run:
        """A run as it came."""
        return self.runs.get(key) or _decoded(self.rows[key])


def prepare(given: Sequence[RunBatch | PackedRuns]) -> Prepared:
    """Join views of the same run, and encode what is not encoded yet."""
    runs: dict[str, Run] = {}
    rows: dict[str, layout.RunRow | None] = {}
    about: _About = {}
    for one in given:
        if isinstance(one, PackedRuns):
            packed_rows, packed_about = _unpacked(one)
            for key, row in packed_rows:
                _add_row(key, row, runs, rows)
            for trace, said in packed_about.items():
                _add_about(trace, said, about)
        else:
            _add_batch(one, runs, rows, about)
    encoded = {key: row or layout.to_row(runs[key]) for key, row in rows.items()}
    return Prepared(runs, encoded, about)


def pack(batches: Sequence[RunBatch]) -> PackedRuns:
    """The same for a store that another process has open."""
    prepared = prepare(batches)
    lines = [row.line for row in prepared.rows.values()]
    places = [(*row.columns, len(row.line)) for row in prepared.rows.values()]
    head = _dumped([places, prepared.about])
    return PackedRuns(b"".join((_SIZE.pack(len(head)), head, *lines)), len(lines))


def _unpacked(packed: PackedRuns) -> tuple[Iterator[tuple[str, layout.RunRow]], _About]:
    content = packed.content
    at = _SIZE.size + _SIZE.unpack_from(content)[0]
    head = content[_SIZE.size : at]
    places, about = _loads(head)
    return _rows(places, content, at), {trace: tuple(said) for trace, said in about.items()}


def _rows(places: list[list[Any]], content: bytes, at: int) -> Iterator[tuple[str, layout.RunRow]]:
    for *columns, size in places:
        yield columns[0], layout.RunRow(tuple(columns), content[at : at + size])
        at += size


def _add_batch(
    batch: RunBatch, runs: dict[str, Run], rows: dict[str, layout.RunRow | None], about: _About
) -> None:
    said = (clean(batch.source), clean(batch.project) if batch.project else None)
    for run in batch.runs:
        key = clean(run.run_id)
        runs[key] = merge(_known(key, runs, rows), run) if key in rows else run
        rows[key] = None
        _add_about(clean(run.trace_id), said, about)


def _add_row(
    key: str, row: layout.RunRow, runs: dict[str, Run], rows: dict[str, layout.RunRow | None]
) -> None:
    if key not in rows:
        rows[key] = row
        return
    runs[key] = merge(_known(key, runs, rows), _decoded(row))
    rows[key] = None


def _known(key: str, runs: dict[str, Run], rows: dict[str, layout.RunRow | None]) -> Run:
    row = rows[key]
    return runs[key] if row is None else _decoded(row)


def _decoded(row: layout.RunRow) -> Run:
    return layout.to_run(row.columns, row.line)


def _add_about(trace: str, said: tuple[str, str | None], about: _About) -> None:
    known = about.setdefault(trace, said)
    if known is not said:
        about[trace] = (said[0] if known[0] == "unknown" else known[0], known[1] or said[1])


def _dumped(value: Any) -> bytes:
    if orjson is not None:
        try:
            raw: bytes = orjson.dumps(value)
        except TypeError:  # a lone surrogate in a column
            pass
        else:
            return raw
    return json.dumps(value).encode()


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if orjson is not None else json.loads(raw)
    except ValueError:
        return json.loads(raw)
