"""A real MLflow server: what we fetch and import is what its own client reads."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refinery.adapters import mlflow
from refinery.adapters._shared.mlflow_traces import hex_of
from refinery.adapters._shared.otel.spans import run_uuid, trace_uuid
from refinery.workflows import fetch
from refinery.workflows.fetch import FetchRequest
from refinery.workflows.wiring import open_workspace
from tests.peers.services.environments import free_port, python_of, run, serving

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.timeout(1200)]

STATES = {"STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error", "OK": "ok", "ERROR": "error"}


@dataclass(frozen=True)
class Session:
    url: str
    folder: Path
    rows: list[dict[str, Any]]
    """Each trace as MLflow's own client reads it."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("mlflow")
    python = python_of("mlflow", folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"),
    ]
    with serving(command, f"{url}/health", folder):
        printed = run(python, "record_mlflow.py", folder, MLFLOW_URL=url)
        line = next(line for line in printed.splitlines() if line.startswith("RESULT"))
        yield Session(url, folder, json.loads(line.removeprefix("RESULT")))


def test_all_that_its_client_reads_is_fetched(session: Session) -> None:
    with mlflow.connect(session.url) as service:
        fetched = {
            trace.trace_id: (trace, said)
            for trace, said in service.fetch_traces("shop", only_failed=False)
        }

    assert len(fetched) == len(session.rows) == 5
    for row in session.rows:
        digits = hex_of(row["trace_id"])
        trace, said = fetched[trace_uuid(digits)]
        told = {run_uuid(digits, span): about for span, about in row["spans"].items()}
        assert {r.run_id: [r.name, r.status] for r in trace.runs} == {
            run_id: [name, STATES[state]] for run_id, (name, state) in told.items()
        }
        assert sorted(item.key for item in said) == sorted(row["assessments"])
        assert (trace.project, trace.root.session_id) == ("shop", "s-1")


def test_what_its_client_saved_is_what_is_fetched(session: Session) -> None:
    with mlflow.connect(session.url) as service:
        fetched = {
            trace.trace_id: (trace.runs, said)
            for trace, said in service.fetch_traces("shop", only_failed=False)
        }

    files = list(session.folder.glob("trace_*.json"))
    assert len(files) == 5
    for path in [*files, session.folder / "rows.jsonl"]:
        assert mlflow.recognise(path.read_bytes()[:65536], path)
        for trace, said in mlflow.read_labelled(path):
            assert (trace.runs, said) == fetched[trace.trace_id], path.name


def test_only_the_failed_one_is_fetched_when_asked(session: Session) -> None:
    with mlflow.connect(session.url) as service:
        (failed,) = [trace for trace, _ in service.fetch_traces("shop")]

    assert failed.root.is_failed
    assert (failed.root.error.type, failed.root.error.message) == ("ValueError", "no such city")


def test_fetching_twice_changes_nothing(session: Session) -> None:
    workspace = open_workspace()
    request = FetchRequest(source="mlflow", url=session.url, project="shop", only_failed=False)

    first = fetch.fetch(workspace, request)
    before = [workspace.store.get_trace(item.trace.trace_id) for item in first]
    again = fetch.fetch(workspace, request)

    assert (sum(item.new_runs for item in first), sum(i.new_runs for i in again)) == (15, 0)
    assert [workspace.store.get_trace(item.trace.trace_id) for item in first] == before
