"""What the hybrid store answers with, and what it does to whole traces."""

from collections.abc import Sequence
from pathlib import Path

from refinery import clock
from refinery.errors import StoreError
from refinery.model.trace import RunStatus, TraceSummary
from refinery.ports import StoredRun, Tally, TraceFilter
from refinery.stores._shared import (
    hybrid_feedback,
    hybrid_keys,
    hybrid_queries,
    hybrid_records,
    hybrid_words,
    queries,
)
from refinery.stores._shared.hybrid_records import Head, Records, TraceRecord


def check(records: Records, base: Path) -> None:
    """See of which version a store is; mark a new one.

    Raises:
        StoreError: it was written by a newer version of this program.
    """
    version = records.number("schema_version")
    if version > hybrid_records.SCHEMA_VERSION:
        raise StoreError(
            f"the hybrid store {base} was written by a newer version of refinery "
            f"(schema {version}; this one reads up to {hybrid_records.SCHEMA_VERSION})",
            hint="pip install --upgrade refinery",
        )
    if version == 0:
        records.set_number("schema_version", hybrid_records.SCHEMA_VERSION)
        records.put("meta", b"store_id", clock.new_uuid().encode())


def stored(records: Records, head: Head) -> StoredRun:
    """A run with what is known of its trace."""
    trace = records.trace(head.trace)
    about = (trace.source, trace.project) if trace else ("unknown", None)
    return StoredRun(records.run(head), *about)


def summary(record: TraceRecord) -> TraceSummary:
    """The line of a trace in a list.

    Raises:
        StoreError: it is damaged.
    """
    of = record.summary
    assert of is not None  # it was read from the store
    try:
        status = RunStatus(of.status)
    except ValueError as error:
        raise hybrid_keys.damaged(f"trace {record.trace_id}: {error}") from error
    return TraceSummary(
        record.trace_id,
        of.name,
        status,
        of.runs,
        of.errors,
        of.start_ns,
        of.end_ns,
        record.source,
        record.project,
        of.session_id,
        of.user_id,
        of.total_tokens,
        record.label,
    )


def delete(records: Records, trace_ids: Sequence[str]) -> int:
    """Delete traces with all they hold; returns how many there were."""
    deleted = 0
    for trace_id in trace_ids:
        hybrid_feedback.drop_of_trace(records, trace_id)
        hybrid_feedback.drop_blobs(records, trace_id)
        record = records.trace_by_id(trace_id)
        if record is None:
            continue
        for head in records.heads_of(record.number):
            hybrid_words.forget(records, head)
            records.drop_run(head)
        records.drop_trace(record)
        deleted += 1
    records.log()
    return deleted


def tally(records: Records, field: str, limit: int) -> list[Tally]:
    """Values of a field of traces, those with the latest trace first; null is none.

    Raises:
        InputError: traces are not counted by that field.
    """
    queries.tally(field)  # refuses what is no such field
    found: dict[str, list[TraceRecord]] = {}
    for record in hybrid_queries.traces(records, TraceFilter(), None):
        value = hybrid_queries.value_of(record, field)
        if value is not None:
            found.setdefault(value, []).append(record)
    tallies = [_tallied(name, several) for name, several in found.items()]
    newest = sorted(tallies, key=lambda one: one.name)
    newest.sort(key=lambda one: -(2**63) if one.last_ns is None else one.last_ns, reverse=True)
    return newest[: max(0, limit)]


def _tallied(name: str, several: Sequence[TraceRecord]) -> Tally:
    starts = [record.start_ns for record in several if record.start_ns is not None]
    failed = [
        record.label == "fail" or hybrid_queries.value_of(record, "status") == "error"
        for record in several
    ]
    return Tally(
        name, len(several), sum(failed), min(starts, default=None), max(starts, default=None)
    )
