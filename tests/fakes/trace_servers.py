"""Loopback servers that speak the read APIs of Langfuse, Phoenix, MLflow and Datadog.

Each answers from plain lists, in the shapes and with the traps of the real service: pages by
cursor, fields left out unless asked for, metadata cut off, the last quarter of an hour only.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = Any


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Json = None

    def one(self, name: str, default: str | None = None) -> str | None:
        return self.query.get(name, [default])[0]


@dataclass
class Reply:
    """One answer; a body that is bytes goes out as it is."""

    status: int = 200
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)


NOT_THERE = Reply(404, {"message": "Not Found"})


class JsonServer:
    """Serves what a function answers, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["JsonServer"]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.serve()

            def do_POST(self) -> None:
                self.serve()

            def serve(self) -> None:
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(raw) if raw else None
                query = parse_qs(parts.query, keep_blank_values=True)
                request = Request(self.command, parts.path, query, headers, body)
                outer.requests.append(request)
                reply = outer.answer(request)
                content = reply.body
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.send_response(reply.status)
                sent = {"content-type": "application/json", **reply.headers}
                for name, value in {**sent, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _page(items: list[Json], request: Request, size: int) -> tuple[list[Json], str | None]:
    start = int(request.one("cursor") or 0)
    end = start + size
    return items[start:end], str(end) if end < len(items) else None


@dataclass
class Langfuse:
    """Observations and scores of one project; `versions` says which API there is."""

    observations: list[Json]
    scores: list[Json] = field(default_factory=list)
    traces: list[Json] = field(default_factory=list)
    versions: tuple[int, ...] = (2,)
    page: int = 3

    def __call__(self, request: Request) -> Reply:
        if not request.headers.get("authorization", "").startswith("Basic "):
            return Reply(401, {"message": "No authorization header"})
        path = request.path.removeprefix("/api/public")
        if path == "/projects":
            return Reply(200, {"data": [{"id": "p-1", "name": "shop"}]})
        if path == "/v2/observations" and 2 in self.versions:
            return self._observations(request)
        if path == "/v3/scores" and 2 in self.versions:
            wanted = [s for s in self.scores if s["subject"].get("traceId") or s["subject"]["id"]]
            items, cursor = _page(wanted, request, self.page)
            return Reply(200, {"data": items, "meta": {"limit": 3, "cursor": cursor}})
        if 1 in self.versions:
            return self._version_1(path, request)
        return NOT_THERE

    def _observations(self, request: Request) -> Reply:
        if request.one("parseIoAsJson") == "true":
            return Reply(400, {"message": "parseIoAsJson is not supported"})
        found = self.observations
        for name, key in (("traceId", "traceId"), ("level", "level")):
            if value := request.one(name):
                found = [item for item in found if item.get(key) == value]
        if request.one("isRootObservation"):
            found = [item for item in found if not item.get("parentObservationId")]
        if since := request.one("fromStartTime"):
            found = [item for item in found if item["startTime"] >= since]
        items, cursor = _page(found, request, self.page)
        groups = (request.one("fields") or "core,basic").split(",")
        expanded = (request.one("expandMetadata") or "").split(",")
        shown = [self._shown(item, groups, expanded) for item in items]
        return Reply(200, {"data": shown, "meta": {"cursor": cursor} if cursor else {}})

    def _shown(self, item: Json, groups: list[str], expanded: list[str]) -> Json:
        shown = dict(item)
        if "io" not in groups:
            shown.pop("input", None), shown.pop("output", None)
        metadata = shown.get("metadata") or {}
        shown["metadata"] = {
            key: value if key in expanded or not isinstance(value, str) else value[:200]
            for key, value in metadata.items()
        }
        return shown

    def _version_1(self, path: str, request: Request) -> Reply:
        if path.startswith("/traces/"):
            found = next((t for t in self.traces if t["id"] == path.split("/")[2]), None)
            return Reply(200, found) if found else NOT_THERE
        lists = {"/traces": self.traces, "/observations": self.observations}
        if path not in lists:
            return NOT_THERE
        found = lists[path]
        if level := request.one("level"):
            found = [item for item in found if item.get("level") == level]
        number = int(request.one("page") or 1)
        items = found[(number - 1) * self.page : number * self.page]
        pages = -(-len(found) // self.page)
        return Reply(200, {"data": items, "meta": {"page": number, "totalPages": pages}})


@dataclass
class Phoenix:
    """Spans and annotations of one project, `shop`, beside an empty one."""

    spans: list[Json]
    annotations: list[Json] = field(default_factory=list)
    knows_filters: bool = True
    page: int = 2

    def __call__(self, request: Request) -> Reply:
        if request.path == "/v1/projects":
            known = [{"id": "UHJvamVjdDox", "name": "default"}, {"id": "UDI=", "name": "shop"}]
            return Reply(200, {"data": known, "next_cursor": None})
        if request.path == "/v1/projects/UDI=/spans" or request.path.endswith("UDI%3D/spans"):
            found = self.spans if not self.knows_filters else self._matching(request)
        elif request.path.endswith("/span_annotations") and self.annotations:
            found = [a for a in self.annotations if a["span_id"] in request.query["span_ids"]]
        elif request.path.endswith("/spans"):
            found = []
        else:
            return NOT_THERE
        items, cursor = _page(found, request, self.page)
        return Reply(200, {"data": items, "next_cursor": cursor})

    def _matching(self, request: Request) -> list[Json]:
        trace, status = request.one("trace_id"), request.one("status_code")
        found = [s for s in self.spans if trace in (None, s["context"]["trace_id"])]
        return [s for s in found if status in (None, s["status_code"])]


@dataclass
class Mlflow:
    """Traces of one experiment, `shop`, as `traces/get` writes them."""

    traces: list[Json]
    page: int = 2
    token: str | None = None

    def __call__(self, request: Request) -> Reply:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401, {"error_code": "UNAUTHENTICATED"})
        path = request.path
        if path.endswith("/experiments/get-by-name"):
            known = request.one("experiment_name") == "shop"
            return self._experiment() if known else NOT_THERE
        if path.endswith("/experiments/get"):
            return self._experiment() if request.one("experiment_id") == "7" else NOT_THERE
        if path == "/api/3.0/mlflow/traces/get":
            wanted = request.one("trace_id")
            found = [t for t in self.traces if t["trace_info"]["trace_id"] == wanted]
            return Reply(200, {"trace": found[0]}) if found else NOT_THERE
        if path == "/api/3.0/mlflow/traces/search" and request.method == "POST":
            return self._search(request.body)
        return NOT_THERE

    def _experiment(self) -> Reply:
        return Reply(200, {"experiment": {"experiment_id": "7", "name": "shop"}})

    def _search(self, body: Json) -> Reply:
        infos = [trace["trace_info"] for trace in self.traces]
        if "attributes.status = 'ERROR'" in body.get("filter", ""):
            infos = [info for info in infos if info["state"] == "ERROR"]
        start = int(body.get("page_token") or 0)
        answer = {"traces": infos[start : start + self.page]}
        if start + self.page < len(infos):
            answer["next_page_token"] = str(start + self.page)
        return Reply(200, answer)


@dataclass
class Datadog:
    """Spans of one organisation; without a time range only the last 15 minutes are answered."""

    spans: list[Json]
    page: int = 2

    def __call__(self, request: Request) -> Reply:
        keys = (request.headers.get("dd-api-key"), request.headers.get("dd-application-key"))
        if keys != ("api", "app"):
            return Reply(403, {"errors": ["Forbidden"]})
        if request.path != "/api/v2/llm-obs/v1/spans/events/search":
            return NOT_THERE
        attributes = request.body["data"]["attributes"]
        wanted = attributes["filter"]
        found = [
            span
            for span in self.spans
            if "from" in wanted
            and "to" in wanted
            and all(span.get(k) == wanted[k] for k in ("trace_id", "ml_app") if k in wanted)
        ]
        start = int(attributes["page"].get("cursor") or 0)
        end = start + self.page
        data = [{"id": "x", "type": "span", "attributes": span} for span in found[start:end]]
        page = {"after": str(end)} if end < len(found) else {}
        meta = {"elapsed": 1, "page": page, "request_id": "r", "status": "done"}
        return Reply(200, {"data": data, "links": {}, "meta": meta})
