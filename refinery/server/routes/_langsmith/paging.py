"""Pages of runs: the store's order, filtered, with cursors that neither overlap nor skip.

A cursor says where in the store's order the last run of a page was: the batch it was read in, its
start and its id. What arrives between two pages in front of that place is not shown again.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from refinery import clock
from refinery.errors import InputError
from refinery.ports import RunFilter, Store, StoredRun
from refinery.server.routes._langsmith.around import BATCH

PAGE_BYTES = 32 * 2**20
"""A page ends early when it gets larger than this, with a cursor to go on."""

LOOK_AHEAD_S = 2.0
"""Longest look whether a page was the last one; clients give up after 10 s."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the store's order: behind one run."""

    batch: str | None
    """The store's cursor of the batch the run was read in; None: the first one."""
    start_ns: int | None
    run_id: str

    def text(self) -> str:
        """The mark as an opaque cursor."""
        raw = json.dumps([self.batch, self.start_ns, self.run_id]).encode()
        return base64.urlsafe_b64encode(raw).decode("ascii")


@dataclass(frozen=True, slots=True)
class Page:
    """Rendered runs in order, and the cursor of the next page; None on the last one."""

    items: tuple[bytes, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What to list: the store's part of the filter, and the rest."""

    wanted: RunFilter
    accepts: Callable[[StoredRun], bool]
    limit: int
    cursor: str | None = None


def read_cursor(text: str | None) -> Mark | None:
    """The place a cursor names; None for the beginning.

    Raises:
        InputError: it is none of ours.
    """
    if text is None:
        return None
    try:
        batch, start_ns, run_id = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise _no_cursor(text) from error
    is_start = start_ns is None or (isinstance(start_ns, int) and not isinstance(start_ns, bool))
    if not (is_start and isinstance(run_id, str) and isinstance(batch, str | None)):
        raise _no_cursor(text)
    return Mark(batch, start_ns, run_id)


def read_page(store: Store, listing: Listing, render: Callable[[StoredRun], bytes]) -> Page:
    """One page of runs that fit.

    Raises:
        InputError: the cursor is none of ours.
    """
    items: list[bytes] = []
    size, last = 0, None
    ends_s = None
    for stored, mark in _walk(store, listing.wanted, read_cursor(listing.cursor)):
        is_full = len(items) >= listing.limit or size >= PAGE_BYTES
        if is_full and ends_s is None:
            ends_s = clock.monotonic_s() + LOOK_AHEAD_S
        if is_full and last is not None and ends_s is not None and clock.monotonic_s() > ends_s:
            return Page(tuple(items), last.text())
        if not listing.accepts(stored):
            continue
        if is_full and last is not None:
            return Page(tuple(items), last.text())
        items.append(render(stored))
        size += len(items[-1])
        last = mark
    return Page(tuple(items))


def _walk(store: Store, wanted: RunFilter, after: Mark | None) -> Iterator[tuple[StoredRun, Mark]]:
    """Every run behind a place, with its own."""
    at = after.batch if after else None
    while True:
        page = store.find_runs(replace(wanted, limit=BATCH, after=at))
        runs: Sequence[StoredRun] = page.runs
        if after is not None:
            runs = _behind(runs, after, is_oldest_first=wanted.is_oldest_first)
            after = None if runs else after
        for stored in runs:
            yield stored, Mark(at, stored.run.start_ns, stored.run.run_id)
        if page.next is None:
            return
        at = page.next


def _behind(
    runs: Sequence[StoredRun], mark: Mark, *, is_oldest_first: bool
) -> Sequence[StoredRun]:
    """The runs of a batch behind a place, also when others came in since or the run went."""
    for index, stored in enumerate(runs):
        if stored.run.run_id == mark.run_id:
            return runs[index + 1 :]
    if mark.start_ns is None:
        return [stored for stored in runs if stored.run.start_ns is None]
    return [
        stored
        for stored in runs
        if stored.run.start_ns is None
        or (
            stored.run.start_ns > mark.start_ns
            if is_oldest_first
            else stored.run.start_ns < mark.start_ns
        )
    ]


def _no_cursor(text: str) -> InputError:
    return InputError(
        f"{text[:60]!r} is no cursor of this listing",
        hint="leave it out to start from the first page",
    )
