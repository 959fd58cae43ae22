"""Traces of MLflow: fetched from a tracking server, or read from files its clients wrote.

Files hold `Trace.to_json()`, REST answers of `traces/get` and `traces/search`, or a traces
dataframe as JSON lines. Fetching asks the server in `MLFLOW_TRACKING_URI`, with
`MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD` or with `MLFLOW_TRACKING_TOKEN`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType

from refinery.adapters._shared import remote, remote_address
from refinery.adapters._shared.http import Address, Service, base
from refinery.adapters._shared.mlflow_api import ELSEWHERE, MlflowApi, native_of
from refinery.adapters._shared.mlflow_traces import labelled_of
from refinery.adapters._shared.plain import as_name, as_object
from refinery.adapters._shared.remote import Labelled
from refinery.errors import InputError, TraceFormatError
from refinery.model.trace import Trace

HOSTS: tuple[str, ...] = ()
"""MLflow has no hosts of its own."""
USUAL = "http://localhost:5000"
"""Where MLflow listens when nobody says otherwise."""

_KEYS = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_SHAPES = (
    re.compile(r'"trace_info"\s*:\s*\{'),
    re.compile(r'"trace_metadata"\s*:'),
    re.compile(r'"trace"\s*:\s*"\{\s*\\"info\\"'),
    re.compile(r'"request_metadata"\s*:.*"tags"\s*:', re.DOTALL),
    re.compile(r'"mlflow\.traceRequestId"\s*:'),
)
_OTHERS = re.compile(r'"(?:resourceSpans|resource_spans|run_id)"\s*:')
_ID = re.compile(r"\btr-[0-9a-fA-F]{32}\b")


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file begins with a trace in MLflow's words."""
    start = head.decode("utf-8-sig", "replace").lstrip()
    if not start.startswith(("{", "[")) or _OTHERS.search(start):
        return False
    return any(shape.search(start) for shape in _SHAPES)


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in its order; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[Labelled]:
    """The traces of a file with their assessments.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it holds no traces of MLflow.
    """
    found = False
    for where, document in remote.documents(path):
        with remote.placed(where):
            for labelled in labelled_of(document):
                found = True
                yield remote.cleaned(labelled)
    if not found:
        raise TraceFormatError(f"{path} holds no traces", hint="search again, or export others")


class MlflowService:
    """Reads one MLflow tracking server; a context manager."""

    def __init__(self, address: Address, project: str = "0") -> None:
        self._service = Service(address)
        self._api = MlflowApi(self._service)
        self._project = project

    def __enter__(self) -> "MlflowService":
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
        """The whole trace of an id, with or without `tr-`, or of an address in the web page.

        Raises:
            NotFoundError: there is none.
            CredentialsError: the keys were refused.
            InputError: the reference cannot be read, or the server not be reached.
        """
        remote_address.require_same(reference, self._service.address.url)
        if remote_address.is_url(reference):
            found = _ID.search(reference)
            if found is None:
                raise InputError(
                    f"no trace in the address {reference[:200]}",
                    hint="open the trace in MLflow and copy that address, or give its id",
                )
            reference = found[0]
        return self._trace(native_of(reference))

    def fetch_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> Iterator[Labelled]:
        """Traces of an experiment, newest first, each loaded as it is asked for.

        Args:
            project: name or id of the experiment; None: `MLFLOW_EXPERIMENT_NAME` or
                `MLFLOW_EXPERIMENT_ID`, else the default experiment, `0`.
            since_ns: earliest start, nanoseconds UTC.
            until_ns: end of the range, not included.
            only_failed: only traces whose state is ERROR.
            limit: most traces.

        Raises:
            NotFoundError: there is no such experiment.
            CredentialsError, InputError: as `fetch_trace`.
        """
        experiment = self._api.experiment(project or self._project)
        ids = self._api.trace_ids(experiment, since_ns, until_ns, only_failed)
        return (self._trace(trace_id) for trace_id in islice(ids, limit))

    def _trace(self, trace_id: str) -> Labelled:
        found = self._api.trace(trace_id)
        place = as_object(as_object(found.get("trace_info")).get("trace_location"))
        experiment = as_name(as_object(place.get("mlflow_experiment")).get("experiment_id"))
        trace, said = next(labelled_of(found))
        named = replace(trace, project=self._api.name_of(experiment))
        return remote.cleaned((named, said))


def owns(reference: str) -> bool:
    """Whether a reference is an address of this service, as far as is known."""
    configured = os.environ.get("MLFLOW_TRACKING_URI")
    return remote_address.is_at(reference, [configured, USUAL])


def connect(url: str | None = None, reference: str | None = None) -> MlflowService:
    """The server of an address, else that of `MLFLOW_TRACKING_URI`, or the local one.

    Raises:
        InputError: the reference is at another address than the keys are for, or the tracking
            URI is no web address.
    """
    environment = os.environ
    configured = url or environment.get("MLFLOW_TRACKING_URI") or None
    if configured and not remote_address.is_url(configured):
        raise InputError(
            f"MLFLOW_TRACKING_URI is no web address: {configured[:200]}",
            hint="start `mlflow server` on that store and give its address with --url",
        )
    chosen = remote_address.choose(reference, configured, USUAL, HOSTS)
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    user = environment.get("MLFLOW_TRACKING_USERNAME")
    password = environment.get("MLFLOW_TRACKING_PASSWORD")
    address = Address(
        base(chosen),
        "MLflow",
        headers={"authorization": f"Bearer {token}"} if token else {},
        login=(user, password or "") if user and not token else None,
        keys=_KEYS,
        elsewhere=ELSEWHERE,
    )
    named = environment.get("MLFLOW_EXPERIMENT_NAME") or environment.get("MLFLOW_EXPERIMENT_ID")
    return MlflowService(address, named or "0")
