"""`/session`: what the pages need to know first."""

from fastapi import APIRouter
from starlette.responses import Response

import refinery
from refinery.errors import InputError
from refinery.server.api.replies import reply
from refinery.server.api.services import Given
from refinery.server.api.shapes import SessionShape
from refinery.workflows import repositories, search

router = APIRouter(tags=["session"])


@router.get("/session", responses={200: {"model": SessionShape}})
def read_session(given: Given) -> Response:
    """Who is served: the CSRF value, the version, the repository, whether a model is named.

    `has_meaning`: whether conversations can be searched by meaning too.
    """
    try:
        has_model = given.workspace().settings.values.model is not None
    except InputError:
        has_model = False
    folder = repositories.find(None)
    return reply(
        {
            "csrf": given.door.csrf,
            "version": refinery.__version__,
            "repository": str(folder) if folder else None,
            "has_model": has_model,
            "has_meaning": search.is_installed(),
            "store": given.settings.store,
        }
    )
