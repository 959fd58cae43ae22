"""A real Phoenix: what we fetch and import is what its own client reads."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refinery.adapters import otlp, phoenix
from refinery.adapters._shared.otel.spans import run_uuid
from refinery.model.trace import Run, RunStatus
from refinery.workflows import fetch
from refinery.workflows.fetch import FetchRequest
from refinery.workflows.wiring import open_workspace
from tests.peers.services.environments import free_port, python_of, run, serving

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Session:
    url: str
    folder: Path
    spans: list[dict[str, Any]]
    """As Phoenix's own client answers them."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("phoenix")
    python = python_of("phoenix", folder)
    port, url = free_port(), ""
    url = f"http://127.0.0.1:{port}"
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    command = [str(python), "-m", "phoenix.server.main", "serve"]
    with serving(command, f"{url}/v1/projects", folder, **variables):
        printed = run(python, "record_phoenix.py", folder, PHOENIX_URL=url)
        yield Session(url, folder, json.loads(printed.splitlines()[-1]))


def by_id(traces: list[Any]) -> dict[str, Run]:
    return {item.run_id: item for trace in traces for item in trace.runs}


def test_all_that_its_client_reads_is_fetched(session: Session) -> None:
    with phoenix.connect(session.url) as service:
        fetched = list(service.fetch_traces("shop", only_failed=False))

    runs = by_id([trace for trace, _ in fetched])
    told = {
        run_uuid(span["context"]["trace_id"], span["context"]["span_id"]): span
        for span in session.spans
    }
    assert len(fetched) == 6
    assert runs.keys() == told.keys()
    for run_id, span in told.items():
        assert (runs[run_id].name, runs[run_id].native_kind) == (span["name"], span["span_kind"])
        assert (runs[run_id].status is RunStatus.ERROR) == (span["status_code"] == "ERROR")
    assert [feedback.key for _, said in fetched for feedback in said] == ["tone"]


def test_only_the_failed_one_is_fetched_when_asked(session: Session) -> None:
    with phoenix.connect(session.url) as service:
        (failed,) = [trace for trace, _ in service.fetch_traces("shop")]

    (tool,) = [run for run in failed.runs if run.is_failed]
    assert (tool.name, tool.error.type, tool.error.message) == (
        "tool",
        "ValueError",
        "no such city",
    )


def test_what_its_client_saved_is_what_is_fetched(session: Session) -> None:
    with phoenix.connect(session.url) as service:
        fetched = by_id([trace for trace, _ in service.fetch_traces("shop", only_failed=False)])

    for name in ("spans.json", "rows.jsonl", "rows.parquet"):
        path = session.folder / name
        assert phoenix.recognise(path.read_bytes()[:65536], path)
        assert by_id(list(phoenix.read(path))) == fetched, name


def test_the_same_spans_sent_to_us_are_the_same_runs(session: Session) -> None:
    body = (session.folder / "request.pb").read_bytes()
    sent = {
        run.run_id: run
        for batch in otlp.decode_traces(body, "application/x-protobuf")
        for run in batch.runs
    }
    with phoenix.connect(session.url) as service:
        fetched = by_id([trace for trace, _ in service.fetch_traces("shop", only_failed=False)])

    assert sent.keys() == fetched.keys()
    for run_id, run_sent in sent.items():
        found = fetched[run_id]
        assert (found.kind, found.inputs, found.outputs) == (
            run_sent.kind,
            run_sent.inputs,
            run_sent.outputs,
        )
        assert (found.usage, found.session_id) == (run_sent.usage, run_sent.session_id)
        assert abs(found.start_ns - run_sent.start_ns) < 1_000


def test_fetching_twice_changes_nothing(session: Session) -> None:
    workspace = open_workspace()
    request = FetchRequest(source="phoenix", url=session.url, project="shop", only_failed=False)

    first = fetch.fetch(workspace, request)
    before = [workspace.store.get_trace(item.trace.trace_id) for item in first]
    again = fetch.fetch(workspace, request)

    assert (sum(item.new_runs for item in first), sum(i.new_runs for i in again)) == (18, 0)
    assert [workspace.store.get_trace(item.trace.trace_id) for item in first] == before
