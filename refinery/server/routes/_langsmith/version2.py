"""Version 2 of the read API: `/api/v2/runs`, `/traces`, `/threads` and `/public`.

Fields are named in capitals in `selects`; without it only the id is answered, as the service
does. Unlike the service, a query without `min_start_time` is not cut to the last 24 hours, and
one without projects is asked of all.
"""

from collections.abc import Iterator
from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from refinery.adapters._shared.langsmith_tree import WORKSPACE_ID, project_id, public_id
from refinery.model.trace import Json
from refinery.ports import RunFilter, StoredRun
from refinery.server.answers import RequestError
from refinery.server.routes._langsmith import queries, sharing, threads
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
from refinery.server.routes._langsmith.queries import Selection, Wanted, of_v2, project_is
from refinery.server.routes._langsmith.rendering import Renderer

router = APIRouter(prefix="/api/v2")

_TRACE_PAGE = (20, 100)
_MAX_TRACE_RUNS = 50_000
_AGGREGATES = frozenset({"total_tokens", "total_cost", "first_token_time"})


@router.post("/runs/query")
async def query_runs(request: Request) -> Response:
    """Runs that fit, newest first, a page at a time."""
    asked = await body_of(request)
    request.state.later = "cursor" in asked
    default, most = queries.V2_PAGES
    limit, names = asked.number("page_size", default, 1, most), _selected(asked)

    def ask(library: Library) -> bytes:
        selection = Selection(of_v2(asked), library)
        listing = Listing(selection.wanted, selection.accepts, limit, asked.text("cursor"))
        return _items(read_page(library.store, listing, _renderer(request, library, names)))

    return raw_reply(await answer(request, ask))


@router.get("/runs/{run_id}")
async def read_run(request: Request, run_id: str) -> Response:
    """One run."""
    asked = parameters_of(request)
    names = _selected(asked)

    def ask(library: Library) -> bytes:
        stored = library.run(run_id)
        if stored is None or not project_is(stored, asked.text("project_id")):
            raise missing(f"run {run_id[:100]}")
        item = _renderer(request, library, names).document(stored)
        if names is not None and "share_url" in names:
            item["share_url"] = sharing.url_of(library, stored, server_url(request))
        return to_bytes(item)

    return raw_reply(await answer(request, ask))


@router.get("/runs/{run_id}/url")
async def read_url(request: Request, run_id: str) -> Response:
    """Where a run can be looked at."""

    def ask(library: Library) -> Json:
        stored = library.run(run_id)
        if stored is None:
            raise missing(f"run {run_id[:100]}")
        path = f"/o/{WORKSPACE_ID}/projects/p/{project_id(stored.project)}"
        return {"url": f"{server_url(request)}{path}/r/{public_id(stored.run.run_id)}"}

    return reply(await answer(request, ask))


@router.post("/runs/{run_id}/share")
async def share_run(request: Request, run_id: str) -> Response:
    """Share a trace; answers its token."""
    await body_of(request)
    shared = await answer(request, lambda library: sharing.share(library, run_id, None))
    return reply({"share_token": shared.token})


@router.delete("/runs/{run_id}/share")
async def unshare_run(request: Request, run_id: str) -> Response:
    """Make the token of a trace useless."""
    await answer(request, lambda library: sharing.unshare(library, run_id))
    return Response(status_code=204)


@router.get("/traces/{trace_id}/runs")
async def list_trace(request: Request, trace_id: str) -> Response:
    """The runs of a trace, in order of start, all at once."""
    asked = parameters_of(request)
    names = _selected(asked)

    def ask(library: Library) -> bytes:
        wanted = replace(
            of_v2(asked),
            trace=trace_id,
            projects=_one(asked.text("project_id")),
            is_oldest_first=True,
        )
        selection = Selection(wanted, library)
        listing = Listing(selection.wanted, selection.accepts, _MAX_TRACE_RUNS)
        page = read_page(library.store, listing, _renderer(request, library, names))
        return b'{"items":[' + b",".join(page.items) + b"]}"

    return raw_reply(await answer(request, ask))


@router.post("/traces/query")
async def query_traces(request: Request) -> Response:
    """Traces that fit, newest first: their root runs, and sums over all their runs."""
    asked = await body_of(request)
    request.state.later = "cursor" in asked
    limit = asked.number("page_size", _TRACE_PAGE[0], 1, _TRACE_PAGE[1])
    names = _selected(asked) or frozenset({"id"})
    ids = asked.texts("trace_ids")
    wanted_ids = None if ids is None else {public_id(one) for one in ids}

    def ask(library: Library) -> bytes:
        selection = Selection(_of_traces(asked), library)
        renderer = _renderer(request, library, (names - _AGGREGATES) | {"id"})

        def accepts(stored: StoredRun) -> bool:
            is_wanted = wanted_ids is None or public_id(stored.run.trace_id) in wanted_ids
            return is_wanted and selection.accepts(stored)

        def render(stored: StoredRun) -> bytes:
            item: dict[str, Json] = {"root_run": renderer.document(stored)}
            if names & _AGGREGATES:
                whole = replace(renderer, names=names & _AGGREGATES)
                item["trace_aggregates"] = whole.document(stored)
            return to_bytes(item)

        listing = Listing(selection.wanted, accepts, limit, asked.text("cursor"))
        return _items(read_page(library.store, listing, render))

    return raw_reply(await answer(request, ask))


