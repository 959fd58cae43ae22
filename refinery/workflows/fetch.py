"""Copies traces of a service to the store."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refinery import plugins
from refinery.errors import NotFoundError
from refinery.model.trace import Trace
from refinery.workflows.wiring import Workspace

if TYPE_CHECKING:
    from refinery.adapters.langsmith import LangSmithAdapter


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Which traces to fetch from LangSmith: one, or the failed ones of a project."""

    reference: str | None = None
    """Id or URL of a run or trace; None: the failed traces of the project."""
    project: str | None = None
    """Name or id; None: the one of the LangSmith settings."""
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Fetched:
    """One trace copied to the store."""

    trace: Trace
    new_runs: int


def fetch(workspace: Workspace, request: FetchRequest) -> list[Fetched]:
    """Fetch traces from LangSmith and copy each to the store as soon as it is here.

    Raises:
        CredentialsError: LangSmith refused the key.
        InputError: LangSmith cannot be reached, or the reference cannot be read.
        NotFoundError: there is no such trace or project.
    """
    with _langsmith(workspace) as remote:
        if request.reference is not None:
            traces: Iterable[Trace] = [remote.fetch_trace(request.reference, request.project)]
        else:
            found = remote.fetch_failed_traces(
                request.project,
                since_ns=request.since_ns,
                until_ns=request.until_ns,
                limit=request.limit,
            )
            traces = (item.load() for item in found)
        return [_keep(workspace, trace) for trace in traces]


def fetch_one(workspace: Workspace, reference: str) -> Trace:
    """Fetch one trace and answer it as the store holds it.

    Raises:
        CredentialsError, InputError, NotFoundError: as `fetch` does.
    """
    fetched = fetch(workspace, FetchRequest(reference=reference))[0].trace
    stored = workspace.store.get_trace(fetched.trace_id)
    if stored is None:
        raise NotFoundError(f"no trace {reference!r}", hint="it held no runs")
    return stored


def _langsmith(workspace: Workspace) -> "LangSmithAdapter":
    adapter: LangSmithAdapter = plugins.load("adapters", "langsmith").LangSmithAdapter(
        workspace.home / "cache" / "langsmith"
    )
    return adapter


def _keep(workspace: Workspace, trace: Trace) -> Fetched:
    new = workspace.store.write_runs(trace.runs, source=trace.source, project=trace.project)
    return Fetched(trace, new)
