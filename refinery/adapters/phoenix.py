"""Traces of Arize Phoenix: fetched from its REST API, or read from what that API wrote.

Files hold pages or lists of spans (`/spans`, `/spans/otlpv1`, `/traces?include_spans=true`), a
spans dataframe as JSON lines or Parquet (needs `pyarrow`), or span annotations, whose spans are
looked up in the other exports of the same folder. Fetching asks `PHOENIX_COLLECTOR_ENDPOINT` with
the key in `PHOENIX_API_KEY`, if there is one.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType

from refinery.adapters._shared import phoenix_spans, plain, reading, remote, remote_address
from refinery.adapters._shared.http import Address, Service, base
from refinery.adapters._shared.otel.spans import SpanData, trace_uuid
from refinery.adapters._shared.phoenix_api import PhoenixApi, no_such_project
from refinery.adapters._shared.phoenix_spans import SOURCE
from refinery.adapters._shared.phoenix_table import MAGIC, documents_of_table
from refinery.adapters._shared.remote import Labelled
from refinery.errors import InputError, NotFoundError, RefineryError, TraceFormatError
from refinery.model.trace import Json, Trace

HOSTS = ("app.phoenix.arize.com",)
"""Phoenix's own hosts."""
USUAL = "http://localhost:6006"
"""Where Phoenix listens when nobody says otherwise."""

_SHAPES = (
    re.compile(r'"context"\s*:\s*\{[^{}]*"span_id"'),
    re.compile(r'"context\.span_id"\s*:'),
    re.compile(r'"kvlist_value"\s*:\s*null'),
    re.compile(r'"token_count_prompt"[^{}]*"spans"\s*:'),
    re.compile(r'"annotator_kind"\s*:'),
)
_HAS_SPANS = re.compile(r'"(?:span_id|context\.span_id)"\s*:')
_MAX_SIBLINGS = 100
_HEX_TRACE = re.compile(r"[0-9a-f]{32}")


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file begins with spans or annotations in Phoenix's words."""
    if head.startswith(MAGIC):
        return True
    start = head.decode("utf-8-sig", "replace").lstrip()
    is_json = start.startswith(("{", "["))
    return is_json and any(shape.search(start) for shape in _SHAPES)


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in order of their first span; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[Labelled]:
    """The traces of a file, with annotations where the file holds any.

    Raises:
        InputError: the file is missing or cannot be read.
        PluginError: it is Parquet and `pyarrow` is not installed.
        TraceFormatError: it holds no spans, or annotations whose spans are nowhere beside it.
    """
    spans, annotations = _contents(path)
    if not spans and annotations:
        spans = _annotated(path, {str(item.get("span_id")) for item in annotations})
    if not spans:
        raise TraceFormatError(
            f"{path} holds no spans",
            hint="export spans: GET /v1/projects/{project}/spans, or get_spans_dataframe()",
        )
    with remote.placed(str(path)):
        yield from _labelled(spans, annotations)


def _contents(path: Path) -> tuple[list[SpanData], list[dict[str, Json]]]:
    """Spans and annotations of a file."""
    spans: list[SpanData] = []
    annotations: list[dict[str, Json]] = []
    is_table = reading.head(path).startswith(MAGIC)
    for where, document in documents_of_table(path) if is_table else remote.documents(path):
        with remote.placed(where):
            spans += phoenix_spans.spans_of(document)
            annotations += phoenix_spans.annotations_of(document)
    return spans, annotations


def _annotated(path: Path, wanted: set[str]) -> list[SpanData]:
    """Spans of the traces in the other files of the folder that the annotations are about."""
    for file in islice(sorted(path.parent.iterdir()), _MAX_SIBLINGS):
        try:
            if file == path or not file.is_file() or not recognise(reading.head(file), file):
                continue
            spans, _ = _contents(file)
        except RefineryError:
            continue  # a neighbour that cannot be read is not what was asked for
        traces = {span.trace_id for span in spans if span.span_id in wanted}
        if traces:
            return [span for span in spans if span.trace_id in traces]
    raise TraceFormatError(
        f"{path} holds annotations, and no spans they could belong to are beside it",
        hint="put the export of the spans into the same folder",
    )