@router.post("/threads/query")
async def query_threads(request: Request) -> Response:
    """Conversations, the one with the newest trace first."""
    asked = await body_of(request)
    limit = asked.number("page_size", _TRACE_PAGE[0], 1, _TRACE_PAGE[1])
    cursor = asked.text("cursor")

    def ask(library: Library) -> Json:
        found = threads.gathered(library, _roots(library, _of_traces(asked)))
        start = _after(cursor, [thread.thread_id for thread in found])
        page = found[start : start + limit]
        more = start + limit < len(found)
        return {
            "items": [threads.document(thread) for thread in page],
            "next_cursor": page[-1].thread_id if more and page else None,
        }

    return reply(await answer(request, ask))


@router.get("/threads/{thread_id:path}/traces")
async def list_thread(request: Request, thread_id: str) -> Response:
    """The traces of a conversation, newest first, a page at a time."""
    asked = parameters_of(request)
    request.state.later = "cursor" in asked
    limit = asked.number("page_size", _TRACE_PAGE[0], 1, _TRACE_PAGE[1])
    names = _selected(asked) or frozenset()

    def ask(library: Library) -> bytes:
        selection = Selection(_of_traces(asked), library)
        wanted = replace(selection.wanted, session_id=thread_id)
        turns = _turns(library, wanted) if "turn_number" in names else {}
        renderer = _renderer(request, library, None)

        def render(stored: StoredRun) -> bytes:
            number = turns.get(stored.run.trace_id, 0)
            item = threads.turn(renderer.document(stored), thread_id, number)
            return to_bytes({k: v for k, v in item.items() if k in names | {"trace_id"}})

        listing = Listing(wanted, selection.accepts, limit, asked.text("cursor"))
        return _items(read_page(library.store, listing, render))

    return raw_reply(await answer(request, ask))


@router.get("/threads/{thread_id:path}/stats")
async def read_thread_stats(request: Request, thread_id: str) -> Response:
    """Statistics of a conversation."""
    asked = parameters_of(request)
    names = _selected(asked) or frozenset()

    def ask(library: Library) -> Json:
        wanted = replace(_of_traces(asked), projects=_one(asked.text("session_id")))
        selection = Selection(wanted, library)
        roots = library.runs(replace(selection.wanted, session_id=thread_id))
        found = threads.gathered(library, filter(selection.accepts, roots))
        if not found:
            raise missing(f"thread {thread_id[:100]}")
        item = threads.summary(found[0])
        latency = {"latency_p50": "latency_p50_seconds", "latency_p99": "latency_p99_seconds"}
        asked_names = {latency.get(name, name) for name in names}
        return {name: value for name, value in item.items() if name in asked_names}

    return reply(await answer(request, ask))


@router.get("/public/{token}/run/{run_id}")
async def read_shared(request: Request, token: str, run_id: str) -> Response:
    """One run of a shared trace."""
    names = _selected(parameters_of(request))

    def ask(library: Library) -> bytes:
        stored = sharing.shared_run(library, token, run_id)
        return _renderer(request, library, names)(stored)

    return raw_reply(await answer(request, ask))


@router.post("/public/{token}/runs/query")
async def query_shared(request: Request, token: str) -> Response:
    """The runs of a shared trace, in order of start."""
    asked = await body_of(request)
    names = _selected(asked)

    def ask(library: Library) -> bytes:
        render = _renderer(request, library, names)
        items = [render(stored) for stored in sharing.shared_runs(library, token)]
        return b'{"items":[' + b",".join(items) + b"]}"

    return raw_reply(await answer(request, ask))


def _selected(asked: Question) -> frozenset[str]:
    return names_of(asked, "selects") or frozenset({"id"})


def _renderer(request: Request, library: Library, names: frozenset[str] | None) -> Renderer:
    return Renderer(library, server_url(request), names, is_v2=True)


def _items(page: Page) -> bytes:
    following = to_bytes(page.next)
    return b'{"items":[' + b",".join(page.items) + b'],"next_cursor":' + following + b"}"


def _one(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset({text.lower()})


def _of_traces(asked: Question) -> Wanted:
    """The root runs a question about traces or threads means."""
    wanted = of_v2(asked)
    return replace(wanted, is_root=True, projects=_one(asked.text("project_id")))


def _roots(library: Library, wanted: Wanted) -> Iterator[StoredRun]:
    selection = Selection(wanted, library)
    return filter(selection.accepts, library.runs(selection.wanted))


def _turns(library: Library, wanted: RunFilter) -> dict[str, int]:
    """Place of each trace in its conversation, from 1."""
    whole = replace(wanted, is_oldest_first=True, after=None, since_ns=None, until_ns=None)
    runs = library.runs(whole)
    return {stored.run.trace_id: number for number, stored in enumerate(runs, start=1)}


def _after(cursor: str | None, ids: list[str]) -> int:
    """Index behind the thread a cursor names."""
    if cursor is None:
        return 0
    if cursor not in ids:
        raise RequestError(400, "the cursor names no thread of this listing")
    return ids.index(cursor) + 1
