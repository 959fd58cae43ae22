"""What the resources of the API work with, and how they get at it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from refinery.ports import Store
from refinery.server.api.digests import Digests
from refinery.server.config import ServeSettings
from refinery.server.jobs.board import Board
from refinery.server.tokens import Tokens
from refinery.server.writer import Writer
from refinery.workflows import wiring
from refinery.workflows.search import EVERYBODY, Scope


@dataclass(slots=True)
class Services:
    """The open store, its writer, and what is remembered between requests."""

    settings: ServeSettings
    store: Store
    writer: Writer
    door: Tokens
    board: Board
    digests: Digests = field(default_factory=Digests)
    scope: Scope = EVERYBODY
    """Whose conversations a search may show: the token opens everybody's."""

    @property
    def home(self) -> Path:
        """The folder of jobs, sessions and receipts.

        Raises:
            InputError: there is none that may be used.
        """
        return self.settings.home or wiring.state_folder()

    def workspace(self) -> wiring.Workspace:
        """What a workflow works with, around the store that is open already.

        Raises:
            InputError: a setting is wrong.
        """
        loaded = wiring.load_settings(flags={"store": self.settings.store})
        return wiring.Workspace(loaded, self.store, self.home)


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Given = Annotated[Services, Depends(_services)]
"""A parameter of a resource's function that takes the services."""
