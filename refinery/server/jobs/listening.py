"""Streams of events: who follows a job hears what happens to it, as it happens."""

import asyncio
from collections.abc import AsyncIterator

from refinery.model.trace import Json
from refinery.server.jobs.records import ENDED, Job, State

PULSE_S = 15.0
"""Silence after which a stream shows that it lives; proxies and browsers give up after 30 s."""


class Listeners:
    """All streams of a server."""

    def __init__(self) -> None:
        self._changed: set[asyncio.Event] = set()
        self._is_ending = False

    def tell(self) -> None:
        """Say that something happened to some job."""
        for one in self._changed:
            one.set()

    def end(self) -> None:
        """End all streams."""
        self._is_ending = True
        self.tell()

    async def events(self, job: Job, seen: int) -> AsyncIterator[tuple[str, int, Json]]:
        """What happens to a job, from now or from a line of progress on, until it has ended.

        Args:
            job: whose.
            seen: lines of progress the listener has.

        Yields:
            `("progress", number of the line, line)`, `("state", …, state and error)`, and
            `("pulse", …)` when nothing happens.
        """
        changed = asyncio.Event()
        self._changed.add(changed)
        state: State | None = None
        try:
            while True:
                changed.clear()
                fresh = max(0, min(job.said - seen, len(job.progress)))
                first = job.said - fresh
                for place, line in enumerate(job.progress[len(job.progress) - fresh :]):
                    yield "progress", first + place + 1, line
                seen = max(seen, first + fresh)
                if job.state is not state:
                    state = job.state
                    about = {"job_id": job.job_id, "state": state.value, "error": job.error}
                    yield "state", seen, about
                if state in ENDED or self._is_ending:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), PULSE_S)
                except TimeoutError:
                    yield "pulse", seen, None
        finally:
            self._changed.discard(changed)
