"""`/diff`: two traces side by side."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from refinery.server.api.replies import reply
from refinery.server.api.services import Seen
from refinery.server.api.shapes import DiffShape
from refinery.server.api.traces import find
from refinery.workflows import diff

router = APIRouter(tags=["traces"])

Id = Annotated[str, Query(min_length=1, max_length=500)]


@router.get("/diff", responses={200: {"model": DiffShape}})
def compare(seen: Seen, left: Id, right: Id) -> Response:
    """Two traces, aligned run by run, with what differs; as `refinery diff --json`."""
    return reply(diff.to_document(diff.diff(find(seen.store, left), find(seen.store, right))))
