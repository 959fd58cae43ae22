"""`/traces/{id}/runs/{run_id}`: one run, and its large values on demand."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path
from starlette.responses import Response

from refinery.errors import NotFoundError
from refinery.model.codec import encode
from refinery.ports import Store, StoredRun
from refinery.server.answers import to_bytes
from refinery.server.api.replies import reply
from refinery.server.api.services import Seen
from refinery.server.api.shapes import RunShape
from refinery.server.api.traces import TraceId
from refinery.server.tokens import API
from refinery.workflows import run_document

router = APIRouter(tags=["traces"])

RunId = Annotated[str, Path(min_length=1, max_length=500, description="Id of the run.")]
# Ids of other makers may hold slashes, hence `:path`.
_RUN = "/traces/{trace_id:path}/runs/{run_id:path}"


@router.get(
    f"{_RUN}/payload/{{name}}",
    responses={200: {"content": {"application/json": {}}, "description": "The bare value."}},
)
def read_payload(
    seen: Seen,
    trace_id: TraceId,
    run_id: RunId,
    name: Annotated[str, Path(description="`inputs`, `outputs` or another field of the run.")],
) -> Response:
    """One value of a run, whole, as a file to be saved."""
    stored = _find(seen.store, trace_id, run_id)
    if name not in run_document.PAYLOADS:
        raise NotFoundError(f"a run has no {name[:100]!r}", hint="inputs or outputs, for example")
    content = to_bytes(encode(getattr(stored.run, name)))
    headers = {"content-disposition": f'attachment; filename="{name}.json"'}
    return Response(content, 200, headers, media_type="application/json")


@router.get(_RUN, responses={200: {"model": RunShape}})
def read_run(seen: Seen, trace_id: TraceId, run_id: RunId) -> Response:
    """A run with all it holds; what is larger than 256 KiB is replaced by where to read it."""
    stored = _find(seen.store, trace_id, run_id)
    link = f"{API}/traces/{quote(trace_id, safe='')}/runs/{quote(run_id, safe='')}"
    said = seen.store.get_feedback(stored.run.trace_id)
    return reply(run_document.to_document(stored, said, link=link))


def _find(store: Store, trace_id: str, run_id: str) -> StoredRun:
    stored = store.get_run(run_id)
    if stored is None or stored.run.trace_id != trace_id:
        raise NotFoundError(
            f"trace {trace_id[:100]!r} has no run {run_id[:100]!r}",
            hint="it may have been deleted",
        )
    return stored
