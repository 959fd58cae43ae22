"""Traces of LangSmith, fetched through its SDK.

`fetch_trace` gets one trace whole, `fetch_failed_traces` lists failed ones without what went in
and out and loads each on demand, `fetch_trace_hierarchy` gets the tree alone. Answers are kept
for 15 minutes. The endpoint and the key are those of the SDK (`LANGSMITH_ENDPOINT`,
`LANGSMITH_API_KEY`); nothing of an answer is revived, and no address in it is followed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from refinery.adapters._shared import langsmith_address as address
from refinery.adapters._shared.file_cache import FileCache
from refinery.adapters._shared.langsmith_address import Reference
from refinery.adapters._shared.langsmith_api import FULL, LIGHT, Api, NoVersion2Error, Query
from refinery.adapters._shared.langsmith_runs import to_run
from refinery.errors import NotFoundError
from refinery.model.trace import Json, Run, Trace
from refinery.model.walk import in_tree_order
from refinery.safety.redact import redact

CACHE_S = 15 * 60
"""How long an answer is kept, in seconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROJECTS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class RemoteTrace:
    """A failed trace as the list shows it; `load` gets the rest."""

    root: Run
    """The root run without inputs and outputs."""
    project: str
    _load: Callable[[], Trace]

    def load(self) -> Trace:
        """The whole trace.

        Raises:
            NotFoundError: it was deleted in the meantime.
        """
        return self._load()


