"""`/projects`, `/users`, `/sessions`: what traces are filed under, with counts."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from refinery.model.trace import Json
from refinery.ports import Tally, Tallying, TraceFilter
from refinery.server.api.replies import reply
from refinery.server.api.services import Seen, View
from refinery.server.api.shapes import ProjectsShape, SessionsShape, UsersShape
from refinery.workflows import overview

router = APIRouter(tags=["traces"])

Limit = Annotated[int, Query(ge=1, le=10_000, description="Most names, the latest first.")]
READ = 20_000
"""Newest traces that are counted where the store cannot count itself."""


@router.get("/projects", responses={200: {"model": ProjectsShape}})
def list_projects(seen: Seen, limit: Limit = 1_000) -> Response:
    """Projects that hold traces, the one with the latest trace first."""
    return reply({"projects": _names(seen, "project", limit)})


@router.get("/users", responses={200: {"model": UsersShape}})
def list_users(seen: Seen, limit: Limit = 1_000) -> Response:
    """Users named by traces, the one with the latest trace first."""
    return reply({"users": _names(seen, "user_id", limit)})


@router.get("/sessions", responses={200: {"model": SessionsShape}})
def list_sessions(seen: Seen, limit: Limit = 1_000) -> Response:
    """Sessions and threads named by traces, the one with the latest trace first."""
    return reply({"sessions": _names(seen, "session_id", limit)})


def _names(seen: View, field: str, limit: int) -> list[dict[str, Json]]:
    store = seen.store
    found = store.tally(field, limit) if isinstance(store, Tallying) else _counted(seen, field)
    return [
        {
            "name": one.name,
            "traces": one.traces,
            "errors": one.errors,
            "first_ms": overview.milliseconds(one.first_ns),
            "last_ms": overview.milliseconds(one.last_ns),
        }
        for one in found[:limit]
    ]


def _counted(seen: View, field: str) -> list[Tally]:
    counted: dict[str, Tally] = {}
    for summary in seen.store.list_traces(TraceFilter(limit=READ)):
        name = getattr(summary, field)
        if name is None:
            continue
        failed = summary.status == "error" or summary.label == "fail"
        known = counted.get(name) or Tally(name, 0, 0, None, summary.start_ns)
        first = summary.start_ns if summary.start_ns is not None else known.first_ns
        counted[name] = Tally(name, known.traces + 1, known.errors + failed, first, known.last_ns)
    return list(counted.values())
