"""What the resources of the API work with, and how they get at it.

A function that takes `Given` is the owner's alone. One that takes `Seen` answers users' tokens as
well, and sees through it what the token opens; nothing else reaches it (`confinement`).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from refinery.errors import InputError
from refinery.model.trace import Json, TraceSummary
from refinery.ports import Store
from refinery.server.answers import RequestError
from refinery.server.api.confined import ASK, NOT_OPEN, confined
from refinery.server.api.digests import Digests
from refinery.server.config import ServeSettings
from refinery.server.jobs.board import Board
from refinery.server.tokens import CALLER, Caller
from refinery.server.writer import Writer
from refinery.workflows import wiring
from refinery.workflows.search import EVERYBODY, Scope, Ways


@dataclass(slots=True)
class Services:
    """The open store, its writer, and what is remembered between requests."""

    settings: ServeSettings
    store: Store
    writer: Writer
    board: Board
    digests: Digests = field(default_factory=Digests)

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


class View:
    """What a request may see: everything, or one user's traces."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self.caller = caller
        self.grant = grant = caller.grant
        """None: everything may be seen."""
        self.store = services.store if grant is None else confined(services.store, grant)
        """All that is read of traces is read from here."""
        self.scope = EVERYBODY if grant is None else Scope(user=grant.user)
        """Whose conversations a search may show."""

    @property
    def settings(self) -> ServeSettings:
        """How the server is set up; for what a user may not know, look at `grant` first."""
        return self._services.settings

    def line(self, summary: TraceSummary) -> dict[str, Json]:
        """The line of a trace that `store` listed."""
        return self._services.digests.line(self.store, summary)

    def findings_of(self, trace_id: str) -> list[Json]:
        """What the owner's last diagnosis of a trace found; it may cite other traces."""
        return self._services.board.findings_of(trace_id) if self.grant is None else []

    def workspace(self) -> wiring.Workspace:
        """What a workflow works with, around `store`.

        Raises:
            InputError: a setting is wrong; a user is not told which.
        """
        try:
            return replace(self._services.workspace(), store=self.store)
        except InputError as error:
            if self.grant is None:
                raise
            raise InputError("a setting of the server is wrong", hint=ASK) from error

    def searching(self, filling_s: float) -> Ways:
        """How to search: the index is everybody's, whoever asks."""
        return Ways(filling_s=filling_s, whole=self._services.store)

    def limit(self, user: str | None, project: str | None) -> None:
        """Check that nothing is asked for by name that the token does not open.

        Raises:
            RequestError: 403, another user or project is named.
        """
        grant = self.grant
        if grant is None:
            return
        if user not in (None, grant.user):
            raise RequestError(403, f"{NOT_OPEN}; leave the user out")
        if grant.project is not None and project not in (None, grant.project):
            raise RequestError(403, f"{NOT_OPEN}; leave the project out")


def services_of(request: Request) -> Services:
    """Everything; for the owner.

    Raises:
        RequestError: 403, a user asks.
    """
    if _caller(request).grant is not None:
        raise RequestError(403, NOT_OPEN)
    found: Services = request.app.state.services
    return found


def view_of(request: Request) -> View:
    """What whoever asks may see."""
    return View(request.app.state.services, _caller(request))


def _caller(request: Request) -> Caller:
    found: Caller = request.scope[CALLER]  # the gate notes it; without one nothing is answered
    return found


Given = Annotated[Services, Depends(services_of)]
"""A parameter of a resource's function that takes the services."""
Seen = Annotated[View, Depends(view_of)]
"""A parameter of a resource's function that answers users' tokens too."""
