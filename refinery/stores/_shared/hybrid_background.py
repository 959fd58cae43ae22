"""The thread that keeps the DuckDB copy of a hybrid store up to date."""

import atexit
import contextlib
import logging
import os
import threading

from refinery import clock
from refinery.errors import RefineryError, StoreError
from refinery.stores._shared import hybrid_sync
from refinery.stores._shared.analytics import Copy
from refinery.stores._shared.hybrid_env import Environment

PAUSE_S = 1.0
"""Least seconds between two background syncs (chosen by us)."""
PATIENCE_S = 30.0
"""Seconds of failing before it is told: another process that syncs is nothing unusual."""

_log = logging.getLogger("refinery.stores")


class Background:
    """Syncs after writes, at most once in `PAUSE_S`; a failure is told once and tried again."""

    def __init__(self, environment: Environment, copy: Copy) -> None:
        self._environment, self._copy = environment, copy
        self._is_stopping = threading.Event()
        self._has_work = threading.Event()
        self._has_work.set()  # an earlier process may have left something
        self._is_leaving = threading.Event()
        self._failing_since_s = 0.0
        self.error: str | None = None
        """Why the last sync failed; None when it did not."""
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._leaves_first = False
        self._thread = threading.Thread(
            target=self._work, name="refinery-hybrid-sync", daemon=True
        )
        self._thread.start()
        # A thread that is inside DuckDB when the interpreter goes takes the process with it
        # (`terminate called`, exit code 134), so it has to be gone before.
        atexit.register(self._leave)

    def wake(self) -> None:
        """Something was written; in a forked child, where threads are gone, begin again."""
        if self._process != os.getpid():
            atexit.unregister(self._leave)
            self._is_stopping, self._has_work = threading.Event(), threading.Event()
            self._is_leaving = threading.Event()
            self._begin()
        self._has_work.set()

    def stop(self) -> None:
        """Let a sync that runs come to its end, and begin none."""
        self._is_stopping.set()
        self._has_work.set()
        if self._process == os.getpid():
            self._thread.join()
        atexit.unregister(self._leave)

    def _leave(self) -> None:
        """The process ends without closing the store: give up a sync after the slice it is at."""
        self._is_leaving.set()
        self.stop()

    def _leave_before_duckdb(self) -> None:
        """Have `_leave` called before what DuckDB and Arrow do at exit: then they read no more.

        What was registered last is called first, and they register when they are imported.
        """
        if not self._leaves_first:
            self._leaves_first = True
            with contextlib.suppress(ImportError):  # told by the sync
                import duckdb  # noqa: F401
                import pyarrow  # noqa: F401
            atexit.register(self._leave)  # once more; called twice it does no harm

    def _work(self) -> None:
        while True:
            self._has_work.wait()
            if self._is_stopping.wait(PAUSE_S):
                return
            self._has_work.clear()
            try:
                if hybrid_sync.unsynced(self._environment):
                    self._leave_before_duckdb()
                    hybrid_sync.sync(
                        self._environment, self._copy, timeout_s=0, is_over=self._is_leaving.is_set
                    )
                self._environment.flush()
                self.error = None
            except StoreError as error:  # what is not synced now is synced later
                self._say(error)
                self._has_work.set()
            except RefineryError as error:  # without DuckDB there is nothing to fill
                self._say(error)
                return

    def _say(self, error: RefineryError) -> None:
        now_s = clock.monotonic_s()
        if self.error is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > PATIENCE_S:
            _log.warning("%s", error)
            self._failing_since_s = now_s
        self.error = str(error)
