"""LangSmith's read API: what its SDKs ask, in version 1 and version 2 (SDK 0.14, JS 0.10).

Paths are those of `server.paths.plain`: version 1 without a prefix, version 2 as `/api/v2/…`.
The parts lie in `_langsmith`: `queries` and `grammar` say which runs are meant, `paging` walks
the store, `rendering` writes documents, `version2` has the routes of version 2.
"""

from urllib.parse import parse_qs, quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from refinery.adapters._shared.langsmith_documents import feedback_stats, kept_attachments
from refinery.adapters._shared.langsmith_tree import WORKSPACE_ID, moment, public_id
from refinery.model.trace import Json
from refinery.server.routes._langsmith import (
    opinions,
    projects,
    queries,
    sharing,
    summing,
    version2,
)
from refinery.server.routes._langsmith.around import Library
from refinery.server.routes._langsmith.asking import (
    Question,
    answer,
    body_of,
    missing,
    names_of,
    parameters_of,
    raw_reply,
    reply,
    server_url,
    to_bytes,
)
from refinery.server.routes._langsmith.paging import Listing, Page, read_page
from refinery.server.routes._langsmith.queries import Selection, of_v1
from refinery.server.routes._langsmith.rendering import ALWAYS_V1, Renderer

router = APIRouter()
router.include_router(version2.router)


@router.get("/settings")
async def read_settings(request: Request) -> Response:
    """The workspace: there is one."""

    def ask(library: Library) -> Json:
        starts = [one.first_ns for one in library.store.projects() if one.first_ns is not None]
        return {
            "id": WORKSPACE_ID,
            "display_name": "Refinery",
            "created_at": moment(min(starts, default=0)).isoformat(),
            "tenant_handle": None,
        }

    return reply(await answer(request, ask))


@router.post("/runs/query")
async def query_runs(request: Request) -> Response:
    """Runs that fit, a page at a time."""
    asked = await body_of(request)
    request.state.later = "cursor" in asked

    def ask(library: Library) -> bytes:
        selection = Selection(of_v1(asked), library)
        listing = Listing(selection.wanted, selection.accepts, _limit(asked), asked.text("cursor"))
        renderer = Renderer(library, server_url(request), _selected(asked))
        return _runs(read_page(library.store, listing, renderer))

    return raw_reply(await answer(request, ask))


@router.post("/runs/stats")
async def read_stats(request: Request) -> Response:
    """Statistics over the runs that fit."""
    asked = await body_of(request)

    def ask(library: Library) -> Json:
        selection = Selection(of_v1(asked), library)
        found = filter(selection.accepts, library.runs(selection.wanted))
        return _statistics(summing.summed(library, found))

    return reply(await answer(request, ask))


@router.get("/runs/{run_id}")
async def read_run(request: Request, run_id: str) -> Response:
    """One run, every field."""

    def ask(library: Library) -> bytes:
        stored = library.run(run_id)
        if stored is None:
            raise missing(f"run {run_id[:100]}")
        return Renderer(library, server_url(request))(stored)

    return raw_reply(await answer(request, ask))


@router.get("/runs/{run_id}/attachments/{name:path}")
async def read_attachment(request: Request, run_id: str, name: str) -> Response:
    """The bytes of an attachment, to be saved, never shown: nobody knows what they are."""

    def ask(library: Library) -> tuple[bytes, str]:
        stored = library.run(run_id)
        entry = kept_attachments(stored.run).get(name) if stored else None
        content = library.store.get_blob(entry["reference"]) if entry else None
        if entry is None or content is None:
            raise missing("attachment")
        return content, str(entry.get("mime_type") or "")

    content, kind = await answer(request, ask)
    disposition = f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), '')}"
    headers = {"content-disposition": disposition, "x-content-type-options": "nosniff"}
    is_plain = kind.isascii() and kind.isprintable() and "/" in kind
    return Response(content, media_type=kind if is_plain else None, headers=headers)


@router.put("/runs/{run_id}/share")
async def share_run(request: Request, run_id: str) -> Response:
    """Share a run and all below it; answers the token."""
    token = (await body_of(request)).text("share_token")
    shared = await answer(request, lambda library: sharing.share(library, run_id, token))
    return reply({"run_id": public_id(shared.run_id), "share_token": shared.token})


@router.get("/runs/{run_id}/share")
async def read_share(request: Request, run_id: str) -> Response:
    """The token of a run; null when it is not shared."""
    shared = await answer(request, lambda library: sharing.shared(library, run_id))
    if shared is None:
        return reply(None)
    return reply({"run_id": public_id(shared.run_id), "share_token": shared.token})


@router.delete("/runs/{run_id}/share")
async def unshare_run(request: Request, run_id: str) -> Response:
    """Make the token of a run useless."""
    await answer(request, lambda library: sharing.unshare(library, run_id))
    return reply({"message": "not shared any more"})


@router.get("/public/{token}/run")
async def read_shared(request: Request, token: str) -> Response:
    """The run a token shares."""

    def ask(library: Library) -> bytes:
        return Renderer(library, server_url(request))(sharing.shared_run(library, token))

    return raw_reply(await answer(request, ask))


