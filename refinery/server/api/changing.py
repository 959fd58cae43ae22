"""`/changes`: what was committed, taken back and made again."""

from pathlib import Path as Folder
from typing import Annotated

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from refinery.codebase.repository import Repository
from refinery.errors import RefineryError
from refinery.server.api.replies import reply
from refinery.server.api.services import Given
from refinery.server.api.shapes import ActionShape, ChangeShape, ChangesShape
from refinery.workflows import change_actions, changes, repositories
from refinery.workflows.receipt_summary import summary_of

router = APIRouter(tags=["changes"])

ChangeId = Annotated[str, Path(min_length=1, max_length=100)]


class How(BaseModel):
    """How far to go."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    """Show what would be written, and write nothing."""


Wish = Annotated[How, Body()]
_REALLY = How()


@router.get("/changes", responses={200: {"model": ChangesShape}})
def list_changes(given: Given) -> Response:
    """Changes Refinery committed to this repository, newest first."""
    found = changes.history(given.home)
    return reply({"changes": [change_actions.change_document(change) for change in found]})


@router.get("/changes/{change_id}", responses={200: {"model": ChangeShape}})
def read_change(given: Given, change_id: ChangeId) -> Response:
    """One change with its diff and what its receipt says."""
    found = changes.find(given.home, change_id)
    try:
        repository = Repository.open(repositories.find(None) or Folder.cwd())
    except RefineryError:  # the list of changes outlives the repository
        diff = None
    else:
        diff = change_actions.diff_of(found, given.home, repository)
    return reply(
        {
            "change": change_actions.change_document(found),
            "diff": diff,
            "receipt": summary_of(given.home, found.change_id),
        }
    )


@router.post("/changes/{change_id}/rollback", responses={200: {"model": ActionShape}})
def roll_back(given: Given, change_id: ChangeId, how: Wish = _REALLY) -> Response:
    """Take a change back as a new commit, keeping later work."""
    return _act(change_actions.ROLLBACK, change_id, how)


@router.post("/changes/{change_id}/redo", responses={200: {"model": ActionShape}})
def redo(given: Given, change_id: ChangeId, how: Wish = _REALLY) -> Response:
    """Make a change again that was rolled back, as a new commit."""
    return _act(change_actions.REDO, change_id, how)


def _act(action: change_actions.Action, change_id: str, how: How) -> Response:
    planned = change_actions.plan(action, change_id)
    done = None if how.dry_run else change_actions.carry_out(planned)
    return reply(change_actions.to_document(planned, done))