def _labelled(
    spans: Sequence[SpanData],
    annotations: Iterable[Mapping[str, Json]],
    project: str | None = None,
) -> Iterator[Labelled]:
    said: dict[str, list[Mapping[str, Json]]] = {}
    for item in annotations:
        of = item.get("span_id") or item.get("trace_id")
        said.setdefault(str(of), []).append(item)
    by_trace: dict[str, list[SpanData]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    for trace_id, found in by_trace.items():
        runs = remote.tree([phoenix_spans.run_of(span) for span in found])
        about = [trace_id, *(span.span_id for span in found)]
        items = [item for name in dict.fromkeys(about) for item in said.get(name, ())]
        remarks = (phoenix_spans.feedback_of(item, trace_id) for item in items)
        feedback = tuple({r.feedback_id: r for r in remarks if r}.values())
        trace = Trace(trace_uuid(trace_id), runs, SOURCE, project)
        yield remote.cleaned((trace, feedback))


class PhoenixService:
    """Reads one Phoenix server; a context manager."""

    def __init__(self, address: Address, project: str = "default") -> None:
        self._service = Service(address)
        self._api = PhoenixApi(self._service)
        self._project = project

    def __enter__(self) -> "PhoenixService":
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
        """The whole trace of an OpenTelemetry id or of an address in the web page.

        Raises:
            NotFoundError: no project has it.
            CredentialsError: the key was refused.
            InputError: the reference cannot be read, or the server not be reached.
        """
        remote_address.require_same(reference, self._service.address.url)
        trace_id, named = _trace_id(reference)
        projects = self._api.projects()
        first = [item for item in projects if named in (item.get("id"), item.get("name"))]
        for project in first or projects:
            key, name = str(project.get("id")), plain.as_text(project.get("name"))
            if items := self._api.spans(key, trace_id):
                return self._trace(key, name, trace_id, items)
        raise NotFoundError(
            f"Phoenix has no trace {trace_id}", hint="check the id and the address of the server"
        )

    def fetch_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> Iterator[Labelled]:
        """Traces of a project, newest first, each loaded as it is asked for.

        Args:
            project: name or id; None: `PHOENIX_PROJECT_NAME`, else `default`.
            since_ns: earliest start of a span, nanoseconds UTC.
            until_ns: end of the range, not included.
            only_failed: only traces in which a span has the status ERROR.
            limit: most traces.

        Raises:
            NotFoundError: there is no such project.
            CredentialsError, InputError: as `fetch_trace`.
        """
        wanted = project or self._project
        known = self._api.projects()
        found = next((p for p in known if wanted in (p.get("id"), p.get("name"))), None)
        if found is None:
            raise no_such_project(wanted)
        key, name = str(found.get("id")), plain.as_text(found.get("name"))
        ids = self._api.trace_ids(key, since_ns, until_ns, only_failed)
        for trace_id in islice(ids, limit):
            if items := self._api.spans(key, trace_id):
                yield self._trace(key, name, trace_id, items)

    def _trace(
        self, key: str, name: str | None, trace_id: str, items: list[dict[str, Json]]
    ) -> Labelled:
        spans = phoenix_spans.spans_of(items)
        said = self._api.annotations(key, trace_id, [span.span_id for span in spans])
        return next(_labelled(spans, said, name))


def owns(reference: str) -> bool:
    """Whether a reference is an address of this service, as far as is known."""
    return remote_address.is_of(reference, HOSTS) or remote_address.is_at(
        reference, [_configured(), USUAL]
    )


def connect(url: str | None = None, reference: str | None = None) -> PhoenixService:
    """The server of an address, else that of `PHOENIX_COLLECTOR_ENDPOINT`, or the local one.

    Raises:
        InputError: the reference is at another address than the key is for.
    """
    chosen = remote_address.choose(reference, url or _configured(), USUAL, HOSTS)
    key = os.environ.get("PHOENIX_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = Address(
        base(chosen, "/v1/traces", "/v1"), "Phoenix", headers, keys="PHOENIX_API_KEY"
    )
    return PhoenixService(address, os.environ.get("PHOENIX_PROJECT_NAME") or "default")


def _configured() -> str | None:
    names = ("PHOENIX_COLLECTOR_ENDPOINT", "PHOENIX_BASE_URL")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _trace_id(reference: str) -> tuple[str, str | None]:
    """The hexadecimal id of a trace, and the project an address names."""
    named = None
    found: str | None = reference
    if remote_address.is_url(reference):
        named = remote_address.after(reference, "projects")
        found = remote_address.after(reference, "traces", "spans", "trace")
    digits = (found or "").lower().replace("-", "")
    if not _HEX_TRACE.fullmatch(digits):
        raise InputError(
            f"no trace id in {reference[:200]!r}", hint="an id has 32 hexadecimal digits"
        )
    return digits, named
