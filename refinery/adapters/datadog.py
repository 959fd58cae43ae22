"""Traces of Datadog LLM Observability: fetched from its export API, or read from pages of it.

Written after Datadog's documents and its own client; never run against the real service. Keys are
`DD_API_KEY` and `DD_APP_KEY`; `DD_SITE` names the site, e.g. `datadoghq.eu`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from refinery import clock
from refinery.adapters._shared import datadog_spans, remote, remote_address
from refinery.adapters._shared.http import Address, Service, base, origin
from refinery.adapters._shared.plain import as_name, as_object
from refinery.adapters._shared.remote import Labelled, iso_of
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.trace import Json, Trace

HOSTS = ("datadoghq.com", "datadoghq.eu", "ddog-gov.com")
"""Datadog's sites; regions are below."""

_KEYS = "DD_API_KEY and DD_APP_KEY"
_SEARCH = "/api/v2/llm-obs/v1/spans/events/search"
_CONTENT_TYPE = "application/vnd.api+json"
_PAGE = 100
_MAX_PAGES = 2_000
"""Most pages of one question; a service that never ends its pages is stopped here."""
_DAY_NS = 86_400 * 10**9
_LONGEST_KEPT_NS = 90 * _DAY_NS
"""How far back is asked for when nobody says; without a range only 15 minutes are answered."""
_AROUND_NS = _DAY_NS
"""Spans of a trace may begin this long before or after the one that was found."""


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file begins with spans in the words of the export API."""
    start = head.decode("utf-8-sig", "replace").lstrip()
    names = (r'"ml_app"\s*:', r'"span_kind"\s*:', r'"start_ns"\s*:', r'"span_id"\s*:')
    is_json = start.startswith(("{", "["))
    return is_json and sum(bool(re.search(name, start)) for name in names) > 2


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in order of their first span; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[Labelled]:
    """The traces of a file with their evaluations; the whole file is read before the first.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it holds no spans.
    """
    spans: list[dict[str, Json]] = []
    for where, document in remote.documents(path):
        with remote.placed(where):
            spans += datadog_spans.attributes_of(document)
    if not spans:
        raise TraceFormatError(f"{path} holds no spans", hint="ask for a longer time range")
    with remote.placed(str(path)):
        for labelled in datadog_spans.labelled_of(spans):
            yield remote.cleaned(labelled)


class DatadogService:
    """Reads LLM Observability of one organisation; a context manager."""

    def __init__(self, address: Address) -> None:
        self._service = Service(address)

    def __enter__(self) -> "DatadogService":
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
        """The whole trace of an id or of an address that names one.

        Raises:
            NotFoundError: there is none within the last 90 days.
            CredentialsError: a key was refused.
            InputError: the reference cannot be read, or the service not be reached.
        """
        trace_id = _trace_id(reference)
        now = clock.now_ns()
        return self._trace(trace_id, now - _LONGEST_KEPT_NS, now)

    def fetch_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> Iterator[Labelled]:
        """Traces, newest first, each loaded as it is asked for.

        Args:
            project: name of the ML application; None: `DD_LLMOBS_ML_APP`, else all of them.
            since_ns: earliest start of a span, nanoseconds UTC; None: 90 days ago.
            until_ns: end of the range; None: now.
            only_failed: only traces in which a span has the status error.
            limit: most traces.

        Raises:
            CredentialsError, InputError: as `fetch_trace`.
        """
        until = clock.now_ns() if until_ns is None else until_ns
        since = until - _LONGEST_KEPT_NS if since_ns is None else since_ns
        app = project or os.environ.get("DD_LLMOBS_ML_APP")
        seen: set[str] = set()
        # The documents name no filter for the status, so every span is looked at.
        for span in self._spans({"ml_app": app} if app else {}, since, until):
            name = as_name(span.get("trace_id"))
            is_failed = str(span.get("status")).lower() == "error"
            if name is None or name in seen or (only_failed and not is_failed):
                continue
            if len(seen) == limit:
                return
            seen.add(name)
            yield self._trace(name, since - _AROUND_NS, until + _AROUND_NS)

    def _trace(self, trace_id: str, since_ns: int, until_ns: int) -> Labelled:
        spans = list(self._spans({"trace_id": trace_id}, since_ns, until_ns))
        found = next(datadog_spans.labelled_of(spans), None)
        if found is None:
            raise NotFoundError(
                f"Datadog has no trace {trace_id} in the time asked for",
                hint="spans are deleted after a while; check the id and DD_SITE",
            )
        return remote.cleaned(found)

    def _spans(
        self, wanted: Mapping[str, Json], since_ns: int, until_ns: int
    ) -> Iterator[dict[str, Json]]:
        page: dict[str, Json] = {"limit": _PAGE}
        times = {"from": iso_of(max(0, since_ns)), "to": iso_of(until_ns)}
        seen = {""}
        for _ in range(_MAX_PAGES):
            attributes = {"filter": {**times, **wanted}, "page": page, "sort": "-timestamp"}
            body = {"data": {"type": "spans", "attributes": attributes}}
            answer = as_object(self._service.post(_SEARCH, body, _CONTENT_TYPE))
            yield from datadog_spans.attributes_of(answer.get("data") or [])
            cursor = as_object(as_object(answer.get("meta")).get("page")).get("after")
            if not isinstance(cursor, str) or cursor in seen:
                return
            seen.add(cursor)
            page = {**page, "cursor": cursor}


def owns(reference: str) -> bool:
    """Whether a reference is an address of this service, as far as is known."""
    return remote_address.is_of(reference, HOSTS)


def connect(url: str | None = None, reference: str | None = None) -> DatadogService:
    """The service of an address, else that of `DD_SITE` or of a reference's site.

    Raises:
        CredentialsError: a key is missing.
        InputError: the reference is at another site than the keys are for.
    """
    site = os.environ.get("DD_SITE")
    if reference is not None and remote_address.is_url(reference):
        site = _same_site(reference, site)
    chosen = url or f"https://api.{site or 'datadoghq.com'}"
    api_key, app_key = os.environ.get("DD_API_KEY"), os.environ.get("DD_APP_KEY")
    if not api_key or not app_key:
        raise CredentialsError("no keys of Datadog", hint=f"set {_KEYS}")
    headers = {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": app_key}
    return DatadogService(Address(base(chosen), "Datadog", headers, keys=_KEYS))


def _same_site(reference: str, configured: str | None) -> str:
    """The site an address of the web page belongs to.

    Raises:
        InputError: it is none of Datadog's, or not the one the keys are for.
    """
    site = (urlsplit(reference).hostname or "").removeprefix("app.")
    is_datadog = remote_address.is_of(reference, HOSTS)
    if not is_datadog or (configured is not None and configured != site):
        raise InputError(
            f"{origin(reference)} is not the site the keys are for",
            hint=f"set DD_SITE={site}" if is_datadog else "give the id of the trace alone",
        )
    return site


def _trace_id(reference: str) -> str:
    if not remote_address.is_url(reference):
        return reference
    found = remote_address.asked(reference, "trace_id", "traceId", "traceID") or (
        remote_address.after(reference, "trace", "traces")
    )
    if found is None:
        raise InputError(
            f"no trace id in the address {reference[:200]}",
            hint="give the trace id alone, as the span's details show it",
        )
    return found