class LangSmithAdapter:
    """Reads one LangSmith service; a context manager."""

    def __init__(self, cache: Path, endpoint: str | None = None) -> None:
        self._cache = FileCache(cache, CACHE_S)
        self._endpoint = endpoint
        self._apis: dict[str | None, Api] = {}
        self._only_v1: set[str] = set()

    def __enter__(self) -> "LangSmithAdapter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        for api in self._apis.values():
            api.close()
        self._apis.clear()

    def fetch_trace(self, reference: str, project: str | None = None) -> Trace:
        """The whole trace that a run id or an address names; the run may be any of the trace.

        Raises:
            NotFoundError: there is none, or not in that project.
            CredentialsError: the key was refused.
            InputError: the reference cannot be read, or the service not be reached.
        """
        return self._trace(address.parse(reference), project, FULL)

    def fetch_trace_hierarchy(self, reference: str, project: str | None = None) -> Trace:
        """The tree of a trace: all runs, without inputs, outputs and events.

        Raises:
            NotFoundError, CredentialsError, InputError: as `fetch_trace`.
        """
        return self._trace(address.parse(reference), project, LIGHT)

    def fetch_failed_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 100,
    ) -> list[RemoteTrace]:
        """Traces of a project whose root ended in an error; see `list_traces`."""
        return self.list_traces(project, since_ns=since_ns, until_ns=until_ns, limit=limit)

    def list_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> list[RemoteTrace]:
        """Traces of a project, newest first.

        Args:
            project: name or id; None: `LANGSMITH_PROJECT`, else `default`.
            since_ns: earliest start, nanoseconds UTC.
            until_ns: end of the range, not included.
            only_failed: only those whose root ended in an error.
            limit: most traces.

        Raises:
            NotFoundError: there is no such project.
            CredentialsError, InputError: as `fetch_trace`.
        """
        name = project or _default_project()
        api = self._api(Reference())
        project_id = self._project_id(api, name)
        query = Query(
            project_ids=(project_id,),
            only_roots=True,
            only_failed=only_failed,
            since=_whole_quarters(since_ns),
            until=_moment(until_ns),
            limit=limit,
            fields=LIGHT,
        )
        roots = [to_run(item) for item in self._ask(api, query)]
        wanted = [run for run in roots if _is_within(run, since_ns, until_ns)]
        wanted.sort(key=lambda run: run.start_ns or 0, reverse=True)
        return [self._remote(run, project_id, name) for run in wanted[:limit]]

    def _remote(self, root: Run, project_id: str, name: str) -> RemoteTrace:
        reference = Reference(root.run_id, root.trace_id, project_id)

        def load() -> Trace:
            return replace(self._trace(reference, None, FULL), project=name)

        return RemoteTrace(root, name, load)

    def _trace(self, reference: Reference, project: str | None, fields: Sequence[str]) -> Trace:
        api = self._api(reference)
        if reference.share_token:
            items = self._shared(api, reference.share_token)
        else:
            items = self._runs_of(api, reference, project, fields)
        if not items:
            raise NotFoundError(
                f"LangSmith has no trace {reference.run_id or reference.share_token}",
                hint="check the id and, with --project, the project; old traces expire there",
            )
        runs = in_tree_order([to_run(item) for item in items])
        found = project or _text(items[0], "project_id", "session_id")
        return Trace(runs[0].trace_id, runs, source="langsmith", project=found)

    def _runs_of(
        self, api: Api, reference: Reference, project: str | None, fields: Sequence[str]
    ) -> list[dict[str, Json]]:
        """All runs of the trace the referenced run belongs to."""
        if project:
            projects: tuple[str, ...] = (self._project_id(api, project),)
        else:
            projects = (reference.project_id,) if reference.project_id else ()
        trace_id = reference.trace_id
        if trace_id is None:
            run = self._find(api, reference.run_id or "", projects)
            if run is None:
                return []
            trace_id = _text(run, "trace_id")
            found_in = _text(run, "project_id", "session_id")
            projects = (found_in,) if found_in else projects
        return self._ask(api, Query(project_ids=projects, trace_id=trace_id, fields=fields))

    def _find(self, api: Api, run_id: str, projects: tuple[str, ...]) -> dict[str, Json] | None:
        """The run of an id, wherever it is."""
        if api.url in self._only_v1 and not projects:
            return api.read_v1(run_id)
        everywhere = projects or tuple(api.project_ids())
        for at in range(0, len(everywhere), _PROJECTS_AT_ONCE):
            batch = everywhere[at : at + _PROJECTS_AT_ONCE]
            found = self._ask(api, Query(project_ids=batch, run_id=run_id, fields=LIGHT, limit=1))
            if found:
                return found[0]
        return None

    def _ask(self, api: Api, query: Query) -> list[dict[str, Json]]:
        """Runs without secrets, from the cache or from the newest API the service knows."""

        def answer() -> list[dict[str, Json]]:
            if api.url not in self._only_v1:
                try:
                    return api.query_v2(query)
                except NoVersion2Error:
                    self._only_v1.add(api.url)
            return api.query_v1(query)

        return self._cached(api, repr(query), answer)

    def _shared(self, api: Api, token: str) -> list[dict[str, Json]]:
        def answer() -> list[dict[str, Json]]:
            try:
                return api.shared_v2(token)
            except NoVersion2Error:
                return api.shared_v1(token)

        return self._cached(api, f"shared {token}", answer)

    def _cached(
        self, api: Api, asked: str, answer: Callable[[], list[dict[str, Json]]]
    ) -> list[dict[str, Json]]:
        """What was answered within the last quarter of an hour with the same key, or now."""
        key = hashlib.sha256((api.client.api_key or "").encode()).hexdigest()[:16]
        question = json.dumps([api.url, api.client.workspace_id, key, asked])
        kept = self._cache.get(question)
        if isinstance(kept, list):
            return kept
        items: list[dict[str, Json]] = redact(answer())[0]
        if items:  # a trace may arrive a moment after it was first asked for
            self._cache.put(question, items)
        return items

    def _api(self, reference: Reference) -> Api:
        named = os.environ.get("LANGSMITH_ENDPOINT") or os.environ.get("LANGCHAIN_ENDPOINT")
        url = address.endpoint(reference, self._endpoint or named)
        if url not in self._apis:
            self._apis[url] = Api(url)
        return self._apis[url]

    def _project_id(self, api: Api, project: str) -> str:
        return project if address.is_uuid(project) else api.project_id(project)


def _default_project() -> str:
    named = os.environ.get("LANGSMITH_PROJECT") or os.environ.get("LANGCHAIN_PROJECT")
    return named or "default"


def _text(item: dict[str, Json], *names: str) -> str | None:
    return next((str(item[name]) for name in names if item.get(name)), None)


def _moment(ns: int | None) -> datetime | None:
    return None if ns is None else _EPOCH + timedelta(microseconds=ns // 1000)


def _whole_quarters(ns: int | None) -> datetime | None:
    """The moment moved back to a whole quarter of an hour, so that the cache can answer."""
    return None if ns is None else _moment(ns - ns % (CACHE_S * 10**9))


def _is_within(run: Run, since_ns: int | None, until_ns: int | None) -> bool:
    start = run.start_ns
    if start is None:
        return since_ns is None and until_ns is None
    return (since_ns is None or start >= since_ns) and (until_ns is None or start < until_ns)
