"""Projects as the API's sessions: those that hold traces, and those a client made before any."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from refinery import clock
from refinery.adapters._shared.langsmith_documents import feedback_stats
from refinery.adapters._shared.langsmith_tree import (
    WORKSPACE_ID,
    moment,
    project_id,
)
from refinery.model.trace import Json
from refinery.ports import RunFilter, StoredRun
from refinery.server.answers import RequestError
from refinery.server.routes._langsmith import notes
from refinery.server.routes._langsmith.around import Library, shown_project
from refinery.server.routes._langsmith.asking import Question
from refinery.server.routes._langsmith.summing import last_start, quantile, summed

MAX_NAME = 500
_KEPT = ("description", "extra", "end_time", "default_dataset_id", "trace_tier")
_MAX_SAID_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Project:
    """One project, as the store and the clients tell of it."""

    name: str
    names: frozenset[str | None] = frozenset()
    """How its traces are filed; empty when it has none."""
    traces: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    note: notes.ProjectNote | None = None

    @property
    def uuid(self) -> str:
        """The id the API knows it by."""
        return project_id(self.name)


def all_projects(library: Library) -> dict[str, Project]:
    """Every project by its UUID, in order of name."""
    found: dict[str, Project] = {}
    for summary in library.store.projects():
        name = shown_project(summary.name)
        project = found.get(project_id(name), Project(name))
        found[project.uuid] = replace(
            project,
            names=project.names | {summary.name},
            traces=project.traces + summary.traces,
            first_ns=_least(project.first_ns, summary.first_ns),
            last_ns=_most(project.last_ns, summary.last_ns),
        )
    for uuid, note in notes.projects(library.store).items():
        found[uuid] = replace(found.get(uuid, Project(note.name)), note=note)
    return dict(sorted(found.items(), key=lambda pair: pair[1].name))


def listed(library: Library, asked: Question) -> list[dict[str, Json]]:
    """The projects a question means, a page of them.

    Raises:
        RequestError: a value cannot be read.
    """
    name, part, ids = asked.text("name"), asked.text("name_contains"), asked.texts("id")
    wanted_ids = None if ids is None else {one.lower() for one in ids}
    has_dataset = "reference_dataset" in asked
    metadata = _metadata(asked)
    offset = asked.number("offset", 0, 0, 2**31)
    limit = asked.number("limit", 100, 1, 100)
    found = [
        project
        for uuid, project in all_projects(library).items()
        if not has_dataset
        and name in (None, project.name)
        and (part is None or part.casefold() in project.name.casefold())
        and (wanted_ids is None or uuid in wanted_ids)
        and metadata.items() <= _said_metadata(project).items()
    ]
    with_stats = bool(asked.flag("include_stats"))
    return [
        document(library, project, with_stats=with_stats)
        for project in found[offset : offset + limit]
    ]


def create(library: Library, asked: Question) -> dict[str, Json]:
    """Make a project; one of that name that is there already stays and is answered.

    Raises:
        RequestError: 422, it has no name.
    """
    name = asked.text("name")
    if not name or len(name) > MAX_NAME:
        raise RequestError(422, f"name must be a text of 1 to {MAX_NAME} characters")
    known = all_projects(library)
    if project_id(name) not in known and len(known) >= notes.MAX_PROJECTS:
        raise RequestError(422, f"there are {notes.MAX_PROJECTS} projects already")
    project = known.get(project_id(name), Project(name))
    return _kept(library, project, asked)


def update(library: Library, project: Project, asked: Question) -> dict[str, Json]:
    """Keep what a client says of a project; its name stays.

    Raises:
        RequestError: 422, another name is given.
    """
    if asked.text("name") not in (None, project.name):
        raise RequestError(422, "a project cannot be renamed: its traces are filed under its name")
    return _kept(library, project, asked)


def document(library: Library, project: Project, *, with_stats: bool = False) -> dict[str, Json]:
    """A project as the API writes it."""
    said = project.note.said if project.note else {}
    made_ns = project.note.created_ns if project.note else None
    start_ns = project.first_ns if project.first_ns is not None else made_ns
    item: dict[str, Json] = {
        "id": project.uuid,
        "name": project.name,
        "tenant_id": WORKSPACE_ID,
        "start_time": moment(start_ns or 0).isoformat(),
        "last_run_start_time": None
        if project.last_ns is None
        else moment(project.last_ns).isoformat(),
        "reference_dataset_id": None,
        **{name: said.get(name) for name in _KEPT},
    }
    return item | _statistics(library, project) if with_stats else item


def runs_of(library: Library, project: Project) -> Iterator[StoredRun]:
    """The root runs of a project, newest first."""
    for name in project.names:
        if name is not None:
            yield from library.runs(RunFilter(project=name, is_root=True))
        else:
            found = library.runs(RunFilter(is_root=True))
            yield from (stored for stored in found if stored.project is None)


def _statistics(library: Library, project: Project) -> dict[str, Json]:
    sums = summed(library, runs_of(library, project))
    return {
        "run_count": sums.runs,
        "latency_p50": quantile(sums.latencies_s, 0.5),
        "latency_p99": quantile(sums.latencies_s, 0.99),
        "first_token_p50": quantile(sums.first_tokens_s, 0.5),
        "first_token_p99": quantile(sums.first_tokens_s, 0.99),
        "total_tokens": sums.total,
        "prompt_tokens": sums.input,
        "completion_tokens": sums.output,
        "total_cost": float(sums.cost_usd),
        "last_run_start_time": last_start(sums),
        "feedback_stats": feedback_stats(sums.feedback),
        "session_feedback_stats": {},
        "run_facets": [],
        "is_complete": sums.is_complete,
        "error_rate": sums.errors / sums.runs if sums.runs else None,
        "streaming_rate": len(sums.first_tokens_s) / sums.runs if sums.runs else None,
    }


def _kept(library: Library, project: Project, asked: Question) -> dict[str, Json]:
    said = dict(project.note.said) if project.note else {}
    for name in _KEPT:
        if name in asked:
            said[name] = asked.value(name)
    if len(json.dumps(said, default=str)) > _MAX_SAID_BYTES:
        raise RequestError(422, f"what is said of a project is over {_MAX_SAID_BYTES} bytes")
    made_ns = project.note.created_ns if project.note else clock.now_ns()
    note = notes.ProjectNote(project.name, made_ns, said)
    notes.keep_project(library.store, note)
    return document(library, replace(project, note=note))


def _metadata(asked: Question) -> dict[str, str]:
    """The metadata a project must have, sent as JSON in a text."""
    text = asked.text("metadata")
    try:
        given = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise RequestError(422, "metadata must be an object in JSON") from error
    if not isinstance(given, dict):
        raise RequestError(422, "metadata must be an object in JSON")
    return {str(name): json.dumps(value) for name, value in given.items()}


def _said_metadata(project: Project) -> dict[str, str]:
    extra = project.note.said.get("extra") if project.note else None
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    held = metadata if isinstance(metadata, dict) else {}
    return {str(name): json.dumps(value) for name, value in held.items()}


def _least(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return min(known, default=None)


def _most(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
