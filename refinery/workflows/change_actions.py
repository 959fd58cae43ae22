"""Takes a change back or makes it again: look at what would be written, then do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import NotFoundError, RefineryError
from refinery.model.codec import encode
from refinery.model.patch import FileChange, Patch
from refinery.model.trace import Json
from refinery.model.verdict import WORK_TREE, Change
from refinery.workflows import changes, repositories
from refinery.workflows import receipt as receipts
from refinery.workflows.wiring import state_folder


@dataclass(frozen=True, slots=True)
class Action:
    """What can be done with a change."""

    verb: str
    """As it is asked, e.g. `Take back`."""
    state: str
    """State of the changes it can be done with."""
    do: Callable[[Repository, Path, str], Change]


ROLLBACK = Action("Take back", changes.APPLIED, changes.rollback)
REDO = Action("Make again", changes.ROLLED_BACK, changes.redo)
ACTIONS: Mapping[str, Action] = MappingProxyType({"rollback": ROLLBACK, "redo": REDO})


@dataclass(frozen=True, slots=True)
class Planned:
    """An action and what it would write."""

    action: Action
    repository: Repository
    home: Path
    change: Change
    patch: Patch
    notes: tuple[str, ...]
    """What was put in order first, after a process that was killed."""


def plan(action: Action, change_id: str = "latest", folder: Path | None = None) -> Planned:
    """Look at what an action would write; writes nothing but the ends of killed actions.

    Args:
        action: what to do.
        change_id: id or unique beginning of one; `latest`: the newest it can be done with.
        folder: in the repository; None: the working directory.

    Raises:
        NotFoundError: there is no such change in that state.
        ConflictError: what the change wrote was written over since.
    """
    repository = Repository.open(repositories.find(folder) or Path.cwd())
    home = state_folder(repository.root)
    notes = tuple(changes.recover(repository, home))
    found = changes.find(home, change_id, action.state)
    if found.state != action.state:
        raise NotFoundError(
            f"{found.change_id} is {found.state} already", hint="see `refinery history`"
        )
    content = changes.preview(repository, home, found)
    patch = build((), content, repository.head_commit())
    return Planned(action, repository, home, found, patch, notes)


def carry_out(planned: Planned) -> Change:
    """Do what was planned, as a new commit; returns the change as it is then.

    Raises:
        ConflictError: what the change wrote was written over since.
        InputError: the repository is busy.
    """
    return planned.action.do(planned.repository, planned.home, planned.change.change_id)


def to_document(planned: Planned, done: Change | None) -> dict[str, Json]:
    """The JSON of `refinery rollback` and `refinery redo`; without `done` that of `--dry-run`."""
    return {
        "change": change_document(done or planned.change),
        "diff": planned.patch.diff,
        "dry_run": done is None,
    }


def change_document(change: Change) -> dict[str, Json]:
    """One change as the JSON of `refinery history`."""
    return {**encode(change), "id": change.change_id}


def diff_of(change: Change, home: Path, repository: Repository) -> str | None:
    """What a change changed, as a unified diff; None when its commit is gone or there is none."""
    if change.branch == WORK_TREE:
        kept = receipts.path_of(home, change.change_id)
        return receipts.unpack(kept.read_bytes(), str(kept)).patch.diff if kept.is_file() else None
    try:
        base = repository.resolve(f"{change.commit}^")
        made = tuple(
            FileChange(path, repository.read(path, base), repository.read(path, change.commit))
            for path in change.paths
        )
    except RefineryError:
        return None
    return build((), made, base).diff
