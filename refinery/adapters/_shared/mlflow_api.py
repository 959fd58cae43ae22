"""Asks MLflow's REST API (mlflow 3) for traces.

A search answers records without spans and with cut previews; each trace is read by itself.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from refinery.adapters._shared.http import NoSuchRouteError, Service
from refinery.adapters._shared.mlflow_traces import hex_of
from refinery.adapters._shared.plain import as_name, as_object, as_objects
from refinery.errors import InputError, NotFoundError
from refinery.model.trace import Json

_SEARCH = "/api/3.0/mlflow/traces/search"
ELSEWHERE = "not stored in tracking store"
"""How MLflow 3.17 says, as an error of its own (500), that a trace's spans are kept as a file."""
_PAGE = 100
_MAX_PAGES = 2_000
"""Most pages of one question; a service that never ends its pages is stopped here."""


class MlflowApi:
    """One MLflow tracking server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._names: dict[str, str | None] = {}

    def trace(self, trace_id: str) -> dict[str, Json]:
        """One trace with its spans, as REST writes it.

        Raises:
            NotFoundError: there is none of that id.
        """
        try:
            try:
                answer = self._service.get("/api/3.0/mlflow/traces/get", {"trace_id": trace_id})
            except NoSuchRouteError:  # its spans are a file: the record is read by itself
                answer = self._service.get(f"/api/3.0/mlflow/traces/{quote(trace_id, '')}")
        except NoSuchRouteError as error:
            raise NotFoundError(
                f"MLflow has no trace {trace_id}",
                hint="check the id; servers before 3 have no such",
            ) from error
        trace = as_object(as_object(answer).get("trace"))
        if not as_objects(trace.get("spans")):
            trace["spans"] = self._artifact(trace_id)
        return trace

    def experiment(self, wanted: str) -> str:
        """Id of the experiment of a name or id.

        Raises:
            NotFoundError: there is no such experiment.
        """
        path = "/api/2.0/mlflow/experiments"
        asked = [(f"{path}/get-by-name", {"experiment_name": wanted})]
        if wanted.isdecimal():
            asked.append((f"{path}/get", {"experiment_id": wanted}))
        for route, query in asked:
            try:
                found = as_object(as_object(self._service.get(route, query)).get("experiment"))
            except NoSuchRouteError:
                continue
            if key := as_name(found.get("experiment_id")):
                self._names[key] = as_name(found.get("name"))
                return key
        raise NotFoundError(
            f"MLflow has no experiment {wanted!r}", hint="give its name or id with --project"
        )

    def name_of(self, experiment_id: str | None) -> str | None:
        """Name of an experiment; None when it cannot be told."""
        if experiment_id is None:
            return None
        if experiment_id not in self._names:
            try:
                self.experiment(experiment_id)
            except (NotFoundError, InputError):
                self._names[experiment_id] = None
        return self._names.get(experiment_id)

    def trace_ids(
        self, experiment_id: str, since_ns: int | None, until_ns: int | None, only_failed: bool
    ) -> Iterator[str]:
        """Ids of traces of an experiment, newest first."""
        place = {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiment_id},
        }
        body: dict[str, Json] = {
            "locations": [place],
            "max_results": _PAGE,
            "order_by": ["timestamp_ms DESC"],
        }
        if wanted := _filter(since_ns, until_ns, only_failed):
            body["filter"] = wanted
        seen = {""}
        for _ in range(_MAX_PAGES):
            page = as_object(self._service.post(_SEARCH, body))
            for info in as_objects(page.get("traces")):
                if name := as_name(info.get("trace_id")):
                    yield name
            token = page.get("next_page_token")
            if not isinstance(token, str) or token in seen:
                return
            seen.add(token)
            body = {**body, "page_token": token}

    def _artifact(self, trace_id: str) -> list[dict[str, Json]]:
        """Spans of a trace that the server keeps as a file; none when it does not."""
        try:
            query: Mapping[str, Json] = {"request_id": trace_id}
            answer = self._service.get("/ajax-api/2.0/mlflow/get-trace-artifact", query)
        except (InputError, NotFoundError):
            return []
        return as_objects(as_object(answer).get("spans"))


def native_of(text: str) -> str:
    """An id as MLflow writes it: `tr-` and 32 hexadecimal digits."""
    digits = hex_of(text).lower().replace("-", "")
    is_hex = len(digits) == 32 and all(char in "0123456789abcdef" for char in digits)
    return f"tr-{digits}" if is_hex else text


def _filter(since_ns: int | None, until_ns: int | None, only_failed: bool) -> str:
    parts = []
    if only_failed:
        parts.append("attributes.status = 'ERROR'")
    if since_ns is not None:
        parts.append(f"attributes.timestamp_ms >= {since_ns // 10**6}")
    if until_ns is not None:
        parts.append(f"attributes.timestamp_ms < {until_ns // 10**6}")
    return " AND ".join(parts)
