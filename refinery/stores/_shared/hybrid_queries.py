"""Questions to the hybrid store: filters and pages over LMDB's ordered keys."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from refinery.model.trace import Run, Trace
from refinery.ports import RunFilter, TraceFilter
from refinery.stores._shared import hybrid_keys as keys
from refinery.stores._shared import hybrid_words
from refinery.stores._shared.hybrid_records import Head, Records, TraceRecord
from refinery.stores._shared.queries import Place, bounded, clean

_HEAD = {"name": 3, "kind": 4, "status": 5, "session_id": 9, "user_id": 10}
"""Places of columns that a filter may ask for."""


def heads(
    records: Records, wanted: RunFilter, words: Sequence[str] | None, after: Place | None
) -> Iterator[Head]:
    """Matching runs behind a place, in the filter's order; those without a start come last."""
    chosen = _candidates(records, wanted, words)
    found = (
        _scanned(records, wanted, after)
        if chosen is None
        else _sorted(records, wanted, after, chosen)
    )
    fits = _test(records, wanted)
    return (head for head in found if fits(head))


def _candidates(
    records: Records, wanted: RunFilter, words: Sequence[str] | None
) -> set[int] | None:
    """Numbers that an index narrows the runs to; None when none does."""
    found: list[set[int]] = []
    if wanted.trace_id is not None:
        trace = records.trace_by_id(clean(wanted.trace_id))
        found.append({head.number for head in records.heads_of(trace.number)} if trace else set())
    if wanted.run_ids is not None:
        numbers = (records.run_number(clean(one)) for one in wanted.run_ids)
        found.append({number for number in numbers if number})
    if wanted.parent_id is not None:
        found.append({head.number for head in records.children(clean(wanted.parent_id))})
    if words is not None:
        found += [hybrid_words.runs_with(records, word) for word in words] or [set()]
    return set.intersection(*found) if found else None


def _sorted(
    records: Records, wanted: RunFilter, after: Place | None, numbers: set[int]
) -> Iterator[Head]:
    found = [head for number in numbers if (head := records.head(number))]
    ordered = sorted((keys.of_start(head.start_ns, head.number), head) for head in found)
    known = [item for item in ordered if keys.has_start(item[0])]
    unknown = [item for item in ordered if not keys.has_start(item[0])]
    if not wanted.is_oldest_first:
        known.reverse()
        unknown.reverse()
    for key, head in (*known, *unknown):
        if after is None or _is_behind(key, after, is_oldest_first=wanted.is_oldest_first):
            yield head


def _is_behind(key: bytes, after: Place, *, is_oldest_first: bool) -> bool:
    """Whether a key comes after a place in the order of a listing."""
    border = keys.of_start(after.start_ns, after.number)
    if keys.has_start(key) != keys.has_start(border):
        return not keys.has_start(key)
    return key > border if is_oldest_first else key < border


def _scanned(records: Records, wanted: RunFilter, after: Place | None) -> Iterator[Head]:
    for has_start in (True, False):
        if after is not None and has_start and after.start_ns is None:
            continue
        for key in _keys(records, "by_start", wanted.is_oldest_first, has_start, after, wanted):
            head = records.head(keys.to_number(key))
            if head is None:
                raise keys.damaged("a run in the order of starts is missing")
            yield head


def _keys(
    records: Records,
    name: str,
    is_oldest_first: bool,
    has_start: bool,
    after: Place | None,
    wanted: RunFilter | TraceFilter,
) -> Iterator[bytes]:
    """Keys of a listing, in its order, within its bounds of time."""
    low, high = _range(has_start, wanted)
    if after is not None and (after.start_ns is not None) == has_start:
        border = keys.of_start(after.start_ns, after.number)
        if is_oldest_first:
            low = max(low, border + b"\0")
        else:
            high = min(high, border)
    cursor = records.txn.cursor(db=records.dbs[name])
    if is_oldest_first:
        if cursor.set_range(low):
            for key in cursor.iternext(keys=True, values=False):
                if key >= high:
                    return
                yield key
        return
    is_placed = cursor.prev() if cursor.set_range(high) else cursor.last()
    if is_placed:
        for key in cursor.iterprev(keys=True, values=False):
            if key < low:
                return
            yield key


def _range(has_start: bool, wanted: RunFilter | TraceFilter) -> tuple[bytes, bytes]:
    """Half-open range of keys with, or without, a start."""
    if not has_start:
        if wanted.since_ns is not None or wanted.until_ns is not None:
            return b"\2", b"\2"
        return b"\2", b"\3"
    since, until = wanted.since_ns, wanted.until_ns
    low = b"\1" if since is None else keys.of_start(bounded(since), 0)
    if until is None or until >= 2**63:
        return low, b"\2"
    return low, keys.of_start(bounded(until), 0)


