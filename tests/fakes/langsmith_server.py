"""A small LangSmith-shaped server on loopback: the read API, version 2 and version 1.

Runs are given as version 1 writes them (`id`, `trace_id`, `parent_run_id`, `session_id`, …). Like
the real service, version 2 answers only ids without `selects` and only the last 24 hours without
`min_start_time`, and demands `project_ids`.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT_ID = "11111111-2222-4333-8444-555555555555"
INFO = {
    "version": "0.18.0",
    "instance_flags": {"ch_query_enabled": True, "sdb_query_enabled": False},
}


@dataclass
class LangSmithServer:
    """What the server holds and how it behaves; `url` is valid inside `running`."""

    runs: list[dict[str, Any]]
    projects: dict[str, str] = field(default_factory=lambda: {"default": PROJECT_ID})
    versions: tuple[int, ...] = (1, 2)
    key: str | None = None
    """The key it demands; None: none."""
    first_answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers given to the first run queries, before any real answer."""
    page: int = 100
    shared: dict[str, str] = field(default_factory=dict)
    """Trace id of each share token."""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body of every request so far."""
    url: str = ""

    def queries(self) -> list[tuple[str, Any]]:
        """Path and body of the run queries so far."""
        return [(path, body) for _, path, body in self.requests if "query" in path]

    @contextmanager
    def running(self) -> Iterator["LangSmithServer"]:
        """Serve on a free port of the loopback interface."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """The JSON answer to one request, or a (status, headers) pair."""
        if path == "/info":
            return INFO
        if path.startswith("/api/v2/"):
            return self._v2(path.removeprefix("/api/v2"), query, body)
        for prefix in ("/api/v1", "/api"):
            path = path.removeprefix(prefix)
        if path == "/sessions":
            return self._sessions(query)
        return self._v1(path, body)

    def _sessions(self, query: dict[str, list[str]]) -> Any:
        wanted = query.get("name", [None])[0]
        common = {
            "start_time": "2026-01-01T00:00:00",
            "tenant_id": PROJECT_ID,
            "reference_dataset_id": None,
        }
        named = [(n, i) for n, i in self.projects.items() if wanted in (None, n)]
        found = [{"id": i, "name": n, **common} for n, i in named]
        start = int(query.get("offset", ["0"])[0])
        return found[start : start + int(query.get("limit", ["100"])[0])]

    def _v1(self, path: str, body: Any) -> Any:
        if 1 not in self.versions:
            return 404, {}
        parts = path.strip("/").split("/")
        if path == "/runs/query":
            return self.first_answers.pop(0) if self.first_answers else self._query_v1(body)
        if parts[0] == "public" and parts[2:] == ["runs", "query"]:
            trace = self.shared.get(parts[1])
            return self._query_v1({**body, "trace": trace}) if trace else (404, {})
        if parts[0] == "runs" and len(parts) == 2:
            return next((run for run in self.runs if run["id"] == parts[1]), (404, {}))
        return 404, {}

    def _query_v1(self, body: dict[str, Any]) -> Any:
        def fits(run: dict[str, Any]) -> bool:
            return (
                run["session_id"] in body.get("session", [run["session_id"]])
                and body.get("trace") in (None, run["trace_id"])
                and run["id"] in body.get("id", [run["id"]])
                and (not body.get("is_root") or not run.get("parent_run_id"))
                and (not body.get("error") or bool(run.get("error")))
                and run["start_time"] >= body.get("start_time", "")[:26]
            )

        found, following = self._page([r for r in self.runs if fits(r)], body, "limit")
        names = body.get("select")
        runs = [{k: v for k, v in r.items() if not names or k in names} for r in found]
        return {"runs": runs, "cursors": {"next": following, "prev": None}}

    def _v2(self, path: str, query: dict[str, list[str]], body: Any) -> Any:
        if 2 not in self.versions:
            return 404, {}
        parts = path.strip("/").split("/")
        if path == "/runs/query":
            return self.first_answers.pop(0) if self.first_answers else self._query_v2(body)
        if parts[0] == "public" and parts[1] in self.shared:
            trace = [r for r in self.runs if r["trace_id"] == self.shared[parts[1]]]
            if parts[2:] == ["runs", "query"]:
                names = [n for n in body["selects"] if n not in ("INPUTS", "OUTPUTS")]
                return {"items": [_select(_to_v2(run), names) for run in trace]}
            found = next(r for r in trace if r["id"] == parts[3])
            return _select(_to_v2(found), query.get("selects", query.get("selects[]", [])))
        return 404, {}

    def _query_v2(self, body: dict[str, Any]) -> Any:
        if not body.get("project_ids"):
            return 422, {}
        day_ago = (datetime.now(tz=UTC) - timedelta(days=1)).isoformat()
        since = str(body.get("min_start_time", day_ago))

        def fits(run: dict[str, Any]) -> bool:
            return (
                run["session_id"] in body["project_ids"]
                and body.get("trace_id") in (None, run["trace_id"])
                and run["id"] in body.get("ids", [run["id"]])
                and (not body.get("is_root") or not run.get("parent_run_id"))
                and (not body.get("has_error") or bool(run.get("error")))
                and run["start_time"] >= since[:26]
            )

        found, following = self._page([r for r in self.runs if fits(r)], body, "page_size")
        items = [_select(_to_v2(run), body.get("selects", ["ID"])) for run in found]
        return {"items": items, "next_cursor": following}

    def _page(self, found: list[Any], body: dict[str, Any], size: str) -> tuple[list[Any], Any]:
        start = int(body.get("cursor") or 0)
        end = start + min(self.page, body.get(size) or self.page)
        return found[start:end], str(end) if end < len(found) else None


def _to_v2(run: dict[str, Any]) -> dict[str, Any]:
    """A run as version 2 writes it."""
    item = {k: v for k, v in run.items() if k not in ("parent_run_id", "session_id")}
    segments = run["dotted_order"].split(".")[:-1]
    return item | {
        "project_id": run["session_id"],
        "parent_run_ids": [segment.split("Z", 1)[1] for segment in segments],
        "run_type": run["run_type"].upper(),
        "status": run["status"].upper(),
        "metadata": (run.get("extra") or {}).get("metadata") or {},
        "is_root": not segments,
    }


def _select(run: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {k: v for k, v in run.items() if k.upper() in names}


def _handler(server: LangSmithServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # one packet an answer: two would wait for each other

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(json.loads(self.rfile.read(length) or b"null"))

        def _answer(self, body: Any) -> None:
            parts = urlsplit(self.path)
            server.requests.append((self.command, parts.path, body))
            if server.key not in (None, self.headers.get("x-api-key")):
                self._send(403 if parts.path.startswith("/api/v2") else 401, {}, {"error": "key"})
                return
            answer = server.answer(self.command, parts.path, parse_qs(parts.query), body)
            if isinstance(answer, tuple):
                self._send(answer[0], answer[1], {"detail": "no"})
            else:
                self._send(200, {}, answer)

        def _send(self, status: int, headers: dict[str, str], answer: Any) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test output quiet."""

    return Handler
