"""From a request to acknowledged storage: read, unpack, parse, commit; bounded at every step."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, TypeVar

import anyio.to_thread
from starlette.requests import Request

from refinery.model.trace import Feedback
from refinery.ports import PackedRuns, RunBatch
from refinery.server.answers import RequestError
from refinery.server.body import Body
from refinery.server.limits import Limits
from refinery.server.readers.pool import Readers
from refinery.server.readers.taken import Blob, Job, Taken
from refinery.server.writer import (
    BusyError,
    UnavailableError,
    UnstorableError,
    Writer,
    runs_in,
)

INLINE_BYTES = 8192
"""Bodies up to this size are parsed at once: a thread would cost more than it spares others."""

Parsed = TypeVar("Parsed")
Reader: TypeAlias = Callable[[bytes, Limits], Parsed]


class Delivery:
    """One request's body on its way into the store."""

    def __init__(self, request: Request, body: Body, packed: bytes) -> None:
        self.request = request
        self.body = body
        self.packed = packed

    async def parsed(self, read: "Reader[Parsed]") -> Parsed:
        """What `read` makes of the unpacked body.

        Raises:
            RequestError: the body cannot be unpacked or read.
        """

        def work() -> Parsed:
            encoding = self.request.headers.get("content-encoding", "")
            return read(self.body.unpack(self.packed, encoding), self.body.limits)

        if len(self.packed) <= INLINE_BYTES:
            return work()
        return await anyio.to_thread.run_sync(work)

    async def taken(self, job: Job) -> Taken:
        """What the body brings, read here or by another process.

        Raises:
            RequestError: the body cannot be unpacked or read.
        """
        readers: Readers = self.request.app.state.writer.readers

        def read(body: bytes, limits: Limits) -> Taken:
            return readers.read(job, body) or job.read(body, limits)

        return await self.parsed(read)

    async def commit(
        self,
        batches: Sequence[RunBatch | PackedRuns],
        feedback: Sequence[Feedback] = (),
        blobs: Sequence[Blob] = (),
    ) -> None:
        """Write to the store; returns once it is committed.

        Raises:
            RequestError: 429 when too much waits, 503 when the store cannot be written, 422 when
                it refuses the content.
        """
        if not (feedback or blobs or any(map(runs_in, batches))):
            return
        writer: Writer = self.request.app.state.writer
        try:
            await writer.commit(batches, feedback, blobs, self.body.size_bytes)
        except BusyError as error:
            raise _later(429, error) from error
        except UnavailableError as error:
            raise _later(503, error) from error
        except UnstorableError as error:
            raise RequestError(422, str(error)) from error


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Delivery]:
    """The request's body, read; its memory is counted until the block ends.

    Raises:
        RequestError: it is too large, too slow, or more than fits.
    """
    with Body(request.app.state.memory, request.app.state.settings.limits) as body:
        yield Delivery(request, body, await body.read(request))


def _later(status: int, error: BusyError | UnavailableError) -> RequestError:
    return RequestError(
        status, f"{error}; {error.hint}", headers={"retry-after": str(error.retry_after_s)}
    )
