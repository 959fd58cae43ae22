"""Asks Phoenix's REST API (arize-phoenix 20, `/v1`) for spans and what was said of them."""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from refinery.adapters._shared.http import NoSuchRouteError, Service
from refinery.adapters._shared.plain import as_name, as_object, as_objects
from refinery.adapters._shared.remote import iso_of
from refinery.errors import NotFoundError
from refinery.model.trace import Json

_PAGE = 1_000
_IDS_AT_ONCE = 50
"""Ids in one address; addresses much longer are refused."""
_MAX_PAGES = 2_000
"""Most pages of one question; a service that never ends its pages is stopped here."""


class PhoenixApi:
    """One Phoenix server."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def projects(self) -> list[dict[str, Json]]:
        """Every project, with `id` and `name`."""
        return list(self._pages("/v1/projects", {"limit": 100}))

    def spans(self, project: str, trace_id: str) -> list[dict[str, Json]]:
        """The spans of a trace in a project; none when it is not there."""
        path = f"/v1/projects/{quote(project, safe='')}/spans"
        items = self._pages(path, {"limit": _PAGE, "trace_id": trace_id})
        # Servers that do not know the parameter answer the whole project.
        return [item for item in items if _trace_of(item) == trace_id]

    def trace_ids(
        self, project: str, since_ns: int | None, until_ns: int | None, only_failed: bool
    ) -> Iterator[str]:
        """Ids of traces, each once: those in which a span failed, or all; newest first."""
        path = f"/v1/projects/{quote(project, safe='')}/spans"
        query = {"limit": _PAGE, "start_time": iso_of(since_ns), "end_time": iso_of(until_ns)}
        if only_failed:
            query["status_code"] = "ERROR"
        seen: set[str] = set()
        for item in self._pages(path, query):
            if only_failed and str(item.get("status_code")).upper() != "ERROR":
                continue
            name = _trace_of(item)
            if name and name not in seen:
                seen.add(name)
                yield name

    def annotations(
        self, project: str, trace_id: str, span_ids: Sequence[str]
    ) -> list[dict[str, Json]]:
        """Annotations of a trace and its spans; none where the server keeps none."""
        path = f"/v1/projects/{quote(project, safe='')}"
        found = self._optional(f"{path}/trace_annotations", {"trace_ids": [trace_id]})
        for at in range(0, len(span_ids), _IDS_AT_ONCE):
            batch = list(span_ids[at : at + _IDS_AT_ONCE])
            found += self._optional(f"{path}/span_annotations", {"span_ids": batch})
        return found

    def _optional(self, path: str, query: Mapping[str, Json]) -> list[dict[str, Json]]:
        try:
            return list(self._pages(path, {"limit": _PAGE, **query}))
        except NoSuchRouteError:
            return []

    def _pages(self, path: str, query: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        asked, seen = dict(query), {""}
        for _ in range(_MAX_PAGES):
            page = as_object(self._service.get(path, asked))
            yield from as_objects(page.get("data"))
            cursor = page.get("next_cursor")
            if not isinstance(cursor, str) or cursor in seen:
                return
            seen.add(cursor)
            asked = {**query, "cursor": cursor}


def no_such_project(name: str) -> NotFoundError:
    """The error for a project that is not there."""
    return NotFoundError(f"Phoenix has no project {name!r}", hint="check it with --project")


def _trace_of(item: Mapping[str, Json]) -> str | None:
    return as_name(as_object(item.get("context")).get("trace_id"))
