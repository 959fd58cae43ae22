"""Copies traces of a service to the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from refinery import plugins
from refinery.errors import InputError, NotFoundError, PluginError
from refinery.model.trace import Feedback, Trace
from refinery.ports import TraceService
from refinery.workflows.wiring import Workspace

if TYPE_CHECKING:
    from refinery.adapters.langsmith import LangSmithAdapter

DEFAULT_SOURCE = "langsmith"
"""The service asked when neither an option nor an address names one."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Which traces to fetch: one, or those of a project."""

    reference: str | None = None
    """Id or URL of a trace (LangSmith: of any run of it); None: traces of the project."""
    source: str | None = None
    """The adapter; None: the one whose service the reference is at, else `DEFAULT_SOURCE`."""
    url: str | None = None
    """Address of the service; None: as its own variables say."""
    project: str | None = None
    """Name or id; None: as the service's own variables say."""
    since_ns: int | None = None
    until_ns: int | None = None
    only_failed: bool = True
    """Without a reference: only traces that failed."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Fetched:
    """One trace copied to the store."""

    trace: Trace
    new_runs: int
    feedback: int = 0
    """How many remarks came with it."""


def sources() -> list[str]:
    """Names of the services traces can be fetched from."""
    found = [name for name in plugins.names("adapters") if _has_service(name)]
    return sorted({DEFAULT_SOURCE, *found})


def fetch(workspace: Workspace, request: FetchRequest) -> list[Fetched]:
    """Fetch traces from a service and copy each to the store as soon as it is here.

    Raises:
        CredentialsError: a key is missing or was refused.
        InputError: the service cannot be reached, or the reference cannot be read.
        NotFoundError: there is no such trace or project.
        PluginError: there is no such service.
    """
    with _service(workspace, request) as service:
        if request.reference is not None:
            return [_keep(workspace, service.fetch_trace(request.reference))]
        found = service.fetch_traces(
            request.project,
            since_ns=request.since_ns,
            until_ns=request.until_ns,
            only_failed=request.only_failed,
            limit=request.limit,
        )
        return [_keep(workspace, labelled) for labelled in found]


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


def _has_service(name: str) -> bool:
    try:
        return hasattr(plugins.load("adapters", name), "connect")
    except PluginError:
        return False  # a library of another adapter is missing


def _service(workspace: Workspace, request: FetchRequest) -> TraceService:
    source = request.source or _source_of(request.reference)
    if source == DEFAULT_SOURCE:
        adapter = plugins.load("adapters", source)
        return _LangSmith(
            adapter.LangSmithAdapter(workspace.home / "cache" / source, request.url),
            request.project,
        )
    module = plugins.load("adapters", source)
    if not hasattr(module, "connect"):
        raise InputError(
            f"the adapter {source!r} reads files, not a service",
            hint=f"one of: {', '.join(sources())}; for files, use `refinery import`",
        )
    service: TraceService = module.connect(request.url, request.reference)
    return service


def _source_of(reference: str | None) -> str:
    if reference is None or "://" not in reference:
        return DEFAULT_SOURCE
    others = (name for name in sources() if name != DEFAULT_SOURCE)
    owners = (name for name in others if plugins.load("adapters", name).owns(reference))
    return next(owners, DEFAULT_SOURCE)


class _LangSmith:
    """LangSmith as the other services are asked."""

    def __init__(self, adapter: "LangSmithAdapter", project: str | None) -> None:
        self._adapter = adapter
        self._project = project

    def __enter__(self) -> "_LangSmith":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._adapter.close()

    def fetch_trace(self, reference: str) -> tuple[Trace, tuple[Feedback, ...]]:
        return self._adapter.fetch_trace(reference, self._project), ()

    def fetch_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]:
        found = self._adapter.list_traces(
            project,
            since_ns=since_ns,
            until_ns=until_ns,
            only_failed=only_failed,
            limit=limit,
        )
        return ((item.load(), ()) for item in found)


def _keep(workspace: Workspace, labelled: tuple[Trace, tuple[Feedback, ...]]) -> Fetched:
    trace, said = labelled
    new = workspace.store.write_runs(trace.runs, source=trace.source, project=trace.project)
    workspace.store.write_feedback(said)
    return Fetched(trace, new, len(said))