def _test(records: Records, wanted: RunFilter) -> Callable[[Head], bool]:
    """Whether a run fits what no index answers."""
    asked = [(at, clean(value)) for name, at in _HEAD.items() if (value := getattr(wanted, name))]
    asked += [(at, "") for name, at in _HEAD.items() if getattr(wanted, name) == ""]
    tests = _trace_tests(records, TraceFilter(project=wanted.project, owner=wanted.owner))
    traces_that_fit: dict[int, bool] = {}

    def is_in_fitting_trace(head: Head) -> bool:
        if head.trace not in traces_that_fit:
            record = records.trace(head.trace)
            fits = record is not None and all(test(record) for test in tests)
            traces_that_fit[head.trace] = fits
        return traces_that_fit[head.trace]

    def fits(head: Head) -> bool:
        if any(head.columns[at] != value for at, value in asked):
            return False
        if wanted.is_root is not None and (head.columns[2] is None) != wanted.is_root:
            return False
        if not _is_within(head.start_ns, wanted):
            return False
        return not tests or is_in_fitting_trace(head)

    return fits


def _is_within(start_ns: int | None, wanted: RunFilter) -> bool:
    if wanted.since_ns is None and wanted.until_ns is None:
        return True
    if start_ns is None:
        return False
    if wanted.since_ns is not None and start_ns < wanted.since_ns:
        return False
    return wanted.until_ns is None or start_ns < wanted.until_ns


def traces(
    records: Records, wanted: TraceFilter, words: Sequence[str] | None
) -> Iterator[TraceRecord]:
    """Matching traces, newest start first; those without a start come last."""
    with_words = None if words is None else _with_words(records, words)
    tests = _trace_tests(records, wanted)
    after = _place(records, wanted)
    for has_start in (True, False):
        if after is not None and has_start and after.start_ns is None:
            continue
        for key in _keys(records, "traces_by_start", False, has_start, after, wanted):
            number = keys.to_number(key)
            if with_words is not None and number not in with_words:
                continue
            record = records.trace(number)
            if record is None:
                raise keys.damaged("a trace in the order of starts is missing")
            if all(test(record) for test in tests):
                yield record


def _place(records: Records, wanted: TraceFilter) -> Place | None:
    """Where the page before ended; None for the first page."""
    if wanted.after is None:
        return None
    start_ns, trace_id = wanted.after
    last = records.trace_by_id(clean(trace_id))
    number = last.number if last else 2**63 - 1
    return Place(None if start_ns is None else bounded(start_ns), number)


def _with_words(records: Records, words: Sequence[str]) -> set[int]:
    """Numbers of the traces in whose runs all words stand, each in any of them."""
    of_trace: dict[int, int] = {}

    def trace(number: int) -> int:
        if number not in of_trace:
            head = records.head(number)
            of_trace[number] = head.trace if head else 0
        return of_trace[number]

    found = [{trace(run) for run in hybrid_words.runs_with(records, word)} for word in words]
    return set.intersection(*found) if found else set()


def _trace_tests(records: Records, wanted: TraceFilter) -> list[Callable[[TraceRecord], bool]]:
    tests: list[Callable[[TraceRecord], bool]] = []
    if wanted.status == "failed":
        tests.append(lambda one: value_of(one, "status") == "error" or one.label == "fail")
    elif wanted.status is not None:
        status = clean(wanted.status)
        tests.append(lambda one: value_of(one, "status") == status)
    for name in ("project", "source", "label", "session_id", "user_id"):
        if (value := getattr(wanted, name)) is not None:
            tests.append(_equals(name, clean(value)))
    if wanted.owner is not None:
        owner = clean(wanted.owner)
        tests.append(_equals("user_id", owner))
        tests.append(lambda one: _owner_of(records, one) == owner)
    if wanted.name is not None:
        part = clean(wanted.name).lower()
        tests.append(lambda one: part in str(value_of(one, "name")).lower())
    return tests


def _owner_of(records: Records, record: TraceRecord) -> str | None:
    """The one user a trace is of, as `Trace.owner` says it."""
    heads = records.heads_of(record.number)
    runs = tuple(
        Run(head.columns[0], record.trace_id, parent_id=head.columns[2], user_id=head.columns[10])
        for head in heads
    )
    return Trace(record.trace_id, runs).owner


def _equals(name: str, value: str) -> Callable[[TraceRecord], bool]:
    return lambda one: value_of(one, name) == value


def value_of(record: TraceRecord, name: str) -> Any:
    """A field of a trace, wherever its record keeps it."""
    if name in ("project", "source", "label"):
        return getattr(record, name)
    return getattr(record.summary, name) if record.summary else None
