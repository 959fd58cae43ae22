"""`/session`: what the pages need to know first."""

from fastapi import APIRouter
from starlette.responses import Response

import refinery
from refinery.errors import InputError
from refinery.server.api.replies import reply
from refinery.server.api.services import Seen
from refinery.server.api.shapes import SessionShape
from refinery.workflows import repositories, search

router = APIRouter(tags=["session"])


@router.get("/session", responses={200: {"model": SessionShape}})
def read_session(seen: Seen) -> Response:
    """Who is served: the CSRF value, the version, the repository, whether a model is named.

    `has_meaning`: whether conversations can be searched by meaning too. `scope`: whose traces the
    token opens, and of which project; null: everything. A user is told nothing of the machine.
    """
    grant = seen.grant
    about = {
        "csrf": seen.caller.csrf,
        "version": refinery.__version__,
        "has_meaning": search.is_installed(),
    }
    if grant is not None:
        scope = {"user": grant.user, "project": grant.project, "expires_ms": grant.expires_ms}
        hidden = {"repository": None, "has_model": False, "store": ""}
        return reply({**about, **hidden, "scope": scope})
    try:
        has_model = seen.workspace().settings.values.model is not None
    except InputError:
        has_model = False
    folder = repositories.find(None)
    repository = str(folder) if folder else None
    store = seen.settings.store
    owned = {"repository": repository, "has_model": has_model, "store": store, "scope": None}
    return reply({**about, **owned})