@router.get("/public/{token}/run/{run_id}")
async def read_shared_child(request: Request, token: str, run_id: str) -> Response:
    """A run below the one a token shares."""

    def ask(library: Library) -> bytes:
        stored = sharing.shared_run(library, token, run_id)
        return Renderer(library, server_url(request))(stored)

    return raw_reply(await answer(request, ask))


@router.post("/public/{token}/runs/query")
async def query_shared(request: Request, token: str) -> Response:
    """The run a token shares and all below it, in order of start, all at once."""
    asked = await body_of(request)

    def ask(library: Library) -> bytes:
        renderer = Renderer(library, server_url(request), _selected(asked))
        return _runs(Page(_shared(library, token, asked, renderer)))

    return raw_reply(await answer(request, ask))


@router.get("/public/{token}/runs{rest:path}")
async def list_shared(request: Request, token: str, rest: str) -> Response:
    """The same as a bare list, as LangSmith's JavaScript SDK asks it.

    Its `listSharedRuns` (0.10) forgets the question mark before the parameters.
    """
    asked = Question({**parse_qs(rest), **parse_qs(request.url.query)})

    def ask(library: Library) -> bytes:
        renderer = Renderer(library, server_url(request))
        return b"[" + b",".join(_shared(library, token, asked, renderer)) + b"]"

    return raw_reply(await answer(request, ask))


@router.get("/sessions")
async def list_projects(request: Request) -> Response:
    """Projects, by name."""
    asked = parameters_of(request)
    return reply(await answer(request, lambda library: projects.listed(library, asked)))


@router.post("/sessions")
async def create_project(request: Request) -> Response:
    """Make a project, or answer the one of that name."""
    asked = await body_of(request)
    return reply(await answer(request, lambda library: projects.create(library, asked)))


@router.get("/sessions/{session_id}")
async def read_project(request: Request, session_id: str) -> Response:
    """One project."""
    with_stats = bool(parameters_of(request).flag("include_stats"))

    def ask(library: Library) -> Json:
        project = _project(library, session_id)
        return projects.document(library, project, with_stats=with_stats)

    return reply(await answer(request, ask))


@router.patch("/sessions/{session_id}")
async def update_project(request: Request, session_id: str) -> Response:
    """Keep what a client says of a project."""
    asked = await body_of(request)

    def ask(library: Library) -> Json:
        return projects.update(library, _project(library, session_id), asked)

    return reply(await answer(request, ask))


@router.get("/feedback")
async def list_feedback(request: Request) -> Response:
    """Feedback, of runs or of the newest traces."""
    asked = parameters_of(request)
    return reply(await answer(request, lambda library: opinions.listed(library, asked)))


@router.get("/feedback/{feedback_id}")
async def read_feedback(request: Request, feedback_id: str) -> Response:
    """One piece of feedback."""
    found = await answer(request, lambda library: opinions.one(library, feedback_id))
    if found is None:
        raise missing(f"feedback {feedback_id[:100]}")
    return reply(found)


def _limit(asked: Question) -> int:
    """Runs of a page: as asked, at most what the service gives."""
    return min(asked.number("limit", queries.V1_PAGE, 1, 2**31), queries.V1_PAGE)


def _selected(asked: Question) -> frozenset[str] | None:
    names = names_of(asked, "select")
    return names | ALWAYS_V1 if names else None


def _shared(
    library: Library, token: str, asked: Question, renderer: Renderer
) -> tuple[bytes, ...]:
    """The shared runs a question means, written."""
    ids = asked.texts("id")
    wanted = None if ids is None else {public_id(one) for one in ids}
    return tuple(
        renderer(stored)
        for stored in sharing.shared_runs(library, token)
        if wanted is None or public_id(stored.run.run_id) in wanted
    )


def _runs(page: Page) -> bytes:
    cursors = to_bytes({"next": page.next, "prev": None})
    return b'{"runs":[' + b",".join(page.items) + b'],"cursors":' + cursors + b"}"


def _project(library: Library, session_id: str) -> projects.Project:
    found = projects.all_projects(library).get(session_id.lower())
    if found is None:
        raise missing(f"project {session_id[:100]}")
    return found


def _statistics(sums: summing.Sums) -> dict[str, Json]:
    latencies, firsts = sums.latencies_s, sums.first_tokens_s
    return {
        "run_count": sums.runs,
        "latency_p50": summing.quantile(latencies, 0.5),
        "latency_p99": summing.quantile(latencies, 0.99),
        "first_token_p50": summing.quantile(firsts, 0.5),
        "first_token_p99": summing.quantile(firsts, 0.99),
        "total_tokens": sums.total,
        "prompt_tokens": sums.input,
        "completion_tokens": sums.output,
        "total_cost": float(sums.cost_usd),
        "last_run_start_time": summing.last_start(sums),
        "feedback_stats": feedback_stats(sums.feedback),
        "run_facets": [],
        "error_rate": sums.errors / sums.runs if sums.runs else None,
        "streaming_rate": len(firsts) / sums.runs if sums.runs else None,
        "is_complete": sums.is_complete,
    }
