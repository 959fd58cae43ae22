"""`/traces`: the list, one trace, its deletion."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from refinery.errors import InputError, NotFoundError
from refinery.model.trace import Trace
from refinery.ports import Store, TraceFilter
from refinery.server.api import cursors
from refinery.server.api.replies import reply
from refinery.server.api.services import Seen
from refinery.server.api.shapes import TraceShape, TracesShape
from refinery.workflows import overview, traces

MAX_PAGE = 500
"""Most traces of a page."""

router = APIRouter(tags=["traces"])

TraceId = Annotated[str, Path(min_length=1, max_length=500, description="Id of the trace.")]


class Wanted(BaseModel):
    """Which traces to list."""

    model_config = ConfigDict(extra="forbid")

    status: str | None = Field(None, max_length=50, description="As in the list, or `failed`.")
    project: str | None = Field(None, max_length=500)
    name: str | None = Field(None, max_length=500, description="Part of the name.")
    session: str | None = Field(None, max_length=500)
    user: str | None = Field(None, max_length=500)
    source: str | None = Field(None, max_length=100)
    since: str | None = Field(None, max_length=50, description="Start: ms UTC, ISO 8601 or 7d.")
    until: str | None = Field(None, max_length=50, description="End, not included.")
    q: str | None = Field(None, max_length=2_000, description="Words somewhere in the trace.")
    label: str | None = Field(None, max_length=50, description="`pass` or `fail`.")
    cursor: str | None = Field(None, max_length=1_000, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_PAGE)

    def to_filter(self) -> TraceFilter:
        """The store's filter; asks for one more, to know whether there is a next page.

        Raises:
            InputError: a time or the cursor cannot be read.
        """
        return TraceFilter(
            status=self.status or None,
            project=self.project or None,
            name=self.name or None,
            session_id=self.session or None,
            user_id=self.user or None,
            source=self.source or None,
            since_ns=moment_ns(self.since),
            until_ns=moment_ns(self.until),
            text=self.q or None,
            label=self.label or None,
            limit=self.limit + 1,
            after=cursors.place(self.cursor or None),
        )


@router.get("/traces", responses={200: {"model": TracesShape}})
def list_traces(seen: Seen, wanted: Annotated[Wanted, Query()]) -> Response:
    """Traces that fit, newest start first, a page at a time."""
    seen.limit(wanted.user or None, wanted.project or None)
    found = seen.store.list_traces(wanted.to_filter())
    page = found[: wanted.limit]
    return reply(
        {
            "traces": [seen.line(summary) for summary in page],
            "next": cursors.after(page[-1]) if len(found) > len(page) else None,
        }
    )


@router.get("/traces/{trace_id:path}", responses={200: {"model": TraceShape}})
def read_trace(seen: Seen, trace_id: TraceId) -> Response:
    """A trace: its runs in tree order without payloads, and what its last diagnosis found."""
    trace = find(seen.store, trace_id)
    label = traces.label_of(seen.store, trace.trace_id)
    summary = overview.summary(trace, label.outcome if label else None)
    return reply(
        {
            "trace": overview.line(summary, trace),
            "runs": overview.tree(trace),
            "is_cut": len(trace.runs) > overview.MAX_ROWS,
            "findings": seen.findings_of(trace.trace_id),
        }
    )


def find(store: Store, trace_id: str) -> Trace:
    """The trace of exactly that id, if the store shows it.

    Raises:
        NotFoundError: there is none (any more).
    """
    trace = store.get_trace(trace_id)
    if trace is None:
        raise NotFoundError(
            f"there is no trace {trace_id[:100]!r}", hint="it may have been deleted"
        )
    return trace


def moment_ns(text: str | None) -> int | None:
    """A moment as milliseconds UTC, ISO 8601 or a span back from now, in nanoseconds.

    Raises:
        InputError: it is none of these.
    """
    if not text:
        return None
    if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", text, re.ASCII):
        whole, _, rest = text.partition(".")
        return int(whole) * 10**6 + int(rest.ljust(6, "0")[:6] or 0)
    try:
        return traces.since_ns(text)
    except (OverflowError, ValueError) as error:
        raise InputError(f"cannot read the time {text!r}", hint="write 2026-11-21") from error
