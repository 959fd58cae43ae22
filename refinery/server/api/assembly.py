"""Puts the API together: resources, errors, description."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import refinery
from refinery.errors import RefineryError
from refinery.server.answers import RequestError
from refinery.server.api import (
    changing,
    comparing,
    description,
    guiding,
    measuring,
    names,
    opinions,
    ordering,
    replies,
    runs,
    searching,
    session,
    traces,
)
from refinery.server.api.bounds import Bounded
from refinery.server.api.confinement import Confinement
from refinery.server.api.services import Services

RESOURCES = (
    *(session, names, comparing, changing, guiding, measuring, ordering),
    *(runs, searching, opinions, traces),
)
"""In the order their paths are tried: ids may hold slashes, so the longest come first."""


def create_api(state: State) -> FastAPI:
    """The API as an application of its own, to be mounted at `/refinery/v1`.

    Args:
        state: of the application around it: `settings`, `store`, `writer` and `board`.
    """
    app = FastAPI(
        title="Refinery",
        version=refinery.__version__,
        summary="Traces, diagnoses, replays, fixes and changes of this machine.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        responses=replies.ERRORS,
        exception_handlers={
            RefineryError: replies.on_own_error,
            RequestError: replies.on_request_error,
            HTTPException: replies.on_http_error,
            RequestValidationError: replies.on_invalid,
            Exception: replies.on_bug,
        },
    )
    app.state.services = Services(state.settings, state.store, state.writer, state.board)
    described = list(app.routes)
    for resource in RESOURCES:
        app.include_router(resource.router)
    own = [route for resource in RESOURCES for route in resource.router.routes]
    app.add_middleware(Confinement, routes=[*described, *own])
    app.add_middleware(Bounded)
    _secure(app)
    return app


def _secure(app: FastAPI) -> None:
    """Say in the description how requests show that they may come in."""
    spec = app.openapi()
    spec.setdefault("components", {})["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "As `refinery serve` prints, or one user's, of `refinery tokens add`.",
        }
    }
    spec["security"] = [{"token": []}]


async def describe(request: Request) -> Response:
    """The description of the API as a page."""
    mounted = request.app.state.api
    return HTMLResponse(description.page(mounted.openapi()))
