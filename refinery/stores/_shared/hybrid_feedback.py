"""Feedback and blobs of the hybrid store.

feedback_ids      feedback id → number, in order of arrival
feedback          number → trace id, run id, time, JSON
feedback_of       trace id (hash), time, number → nothing
feedback_waiting  run id (hash), number → nothing: its run is not there yet
blobs             reference → codec, bytes
blobs_of          trace id (hash), reference → nothing
traces_of         reference, trace id (hash) → nothing
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from refinery.errors import StoreError
from refinery.model.codec import decode, encode
from refinery.model.trace import Feedback
from refinery.stores._shared import hybrid_keys as keys
from refinery.stores._shared import packing
from refinery.stores._shared.hybrid_records import Records
from refinery.stores._shared.queries import bounded, clean

_DIGEST_CHARACTERS = 71
"""Length of a reference: `sha256:` and 64 digits."""


def write(records: Records, feedback: Sequence[Feedback]) -> None:
    """Write feedback, replacing what has the same id, and the labels that follow from it."""
    traces: set[str] = set()
    for item in map(_finite, feedback):
        encoded = encode(item)
        trace_id = encoded["trace_id"] or _trace_of(records, encoded["run_id"])
        traces |= {trace_id, *_drop(records, encoded["feedback_id"])}
        _add(records, trace_id, encoded["feedback_id"], item, json.dumps(encoded))
    for trace_id in traces - {""}:
        _save_label(records, trace_id)
    records.log()


def _finite(item: Feedback) -> Feedback:
    """Feedback whose score can be compared; one that is no number is kept as the value."""
    if item.score is None or math.isfinite(item.score):
        return item
    value = str(item.score) if item.value is None else item.value
    return replace(item, score=None, value=value)


def _add(records: Records, trace_id: str, feedback_id: str, item: Feedback, body: str) -> None:
    number = records.next_number("feedback")
    key = keys.of_number(number)
    created = bounded(item.created_ns)
    run_id = clean(item.run_id) if item.run_id is not None else None
    records.put("feedback_ids", keys.of_text(feedback_id), key)
    records.put("feedback", key, keys.pack([trace_id, run_id, created, body]))
    records.put("feedback_of", keys.short(trace_id) + keys.of_start(created, number))
    if not trace_id and run_id is not None:
        records.put("feedback_waiting", keys.short(run_id) + key)
    records.feedback.add(number)


def _drop(records: Records, feedback_id: str) -> set[str]:
    """Take out what has this id; returns the trace it belonged to, if any."""
    raw = records.get("feedback_ids", keys.of_text(feedback_id))
    if raw is None:
        return set()
    number = keys.to_number(raw)
    found = records.get("feedback", raw)
    records.drop("feedback_ids", keys.of_text(feedback_id))
    records.drop("feedback", raw)
    records.feedback.add(number)
    if found is None:
        return set()
    trace_id, run_id, created, _ = keys.unpack(found)
    records.drop("feedback_of", keys.short(trace_id) + keys.of_start(created, number))
    if run_id is not None:
        records.drop("feedback_waiting", keys.short(run_id) + raw)
    return {trace_id}


def _trace_of(records: Records, run_id: str | None) -> str:
    number = records.run_number(run_id) if run_id else None
    head = records.head(number) if number else None
    return str(head.columns[1]) if head else ""


def _save_label(records: Records, trace_id: str) -> None:
    record = records.trace_by_id(trace_id)
    if record is None or record.summary is None:
        return
    said = label(records, trace_id)
    if said != record.label:
        record.label = said
        records.save_trace(record, record.summary)


def read(records: Records, trace_id: str) -> list[Feedback]:
    """Feedback of a trace and its runs, oldest first."""
    found = []
    for key in records.keys("feedback_of", keys.short(trace_id)):
        raw = records.get("feedback", key[-8:])
        if raw is None:
            continue
        of, _, _, body = keys.unpack(raw)
        if of == trace_id:
            found.append(to_feedback(body, of))
    return found


def to_feedback(body: str, trace_id: str) -> Feedback:
    """Feedback from its record.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return decode(Feedback, json.loads(body) | {"trace_id": trace_id})
    except (ValueError, TypeError, RecursionError) as error:
        raise keys.damaged(f"feedback: {error}") from error


def label(records: Records, trace_id: str) -> str | None:
    """The outcome last said of a whole trace: `pass`, `fail` or None."""
    for item in reversed(read(records, trace_id)):
        if item.key == "label" and item.run_id is None:
            value = item.value
            outcome = value.get("outcome") if isinstance(value, dict) else value
            return outcome if outcome in ("pass", "fail") else None
    return None


def place(records: Records, run_ids: Iterable[str]) -> None:
    """Feedback that came before its run belongs to the trace of the run."""
    if records.count("feedback_waiting") == 0:
        return
    for run_id in run_ids:
        for key in list(records.keys("feedback_waiting", keys.short(run_id))):
            raw = records.get("feedback", key[-8:])
            if raw is None:
                continue
            _, of, _, body = keys.unpack(raw)
            if of != run_id:
                continue
            item = to_feedback(body, "")
            trace_id = _trace_of(records, run_id)
            _drop(records, clean(item.feedback_id))
            _add(records, trace_id, clean(item.feedback_id), item, body)


def drop_of_trace(records: Records, trace_id: str) -> None:
    """Delete the feedback of a trace."""
    for item in read(records, trace_id):
        _drop(records, clean(item.feedback_id))


def put_blob(records: Records, content: bytes, trace_id: str) -> str:
    """Keep bytes for a trace; returns their reference."""
    reference = _reference(content)
    name = reference.encode()
    if records.get("blobs", name) is None:
        codec, body = packing.pack(content)
        records.put("blobs", name, bytes((codec,)) + body)
    holder = keys.short(clean(trace_id))
    records.put("blobs_of", holder + name)
    records.put("traces_of", name + holder)
    return reference


def get_blob(records: Records, reference: str) -> bytes | None:
    """The bytes behind a reference; None when they are not kept.

    Raises:
        StoreError: they are not what was kept.
    """
    if len(reference) != _DIGEST_CHARACTERS:
        return None
    raw = records.get("blobs", reference.encode("utf-8", "replace"))
    if raw is None:
        return None
    try:
        content = packing.unpack(raw[0], raw[1:])
        if _reference(content) != reference:
            raise ValueError("its bytes have changed")
    except (ValueError, IndexError) as error:
        raise StoreError(
            f"{reference} in the hybrid store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error
    return content


def drop_blobs(records: Records, trace_id: str) -> None:
    """Take a trace's hold off its blobs; those nobody holds go."""
    holder = keys.short(trace_id)
    for key in list(records.keys("blobs_of", holder)):
        name = key[len(holder) :]
        records.drop("blobs_of", key)
        records.drop("traces_of", name + holder)
        if next(iter(records.keys("traces_of", name)), None) is None:
            records.drop("blobs", name)


def _reference(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
