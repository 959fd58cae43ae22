"""Commits what requests bring, many in one transaction, before any of them is answered."""

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from refinery.errors import RefineryError, StoreError
from refinery.model.trace import Feedback
from refinery.ports import Indexing, PackedRuns, Packing, RunBatch, Store
from refinery.server.limits import RETRY_AFTER_S, STORE_RETRY_AFTER_S, Limits
from refinery.server.readers.pool import Readers
from refinery.server.readers.taken import Blob

JOINED_RUNS = 2_000
"""Runs one transaction takes at most, so that no request waits long behind others."""

IDLE_S = 0.5
"""Time without a request after which runs are made searchable, before a search has to."""
INDEXED_RUNS = 200
"""Runs made searchable at once: what comes meanwhile waits about 30 ms for it."""
_INDEX_RETRY_S = 30.0
"""Pause after the store could not be indexed, e.g. because its disk is full."""

_log = logging.getLogger("refinery.server")


class BusyError(RefineryError):
    """More is waiting than the store can take; the client should come again."""

    def __init__(self, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(
            "more traces are waiting than the store can take", hint="send the request again"
        )
        self.retry_after_s = retry_after_s


class UnavailableError(RefineryError):
    """The store cannot be written now; nothing of the request was acknowledged."""

    def __init__(
        self, message: str, *, hint: str, retry_after_s: int = STORE_RETRY_AFTER_S
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class UnstorableError(RefineryError):
    """The store can be written, but not with what this request holds."""


def runs_in(batch: RunBatch | PackedRuns) -> int:
    """How many runs there are."""
    return batch.count if isinstance(batch, PackedRuns) else len(batch.runs)


@dataclass(slots=True)
class _Parcel:
    """What one request brings, and who waits for it."""

    batches: Sequence[RunBatch | PackedRuns]
    feedback: Sequence[Feedback]
    blobs: Sequence[Blob]
    size_bytes: int
    runs: int
    done: "Future[None]" = field(default_factory=Future)


class Writer:
    """One thread that writes to the store what any number of requests hand in."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.readers = Readers(store, limits)
        """Who reads large bodies beside the server; they end with it."""
        self.transactions = 0
        """Transactions made so far; fewer than requests when many came at once."""
        self._waiting: queue.SimpleQueue[_Parcel | None] = queue.SimpleQueue()
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="refinery-writer", daemon=True)
        self._thread.start()

    async def commit(
        self,
        batches: Sequence[RunBatch | PackedRuns],
        feedback: Sequence[Feedback] = (),
        blobs: Sequence[Blob] = (),
        size_bytes: int = 0,
    ) -> None:
        """Write, and return only after the store's commit.

        Args:
            batches: runs, joined with what is stored.
            feedback: feedback, written after the runs.
            blobs: bytes kept beside the runs, written before them.
            size_bytes: about how much memory all of it takes.

        Raises:
            BusyError: too much is waiting.
            UnavailableError: the store is locked, full or damaged, or did not answer in time.
            UnstorableError: the store refuses this content.
        """
        runs = sum(map(runs_in, batches))
        parcel = _Parcel(batches, feedback, blobs, size_bytes, runs)
        self._take_in(parcel)
        try:
            async with asyncio.timeout(self.limits.answer_s):
                await asyncio.wrap_future(parcel.done)
        except TimeoutError as error:
            raise UnavailableError(
                f"the store has not answered for {self.limits.answer_s:.0f} s",
                hint="send the request again; what was written already is not written twice",
            ) from error

    def close(self) -> None:
        """Write what is waiting and end the thread."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._waiting.put(None)
        self.readers.close()
        self._thread.join()

    def _take_in(self, parcel: _Parcel) -> None:
        with self._lock:
            if self._is_closed:
                raise UnavailableError("the collector is ending", hint="send it again later")
            if self._pending_bytes and (
                self._pending_bytes + parcel.size_bytes > self.limits.pending_bytes
            ):
                raise BusyError
            self._pending_bytes += parcel.size_bytes
            self._waiting.put(parcel)

    def _work(self) -> None:
        ending = False
        pause_s = IDLE_S
        while not ending:
            try:
                first = self._waiting.get(timeout=pause_s)
            except queue.Empty:
                pause_s = self._index()
                continue
            pause_s = IDLE_S
            if first is None:
                return
            parcels, ending = self._joined(first)
            self._write(parcels)

    def _index(self) -> float:
        """Make some runs searchable; returns how long to wait before more."""
        self.readers.rest()
        if not isinstance(self.store, Indexing):
            return _INDEX_RETRY_S
        try:
            return 0.01 if self.store.index(limit=INDEXED_RUNS) else IDLE_S
        except Exception as error:  # noqa: BLE001  # nobody waits for it; the next search says it
            _log.warning("runs could not be made searchable: %s", error)
            return _INDEX_RETRY_S

    def _joined(self, first: _Parcel) -> tuple[list[_Parcel], bool]:
        """What waits now, up to one transaction's worth, and whether the end was among it."""
        parcels, runs = [first], first.runs
        while runs < JOINED_RUNS:
            try:
                parcel = self._waiting.get_nowait()
            except queue.Empty:
                return parcels, False
            if parcel is None:
                return parcels, True
            parcels.append(parcel)
            runs += parcel.runs
        return parcels, False

    def _write(self, parcels: list[_Parcel]) -> None:
        # One that timed out has been told so; it is going to send the same again.
        wanted = [parcel for parcel in parcels if parcel.done.set_running_or_notify_cancel()]
        try:
            self._store(wanted)
        except StoreError as error:
            self._fail(wanted, UnavailableError(str(error), hint=error.hint))
        except Exception:  # noqa: BLE001  # the server's boundary: one request must not fail others
            self._write_alone(wanted)
        else:
            for parcel in wanted:
                parcel.done.set_result(None)
        with self._lock:
            self._pending_bytes -= sum(parcel.size_bytes for parcel in parcels)

    def _write_alone(self, parcels: list[_Parcel]) -> None:
        """Find out whose content the store refuses: each in a transaction of its own."""
        for parcel in parcels:
            try:
                self._store([parcel])
            except StoreError as error:
                self._fail([parcel], UnavailableError(str(error), hint=error.hint))
            except Exception as error:  # noqa: BLE001  # as above
                reason = f"the store refuses this content ({type(error).__name__})"
                self._fail(
                    [parcel], UnstorableError(reason, hint="nothing of this request is kept")
                )
            else:
                parcel.done.set_result(None)

    def _fail(self, parcels: list[_Parcel], error: RefineryError) -> None:
        for parcel in parcels:
            parcel.done.set_exception(error)

    def _store(self, parcels: list[_Parcel]) -> None:
        for parcel in parcels:
            for blob in parcel.blobs:
                self.store.put_blob(blob.content, blob.trace_id)
        batches = [batch for parcel in parcels for batch in parcel.batches if runs_in(batch)]
        if batches:
            self._write_runs(batches)
        feedback = [item for parcel in parcels for item in parcel.feedback]
        if feedback:
            self.store.write_feedback(feedback)
        self.transactions += 1

    def _write_runs(self, batches: "list[RunBatch | PackedRuns]") -> None:
        plain = [one for one in batches if isinstance(one, RunBatch)]
        if len(plain) < len(batches) and isinstance(self.store, Packing):
            self.store.write_packed(batches)
        else:
            self.store.write_batches(plain)
