"""`/performance`: how long things take, and what they cost."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from refinery.server.api.replies import reply
from refinery.server.api.services import Seen
from refinery.server.api.shapes import PerformanceShape
from refinery.server.api.traces import moment_ns
from refinery.workflows import timings

router = APIRouter(tags=["performance"])

Time = Annotated[str | None, Query(max_length=50, description="ms UTC, ISO 8601 or 7d.")]


@router.get("/performance", responses={200: {"model": PerformanceShape}})
def measure(
    seen: Seen,
    since: Time = None,
    until: Time = None,
    group: Literal["name", "project", "model"] = "name",
    project: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Counts, percentiles, errors, tokens and costs by group and over time."""
    seen.limit(None, project or None)
    question = timings.Question(group, moment_ns(since), moment_ns(until), project or None)
    return reply(timings.measure(seen.store, question))
