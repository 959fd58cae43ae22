"""Takes in what recorders leave in the spool while the collector runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from refinery.errors import StoreError
from refinery.ports import Store
from refinery.workflows.spool import drain

PERIOD_S = 1.0
"""Pause between two drains."""


@asynccontextmanager
async def draining(spool: Path | None, store: Store) -> AsyncIterator[None]:
    """Drain the folder every second until the block ends, and once more then."""
    if spool is None:
        yield
        return
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_drain_forever, spool, store)
        yield
        tasks.cancel_scope.cancel()
    await _drain(spool, store)


async def _drain_forever(spool: Path, store: Store) -> None:
    while True:
        await _drain(spool, store)
        await anyio.sleep(PERIOD_S)


async def _drain(spool: Path, store: Store) -> None:
    # A store that cannot be written now is the next drain's turn; the spool keeps everything.
    with suppress(StoreError, OSError):
        await anyio.to_thread.run_sync(drain, spool, store)
