"""Copying traces of a service to the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import NotFoundError
from refinery.ports import TraceFilter
from refinery.workflows import fetch
from refinery.workflows.wiring import Workspace, open_workspace
from tests.adapters.test_langsmith import remote_runs
from tests.fakes.langsmith_server import LangSmithServer


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    (isolated / "refinery.toml").touch()
    return open_workspace(isolated)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LangSmithServer]:
    runs = remote_runs(days_ago=1) + remote_runs(days_ago=2) + remote_runs(error=None)
    with LangSmithServer(runs).running() as running:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", running.url)
        yield running


def test_a_fetched_trace_is_copied_to_the_store(
    workspace: Workspace, server: LangSmithServer
) -> None:
    run_id = server.runs[0]["id"]

    (fetched,) = fetch.fetch(workspace, fetch.FetchRequest(reference=run_id, project="default"))

    stored = workspace.store.get_trace(run_id)
    assert stored.runs == fetched.trace.runs
    assert (stored.source, stored.project, fetched.new_runs) == ("langsmith", "default", 4)


def test_all_failed_traces_are_copied(workspace: Workspace, server: LangSmithServer) -> None:
    fetched = fetch.fetch(workspace, fetch.FetchRequest())

    assert [item.trace.trace_id for item in fetched] == [
        server.runs[0]["id"],
        server.runs[4]["id"],
    ]
    assert len(workspace.store.list_traces(TraceFilter(status="error"))) == 2


def test_a_trace_that_vanished_there_stays_here(
    workspace: Workspace, server: LangSmithServer
) -> None:
    run_id = server.runs[0]["id"]
    fetch.fetch_one(workspace, run_id)
    server.runs.clear()

    assert workspace.store.get_trace(run_id) is not None
    with pytest.raises(NotFoundError):
        fetch.fetch_one(workspace, "00000000-0000-4000-8000-000000000000")
