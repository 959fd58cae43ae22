"""Asks the API as a program does, for tests."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from refinery.server.config import ServeSettings
from tests.server.serving import Served, serving

ENDED = ("awaiting_approval", "done", "failed", "cancelled")


class Api:
    """A client with the token."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.store = served.store
        self.token = served.app.state.token
        self.client = httpx.Client(
            base_url=f"{served.url}/refinery/v1",
            headers={"authorization": f"Bearer {self.token}"},
            timeout=60,
        )

    def get(self, path: str, **query: Any) -> Any:
        """The document of a GET that succeeds."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["schema_version"] == 1
        return document

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        """The document of a POST."""
        answer = self.client.post(path, json={} if body is None else body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def status(self, method: str, path: str, **more: Any) -> int:
        """The status of any request."""
        return self.client.request(method, path, **more).status_code

    def order(self, kind: str, trace_id: str, **options: Any) -> str:
        """The id of a new job."""
        body = {"kind": kind, "trace_id": trace_id, "options": options}
        return str(self.post("/jobs", body, 202)["job_id"])

    def ended(self, job_id: str) -> Any:
        """A job when it has ended, or waits for approval."""
        while (job := self.get(f"/jobs/{job_id}"))["state"] not in ENDED:
            time.sleep(0.05)
        return job

    def events(self, job_id: str, **headers: str) -> Iterator[tuple[str, Any]]:
        """Events of a job, as they come, until the stream ends."""
        with self.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in answer.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, json.loads(value)


@contextmanager
def api(folder: Path, settings: ServeSettings | None = None, **more: Any) -> Iterator[Api]:
    """The API of a server over the store in a folder, as `refinery serve` there would be."""
    settings = replace(settings or ServeSettings(store=""), home=folder, **more)
    with serving(folder / "traces.db", settings) as served:
        yield Api(served)
