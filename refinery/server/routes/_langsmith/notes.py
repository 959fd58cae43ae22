"""What the API keeps besides traces: shared traces, and projects made before any trace.

Both are entries in the store's feedback under names that are no trace's id, so that they live and
move with the store and appear in no trace.
"""

from dataclasses import dataclass
from typing import Any

from refinery import clock
from refinery.adapters._shared.langsmith_tree import project_id, public_id
from refinery.model.trace import Feedback, Json
from refinery.ports import Store

SHARES = "refinery:shares"
PROJECTS = "refinery:projects"
MAX_SHARES = 1_000
MAX_PROJECTS = 10_000


@dataclass(frozen=True, slots=True)
class Share:
    """A trace that can be read by whoever knows the token."""

    token: str
    run_id: str
    trace_id: str
    """Native ids."""


@dataclass(frozen=True, slots=True)
class ProjectNote:
    """What a client said of a project."""

    name: str
    created_ns: int
    said: dict[str, Json]
    """`description`, `extra`, `end_time`, as sent."""


def shares(store: Store) -> list[Share]:
    """Every shared trace."""
    found = []
    for entry in store.get_feedback(SHARES):
        value = entry.value if isinstance(entry.value, dict) else {}
        token, run_id, trace_id = (value.get(name) for name in ("token", "run_id", "trace_id"))
        if isinstance(token, str) and isinstance(run_id, str) and isinstance(trace_id, str):
            found.append(Share(token, run_id, trace_id))
    return found


def share(store: Store, wanted: Share) -> None:
    """Share a trace; the token of a trace that is shared already is replaced."""
    value = {"token": wanted.token, "run_id": wanted.run_id, "trace_id": wanted.trace_id}
    _write(store, SHARES, public_id(f"share {wanted.run_id}"), value)


def unshare(store: Store, run_id: str) -> None:
    """Make a token useless."""
    _write(store, SHARES, public_id(f"share {run_id}"), None)


def projects(store: Store) -> dict[str, ProjectNote]:
    """What clients said of projects, by the project's UUID."""
    found = {}
    for entry in store.get_feedback(PROJECTS):
        value = entry.value if isinstance(entry.value, dict) else {}
        name, said = value.get("name"), value.get("said")
        if isinstance(name, str):
            note = ProjectNote(name, entry.created_ns, said if isinstance(said, dict) else {})
            found[project_id(name)] = note
    return found


def keep_project(store: Store, note: ProjectNote) -> None:
    """Keep what a client said of a project."""
    value = {"name": note.name, "said": note.said}
    _write(store, PROJECTS, project_id(note.name), value, note.created_ns)


def _write(store: Store, where: str, key: str, value: Any, created_ns: int | None = None) -> None:
    store.write_feedback(
        [
            Feedback(
                feedback_id=key,
                trace_id=where,
                key=where,
                value=value,
                source="api",
                created_ns=clock.now_ns() if created_ns is None else created_ns,
            )
        ]
    )
