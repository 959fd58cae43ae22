"""Traces of Langfuse: fetched from its API, or read from files its web page exported.

Files hold `{"trace": …, "observations": […]}`, the answer of `GET /api/public/traces/{id}`, a
page of observations, or a list of any of these, as JSON or one a line. Keys for fetching are
`LANGFUSE_PUBLIC_KEY` and `LANGFUSE_SECRET_KEY`; `LANGFUSE_HOST` names the server.
"""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType

from refinery.adapters._shared import remote, remote_address
from refinery.adapters._shared.http import Address, Service, base
from refinery.adapters._shared.langfuse_api import LangfuseApi
from refinery.adapters._shared.langfuse_runs import labelled_of
from refinery.adapters._shared.plain import as_name, as_object, as_objects
from refinery.adapters._shared.remote import Labelled
from refinery.errors import CredentialsError, InputError, TraceFormatError
from refinery.model.trace import Json, Trace

HOSTS = ("cloud.langfuse.com",)
"""Langfuse's own hosts; regions are below."""

_KEYS = "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"
_TRACE_FIRST = re.compile(r'\{\s*"trace"\s*:\s*\{')
_OF_TRACE = re.compile(r'"(?:projectId|bookmarked|sessionId|observations)"\s*:')
_OF_OBSERVATION = re.compile(r'"(?:parentObservationId|completionStartTime)"\s*:')


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file begins with a trace or an observation in Langfuse's words."""
    start = head.decode("utf-8-sig", "replace").lstrip()
    if not start.startswith(("{", "[")):
        return False
    if _OF_OBSERVATION.search(start):
        return True
    whole = '"projectId"' in start and '"timestamp"' in start
    return bool(_OF_TRACE.search(start)) and (bool(_TRACE_FIRST.match(start)) or whole)


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in its order; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[Labelled]:
    """The traces of a file with their scores; the whole file is read before the first.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it is no JSON, or holds neither traces nor observations.
    """
    loose: list[dict[str, Json]] = []
    for where, document in remote.documents(path):
        with remote.placed(where):
            for item in _items(document):
                if found := _whole(item):
                    yield remote.cleaned(found)
                elif item.get("traceId") is not None and "type" in item:
                    loose.append(item)
                else:
                    raise TraceFormatError(
                        "neither a trace nor an observation of Langfuse",
                        hint="export traces with their observations, as JSON",
                    )
    with remote.placed(str(path)):
        for trace_id, items in remote.grouped(loose, "traceId"):
            yield remote.cleaned(labelled_of({"id": trace_id}, items))


def _items(document: Json) -> list[dict[str, Json]]:
    """The records of a document: itself, its entries, or those of a page."""
    if isinstance(document, list):
        return _objects(document)
    whole = as_object(document)
    return _objects(whole["data"]) if isinstance(whole.get("data"), list) else [whole]


def _objects(entries: list[Json]) -> list[dict[str, Json]]:
    found = as_objects(entries)
    if len(found) != len(entries):
        raise TraceFormatError("an entry is no object", hint="export the traces as JSON")
    return found


def _whole(item: Mapping[str, Json]) -> Labelled | None:
    """A trace with its observations; None when the record is no trace."""
    trace = as_object(item.get("trace")) or as_object(item)
    held = item.get("observations")
    is_trace = isinstance(held, list) or ("timestamp" in item and "traceId" not in item)
    if not is_trace or as_name(trace.get("id")) is None:
        return None
    observations = as_objects(held)
    scores = [*as_objects(trace.get("scores")), *as_objects(item.get("scores"))]
    return labelled_of(trace, observations, scores)


class LangfuseService:
    """Reads one project of a Langfuse server; a context manager."""

    def __init__(self, address: Address) -> None:
        self._service = Service(address)
        self._api = LangfuseApi(self._service)

    def __enter__(self) -> "LangfuseService":
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
        self._service.close()

    def fetch_trace(self, reference: str) -> Labelled:
        """The whole trace of an id or of an address in the web page.

        Raises:
            NotFoundError: there is none in the project of the keys.
            CredentialsError: the keys were refused.
            InputError: the reference cannot be read, or the server not be reached.
        """
        remote_address.require_same(reference, self._service.address.url)
        return self._trace(_trace_id(reference))

    def fetch_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> Iterator[Labelled]:
        """Traces of the project, in the server's order, each loaded as it is asked for.

        Args:
            project: name or id, checked against the keys, which open one project only.
            since_ns: earliest start, nanoseconds UTC.
            until_ns: end of the range, not included.
            only_failed: only traces in which an observation has the level ERROR.
            limit: most traces.

        Raises:
            InputError: the keys are for another project.
            CredentialsError: as `fetch_trace`.
        """
        if project is not None and project not in (names := self._api.project_names()):
            raise InputError(
                f"the keys are not for the project {project!r}",
                hint=f"they are for {names[0]!r}" if names else f"set {_KEYS}",
            )
        ids = self._api.trace_ids(since_ns, until_ns, only_failed)
        return (self._trace(trace_id) for trace_id in islice(ids, limit))

    def _trace(self, trace_id: str) -> Labelled:
        record, observations, scores = self._api.trace(trace_id)
        return remote.cleaned(labelled_of(record, observations, scores))


def owns(reference: str) -> bool:
    """Whether a reference is an address of this service, as far as is known."""
    return remote_address.is_of(reference, HOSTS) or remote_address.is_at(
        reference, [_configured()]
    )


def connect(url: str | None = None, reference: str | None = None) -> LangfuseService:
    """The service of an address, else that of `LANGFUSE_HOST`, a reference, or Langfuse's cloud.

    Raises:
        CredentialsError: a key is missing.
        InputError: the reference is at another address than the keys are for.
    """
    configured = url or _configured()
    chosen = remote_address.choose(reference, configured, "https://cloud.langfuse.com", HOSTS)
    public, secret = (os.environ.get(f"LANGFUSE_{name}_KEY") for name in ("PUBLIC", "SECRET"))
    if not public or not secret:
        raise CredentialsError("no keys of Langfuse", hint=f"set {_KEYS}")
    return LangfuseService(
        Address(base(chosen, "/api/public"), "Langfuse", login=(public, secret), keys=_KEYS)
    )


def _configured() -> str | None:
    return os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or None


def _trace_id(reference: str) -> str:
    if not remote_address.is_url(reference):
        return reference
    found = remote_address.after(reference, "traces", "trace") or remote_address.asked(
        reference, "peek", "traceId"
    )
    if found is None:
        raise InputError(
            f"no trace in the address {reference[:200]}",
            hint="open the trace in Langfuse and copy that address",
        )
    return found
