"""Puts the server together: the gate, each protocol's routes, our API, the pages, the store.

Paths are brought to one form before routing (`paths.plain`), so every route is declared once:
LangSmith's v1 API without a prefix (`/runs/query`), its v2 API as `/api/v2/…`, OpenTelemetry's
as `/v1/traces`, `/v1/logs` and `/v1/metrics`, our own API as `/refinery/v1/…`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refinery.server import pages, security, spooling, tokens
from refinery.server.api.assembly import create_api, describe
from refinery.server.api.replies import on_http_error
from refinery.server.body import Memory
from refinery.server.config import ServeSettings
from refinery.server.grants import Watched
from refinery.server.ingest import langsmith, otlp
from refinery.server.jobs.board import Board
from refinery.server.routes import langsmith as reading
from refinery.server.writer import Writer
from refinery.workflows.wiring import open_store, state_folder


def create_app(settings: ServeSettings) -> FastAPI:
    """The server as an ASGI application.

    `app.state.store` is the open store, `app.state.writer` commits what arrives,
    `app.state.settings` says how it was set up, `app.state.token` opens pages and API. The end of
    the application's lifespan drains the writer and closes the store.

    Raises:
        StoreError: the store cannot be used.
        PluginError: no store plug-in of that scheme.
    """
    app = FastAPI(
        title="refinery", lifespan=_lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_exception_handler(HTTPException, _missing)
    app.state.settings = settings
    app.state.store = open_store(settings.store)
    app.state.memory = Memory(settings.limits.pending_bytes)
    app.state.writer = Writer(app.state.store, settings.limits)
    app.state.board = Board(partial(_home, settings), settings.store)
    app.state.token = settings.token or tokens.new_token()
    users = Watched(partial(_home, settings))
    door = tokens.Tokens(app.state.token, users, settings.opens_once)
    routes = (*langsmith.ROUTES, *otlp.ROUTES)
    app.router.routes.extend((*routes, *pages.ROUTES))
    app.state.api = create_api(app.state)
    app.mount(tokens.API, app.state.api)
    app.router.routes.append(Route(tokens.DOCS, describe))
    app.include_router(reading.router)
    app.add_middleware(security.Gate, settings=settings, taking=routes, door=door)
    return app


async def _missing(request: Request, error: Exception) -> Response:
    """The answer where no route fits; for our API in its own form."""
    is_ours = request.url.path.startswith(f"{tokens.API}/")
    if is_ours or not isinstance(error, HTTPException):
        return await on_http_error(request, error)
    return await http_exception_handler(request, error)


def _home(settings: ServeSettings) -> Path:
    return settings.home or state_folder()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with spooling.draining(app.state.settings.spool, app.state.store):
        yield
        await app.state.board.close()
    await anyio.to_thread.run_sync(app.state.writer.close)
    await anyio.to_thread.run_sync(app.state.store.close)
