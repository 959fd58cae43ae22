"""Writes runs into the hybrid store: join, insert, sum up; all inside one LMDB transaction."""

from dataclasses import dataclass, field

from refinery.model.merge import merge
from refinery.stores._shared import hybrid_feedback, hybrid_words, layout
from refinery.stores._shared import hybrid_keys as keys
from refinery.stores._shared.hybrid_records import Head, Records, TraceRecord
from refinery.stores._shared.preparing import Prepared
from refinery.stores._shared.summaries import Change, RunColumns, Summary, grown, summarise


@dataclass(slots=True)
class _Touched:
    """A trace, and its runs as they were and are."""

    record: TraceRecord
    added: list[RunColumns] = field(default_factory=list)
    changed: list[tuple[RunColumns, RunColumns]] = field(default_factory=list)
    is_moved: bool = False
    """Runs have left or joined it from another trace."""


def write(records: Records, prepared: Prepared) -> int:
    """Write what was prepared; returns how many runs are new."""
    stored = {key: number for key in prepared.rows if (number := records.run_number(key))}
    traces: dict[str, _Touched] = {}
    changes: list[tuple[Head, layout.RunRow]] = []
    for key, number in stored.items():
        if change := _change(records, prepared, key, number):
            changes.append(change)
    fresh = {key: row for key, row in prepared.rows.items() if key not in stored}
    needed = {row.columns[1]: None for row in (*fresh.values(), *(row for _, row in changes))}
    for trace_id in {**needed, **prepared.about}:
        said = prepared.about.get(trace_id, ("unknown", None))
        if touched := _trace(records, trace_id, said, is_needed=trace_id in needed):
            traces[trace_id] = touched
    for old, row in changes:
        _update(records, old, row, traces)
    for key, row in fresh.items():
        _insert(records, key, row, traces[row.columns[1]])
    if fresh:
        hybrid_feedback.place(records, fresh)
    for touched in traces.values():
        _sum_up(records, touched)
    records.log()
    return len(fresh)


def _change(
    records: Records, prepared: Prepared, key: str, number: int
) -> tuple[Head, layout.RunRow] | None:
    """A stored run as it was and its new row; None when what came says no more of it."""
    head = records.head(number)
    if head is None:
        raise keys.damaged("a run is missing")
    given = prepared.rows[key]
    line = records.line(number)
    if given.columns == head.columns and given.line == line:
        return None
    old = layout.to_run(head.columns, line)
    both = merge(old, prepared.runs[key])
    return None if both == old else (head, layout.to_row(both))


def _trace(
    records: Records, trace_id: str, said: tuple[str, str | None], *, is_needed: bool
) -> _Touched | None:
    """The trace of that id, made when it is needed and new.

    What is said first of a trace's source and project stays: it fills what is unknown only.
    """
    record = records.trace_by_id(trace_id)
    if record is None:
        if not is_needed:
            return None
        label = hybrid_feedback.label(records, trace_id)
        number = records.next_number("traces")
        return _Touched(TraceRecord(number, trace_id, *said, label, None))
    is_told = record.source == "unknown" and said[0] != "unknown"
    is_filed = record.project is None and said[1]
    if is_told or is_filed:
        record.source = said[0] if is_told else record.source
        record.project = record.project or said[1]
        assert record.summary is not None  # it is stored
        records.save_trace(record, record.summary)
        records.runs.update(head.number for head in records.heads_of(record.number))
    return _Touched(record)


def _insert(records: Records, key: str, row: layout.RunRow, touched: _Touched) -> None:
    number = records.next_number("runs")
    records.put("run_ids", keys.of_text(key), keys.of_number(number))
    records.save_run(number, touched.record.number, row, None)
    run_id, _, *rest = row.columns
    touched.added.append(RunColumns(number, run_id, *rest))


def _update(records: Records, old: Head, row: layout.RunRow, traces: dict[str, _Touched]) -> None:
    hybrid_words.forget(records, old)
    touched = traces[row.columns[1]]
    records.save_run(old.number, touched.record.number, row, old)
    hybrid_words.await_index(records, old.number)
    if old.trace != touched.record.number:
        touched.is_moved = True
        if left := records.trace(old.trace):
            traces.setdefault(left.trace_id, _Touched(left)).is_moved = True
    now = RunColumns(old.number, row.columns[0], *row.columns[2:])
    touched.changed.append((old.summary_columns(), now))


def _sum_up(records: Records, touched: _Touched) -> None:
    record = touched.record
    if touched.is_moved:
        refresh(records, record)
        return
    if not touched.added and not touched.changed:
        return
    if record.summary is None and not touched.changed:
        records.save_trace(record, summarise(record.trace_id, touched.added))
        return
    summary = _grown(records, touched)
    if summary is None:
        refresh(records, record)
    else:
        records.save_trace(record, summary)


def _grown(records: Records, touched: _Touched) -> Summary | None:
    """The summary from the old one and what changed; None when all runs must be looked at."""
    old = touched.record.summary
    if old is None or old.root is None or old.is_nested:
        return None
    root = records.head(old.root)
    now = [*touched.added, *(new for _, new in touched.changed)]
    if root is None or any(_nests(records, run) for run in now):
        return None
    change = Change(root.summary_columns(), touched.added, touched.changed)
    return grown(touched.record.trace_id, old, change)


def _nests(records: Records, run: RunColumns) -> bool:
    """Whether a run is below a model call that says its tokens, or is one above others."""
    if run.is_counted and records.children(run.run_id):
        return True
    if run.parent_id is None:
        return False
    number = records.run_number(run.parent_id)
    parent = records.head(number) if number else None
    return parent is not None and parent.summary_columns().is_counted


def refresh(records: Records, record: TraceRecord) -> None:
    """Derive the summary of a trace from all its runs; a trace without runs goes."""
    runs = [head.summary_columns() for head in records.heads_of(record.number)]
    if runs:
        records.save_trace(record, summarise(record.trace_id, runs))
    elif record.summary is not None:
        records.drop_trace(record)
