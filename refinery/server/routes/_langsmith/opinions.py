"""Feedback as the API reads it."""

from collections.abc import Iterator

from refinery.adapters._shared.langsmith_tree import moment, project_id, public_id
from refinery.model.trace import Feedback, Json
from refinery.ports import TraceFilter
from refinery.server.routes._langsmith.around import Library
from refinery.server.routes._langsmith.asking import Question

SOURCES = {"human": "app", "llm": "model", "code": "api", "api": "api"}
"""The API's word for who said it."""

_TRACES = 10_000
"""Traces looked through, newest first, for feedback that is not asked for by its run."""


def listed(library: Library, asked: Question) -> list[dict[str, Json]]:
    """The feedback a question means, a page of it.

    Raises:
        RequestError: a value cannot be read.
    """
    runs = asked.texts("run")
    keys, sources = asked.texts("key"), asked.texts("source")
    sessions = asked.texts("session")
    offset = asked.number("offset", 0, 0, 2**31)
    limit = asked.number("limit", 100, 1, 100)
    found: list[dict[str, Json]] = []
    skipped = 0
    for item, project in _of_runs(library, runs) if runs else _all(library):
        fits = (
            (keys is None or item.key in keys)
            and (sources is None or SOURCES.get(item.source, item.source) in sources)
            and (sessions is None or project_id(project) in sessions)
        )
        if fits and skipped < offset:
            skipped += 1
        elif fits:
            found.append(document(library, item, project))
            if len(found) >= limit:
                break
    return found


def one(library: Library, feedback_id: str) -> dict[str, Json] | None:
    """Feedback by its id, among that of the newest traces; None when there is none."""
    wanted = public_id(feedback_id)
    for item, project in _all(library):
        if public_id(item.feedback_id) == wanted:
            return document(library, item, project)
    return None


def document(library: Library, item: Feedback, project: str | None) -> dict[str, Json]:
    """Feedback as the API writes it; what is about a whole trace is about its root."""
    run_id = item.run_id
    if run_id is None and item.trace_id:
        root = library.root(item.trace_id)
        run_id = root.run.run_id if root else item.trace_id
    created = moment(item.created_ns).isoformat()
    return {
        "id": public_id(item.feedback_id),
        "run_id": public_id(run_id) if run_id else None,
        "trace_id": public_id(item.trace_id) if item.trace_id else None,
        "session_id": project_id(project),
        "key": item.key,
        "score": item.score,
        "value": item.value,
        "comment": item.comment,
        "correction": item.correction if isinstance(item.correction, dict | str) else None,
        "feedback_source": {"type": SOURCES.get(item.source, item.source), "metadata": {}},
        "created_at": created,
        "modified_at": created,
        "extra": None,
    }


def _of_runs(library: Library, texts: list[str]) -> Iterator[tuple[Feedback, str | None]]:
    seen: set[str] = set()
    for text in texts:
        stored = library.run(text)
        if stored is None:
            waiting = (f for f in library.store.get_feedback("") if f.run_id == text)
            yield from ((item, None) for item in waiting)
            continue
        for item in library.feedback(stored.run):
            if item.feedback_id not in seen:
                seen.add(item.feedback_id)
                yield item, stored.project


def _all(library: Library) -> Iterator[tuple[Feedback, str | None]]:
    for trace in library.store.list_traces(TraceFilter(limit=_TRACES)):
        for item in library.store.get_feedback(trace.trace_id):
            yield item, trace.project
    for item in library.store.get_feedback(""):
        yield item, None
