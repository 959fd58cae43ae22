"""`/search` and `/traces/{id}/search`: words and meaning in all traces, text inside one."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from refinery.server.api.replies import reply
from refinery.server.api.services import Seen
from refinery.server.api.shapes import FoundShape, HitsShape
from refinery.server.api.traces import TraceId, find, moment_ns
from refinery.workflows import finding, search
from refinery.workflows.search_document import document

router = APIRouter(tags=["search"])

MAX_RESULTS = 200
FILLING_S = 2.0
"""Seconds a request may spend on taking new conversations into the index."""

INCOMPLETE = "not everything could be searched in every way: something may be missing"


class Sought(BaseModel):
    """What to look for, where, and how."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    q: str = Field("", max_length=2_000, description="Words or a sentence; empty: the latest.")
    by: Literal["fused", "text", "meaning"] = Field("fused", description="How to compare.")
    user: str | None = Field(None, max_length=500)
    session: str | None = Field(None, max_length=500)
    start: str | None = Field(None, alias="from", max_length=50, description="ms UTC, ISO or 7d.")
    end: str | None = Field(None, alias="to", max_length=50, description="Not included.")
    project: str | None = Field(None, max_length=500)
    status: str | None = Field(None, max_length=50)
    kind: str | None = Field(None, max_length=50)
    limit: int = Field(20, ge=1, le=MAX_RESULTS)

    def query(self) -> search.Query:
        """The question in the words of the workflow.

        Raises:
            InputError: a time is none.
        """
        return search.Query(
            text=self.q,
            user=self.user or None,
            session=self.session or None,
            project=self.project or None,
            status=self.status or None,
            kind=self.kind or None,
            since_ns=moment_ns(self.start),
            until_ns=moment_ns(self.end),
            limit=self.limit,
        )


@router.get("/search", responses={200: {"model": FoundShape}})
def search_all(seen: Seen, sought: Annotated[Sought, Query()]) -> Response:
    """The conversations that fit best, as `refinery search --json`; without words the latest."""
    seen.limit(sought.user or None, sought.project or None)
    workspace, query = seen.workspace(), sought.query()
    if seen.grant is not None and seen.grant.project is not None:
        query = replace(query, project=seen.grant.project)
    if query.text.strip():
        ways = replace(
            seen.searching(FILLING_S),
            by_text=sought.by != "meaning",
            by_meaning=sought.by != "text",
        )
        found = search.search(workspace, query, seen.scope, ways)
    else:
        found = search.latest(workspace, query, seen.scope)
    if seen.grant is not None:
        found = _without_figures(found)
    return reply({"query": sought.q, **document(found)})


def _without_figures(found: search.Found) -> search.Found:
    """The same, without what tells how much others have."""
    notes = (INCOMPLETE,) if found.notes or found.waiting else ()
    return replace(found, indexed=None, waiting=0, notes=notes)


@router.get("/traces/{trace_id:path}/search", responses={200: {"model": HitsShape}})
def search_trace(
    seen: Seen,
    trace_id: TraceId,
    q: Annotated[str, Query(min_length=1, max_length=2_000, description="As it stands there.")],
) -> Response:
    """Places of one trace where a text occurs, in tree order."""
    hits = finding.in_trace(find(seen.store, trace_id), q)
    return reply(
        {
            "hits": [finding.hit_document(hit) for hit in hits],
            "is_cut": len(hits) >= finding.MAX_HITS,
        }
    )
