"""Asks Langfuse's read API: version 2 of observations first, version 1 where there is no other.

Traps of version 2 (`langfuse` 5.0, `api/observations/raw_client.py`): without `fields` neither
inputs nor outputs come; metadata is cut to 200 characters unless its keys are named in
`expandMetadata`; `parseIoAsJson=true` is refused since the texts always come as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from refinery.adapters._shared.http import NoSuchRouteError, Service
from refinery.adapters._shared.plain import as_name, as_object, as_objects
from refinery.adapters._shared.remote import iso_of
from refinery.errors import NotFoundError
from refinery.model.trace import Json

FIELDS = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"

_OBSERVATIONS = "/api/public/v2/observations"
_CUT_AT = 200
"""Characters at which version 2 cuts a metadata value."""
_PAGE = 100
_MAX_PAGES = 2_000
"""Most pages of one question; a service that never ends its pages is stopped here."""

Found = tuple[dict[str, Json], list[dict[str, Json]], list[dict[str, Json]]]
"""A trace's own record, its observations, its scores."""


class LangfuseApi:
    """One Langfuse project."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._has_v2 = True

    def trace(self, trace_id: str) -> Found:
        """Everything about one trace.

        Raises:
            NotFoundError: there is none of that id.
            CredentialsError, InputError: as `Service.get`.
        """
        observations = self._v2(lambda: list(self._observations({"traceId": trace_id})))
        if not observations:  # not there yet, or from before version 2
            return self._trace_v1(trace_id)
        first = min(observations, key=lambda item: str(item.get("startTime")))
        about = {"name": first.get("traceName"), "tags": first.get("tags")}
        record = {"id": trace_id, "release": first.get("release"), **about}
        for name in ("userId", "sessionId", "projectId"):
            record[name] = next((i[name] for i in observations if i.get(name)), None)
        return record, observations, self._scores(trace_id)

    def trace_ids(
        self, since_ns: int | None, until_ns: int | None, only_failed: bool
    ) -> Iterator[str]:
        """Ids of traces, each once: those with an error in them, or all."""
        seen: set[str] = set()
        for name in self._ids(since_ns, until_ns, only_failed):
            if name not in seen:
                seen.add(name)
                yield name

    def project_names(self) -> list[str]:
        """Name and id of the project the keys are for."""
        answer = as_object(self._service.get("/api/public/projects"))
        found = as_objects(answer.get("data"))
        return [
            name for item in found for key in ("name", "id") if (name := as_name(item.get(key)))
        ]

    def _ids(self, since_ns: int | None, until_ns: int | None, only_failed: bool) -> Iterator[str]:
        times = {"fromStartTime": iso_of(since_ns), "toStartTime": iso_of(until_ns)}
        which = {"level": "ERROR"} if only_failed else {"isRootObservation": "true"}
        query: dict[str, Json] = {"fields": "core", "limit": _PAGE, **which, **times}
        first = self._v2(lambda: as_object(self._service.get(_OBSERVATIONS, query)))
        if first is not None:
            items = self._cursor_pages(_OBSERVATIONS, query, first)
            yield from _names(items, "traceId")
        elif only_failed:
            path = "/api/public/observations"
            yield from _names(self._numbered_pages(path, {**which, **times}), "traceId")
        else:
            stamps = {"fromTimestamp": iso_of(since_ns), "toTimestamp": iso_of(until_ns)}
            yield from _names(self._numbered_pages("/api/public/traces", stamps), "id")

    def _v2(self, ask: Callable[[], Any]) -> Any:
        """What version 2 answers; None where there is only version 1."""
        if not self._has_v2:
            return None
        try:
            return ask()
        except NoSuchRouteError:
            self._has_v2 = False
            return None

    def _observations(self, which: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        query = {"fields": FIELDS, "limit": _PAGE, **which}
        for page, asked in self._pages(_OBSERVATIONS, query):
            items = as_objects(page.get("data"))
            if cut := _cut_keys(items):
                again = {**asked, "expandMetadata": ",".join(cut)}
                items = as_objects(as_object(self._service.get(_OBSERVATIONS, again)).get("data"))
            yield from items

    def _cursor_pages(
        self, path: str, query: Mapping[str, Json], first: dict[str, Json]
    ) -> Iterator[dict[str, Json]]:
        for page, _ in self._pages(path, query, first):
            yield from as_objects(page.get("data"))

    def _pages(
        self, path: str, query: Mapping[str, Json], first: dict[str, Json] | None = None
    ) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
        """Pages by cursor, each with what was asked for."""
        asked, seen = dict(query), {""}
        for _ in range(_MAX_PAGES):
            page = first if first is not None else as_object(self._service.get(path, asked))
            first = None
            yield page, asked
            cursor = as_object(page.get("meta")).get("cursor")
            if not isinstance(cursor, str) or cursor in seen:
                return
            seen.add(cursor)
            asked = {**query, "cursor": cursor}

    def _numbered_pages(self, path: str, query: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
        for number in range(1, _MAX_PAGES + 1):
            asked = {**query, "page": number, "limit": _PAGE}
            page = as_object(self._service.get(path, asked))
            items = as_objects(page.get("data"))
            yield from items
            last = as_object(page.get("meta")).get("totalPages")
            if not items or (isinstance(last, int) and number >= last):
                return

    def _trace_v1(self, trace_id: str) -> Found:
        from urllib.parse import quote

        try:
            answer = self._service.get(f"/api/public/traces/{quote(trace_id, safe='')}")
        except NoSuchRouteError as error:
            raise NotFoundError(
                f"Langfuse has no trace {trace_id}",
                hint="check the id, and that the keys are those of its project",
            ) from error
        record = as_object(answer)
        return record, as_objects(record.get("observations")), as_objects(record.get("scores"))

    def _scores(self, trace_id: str) -> list[dict[str, Json]]:
        """Scores of a trace, version 3 first; none where neither version is known."""
        v3 = {"traceId": trace_id, "fields": "details,subject,annotation", "limit": _PAGE}
        try:
            pages = self._pages("/api/public/v3/scores", v3)
            return [item for page, _ in pages for item in as_objects(page.get("data"))]
        except NoSuchRouteError:
            pass
        try:
            return list(self._numbered_pages("/api/public/v2/scores", {"traceId": trace_id}))
        except NoSuchRouteError:
            return []


def _names(items: Iterator[dict[str, Json]], key: str) -> Iterator[str]:
    return (name for item in items if (name := as_name(item.get(key))))


def _cut_keys(items: list[dict[str, Json]]) -> list[str]:
    """Keys of metadata whose values may have been cut."""
    found = {
        key
        for item in items
        for key, value in as_object(item.get("metadata")).items()
        if isinstance(value, str) and len(value) >= _CUT_AT and "," not in key
    }
    return sorted(found)
