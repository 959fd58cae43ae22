"""Refuses users' tokens wherever an operation does not say that it confines what it answers."""

from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from refinery.server.answers import problem
from refinery.server.api.confined import ASK, NOT_OPEN
from refinery.server.api.services import view_of
from refinery.server.tokens import CALLER, Caller

DESCRIPTION = "/openapi.json"
"""Tells how to ask, and holds nothing that was recorded."""


class Confinement:
    """ASGI middleware around the API's routes.

    Args:
        app: answers what is let through.
        routes: of the API, in the order they are tried.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the owner asks, and what users may."""
        refused = self._refused(scope) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to what is not passed on: what is not known to be confined never is."""
        caller: Caller | None = scope.get(CALLER)
        if caller is not None and caller.grant is None:
            return None
        found = (one for one in self.routes if one.matches(scope)[0] is Match.FULL)
        route = next(found, None)
        if caller is None or (route is not None and not is_confined(route)):
            return problem(403, NOT_OPEN, hint=ASK)
        return problem(404, "Not Found") if route is None else None


def is_confined(route: BaseRoute) -> bool:
    """Whether an operation reads through what a user's token opens, or reads nothing."""
    if isinstance(route, APIRoute):
        return any(one.call is view_of for one in route.dependant.dependencies)
    return getattr(route, "path", None) == DESCRIPTION
