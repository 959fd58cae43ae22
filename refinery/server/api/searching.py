"""`/search` and `/traces/{id}/search`: text in all traces, and inside one."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from refinery.ports import RunFilter
from refinery.server.api.replies import reply
from refinery.server.api.services import Given
from refinery.server.api.shapes import FoundShape, HitsShape
from refinery.server.api.traces import TraceId, find, moment_ns
from refinery.workflows import finding

router = APIRouter(tags=["search"])

MAX_PAGE = 200


class Sought(BaseModel):
    """What to look for, and where; at least one of it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    q: str = Field("", max_length=2_000, description="Words that must all occur in the run.")
    user: str | None = Field(None, max_length=500)
    session: str | None = Field(None, max_length=500)
    start: str | None = Field(None, alias="from", max_length=50, description="ms UTC, ISO or 7d.")
    end: str | None = Field(None, alias="to", max_length=50, description="Not included.")
    project: str | None = Field(None, max_length=500)
    status: str | None = Field(None, max_length=50)
    kind: str | None = Field(None, max_length=50)
    cursor: str | None = Field(None, max_length=1_000, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_PAGE)


@router.get("/search", responses={200: {"model": FoundShape}})
def search(given: Given, sought: Annotated[Sought, Query()]) -> Response:
    """Runs of all traces that fit, newest start first."""
    page = given.store.find_runs(
        RunFilter(
            text=sought.q or None,
            user_id=sought.user or None,
            session_id=sought.session or None,
            since_ns=moment_ns(sought.start),
            until_ns=moment_ns(sought.end),
            project=sought.project or None,
            status=sought.status or None,
            kind=sought.kind or None,
            limit=sought.limit,
            after=sought.cursor or None,
        )
    )
    hits = [finding.found_document(stored, sought.q) for stored in page.runs]
    return reply({"hits": hits, "next": page.next})


@router.get("/traces/{trace_id:path}/search", responses={200: {"model": HitsShape}})
def search_trace(
    given: Given,
    trace_id: TraceId,
    q: Annotated[str, Query(min_length=1, max_length=2_000, description="As it stands there.")],
) -> Response:
    """Places of one trace where a text occurs, in tree order."""
    hits = finding.in_trace(find(given, trace_id), q)
    return reply(
        {
            "hits": [finding.hit_document(hit) for hit in hits],
            "is_cut": len(hits) >= finding.MAX_HITS,
        }
    )
