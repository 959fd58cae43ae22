"""Copying traces of Langfuse, Phoenix, MLflow and Datadog to the store, by name or by address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refinery.adapters._shared.otel.spans import trace_uuid
from refinery.errors import InputError, PluginError
from refinery.workflows import fetch, traces
from refinery.workflows.fetch import FetchRequest
from refinery.workflows.wiring import Workspace, open_workspace
from tests.adapters.remote_samples import (
    FAILED,
    TRACE,
    annotation,
    datadog_llm,
    datadog_span,
    generation,
    mlflow_rest,
    observation,
    phoenix_failure,
    phoenix_llm,
    phoenix_span,
    score,
)
from tests.adapters.test_langsmith import remote_runs
from tests.fakes.langsmith_server import LangSmithServer
from tests.fakes.trace_servers import Datadog, JsonServer, Langfuse, Mlflow, Phoenix

SERVERS: dict[str, Any] = {
    "langfuse": lambda: Langfuse(
        [observation(), generation(), observation(FAILED, level="ERROR")], [score()]
    ),
    "phoenix": lambda: Phoenix([phoenix_span(), phoenix_llm(), phoenix_failure()], [annotation()]),
    "mlflow": lambda: Mlflow(
        [mlflow_rest(), mlflow_rest(FAILED, "STATUS_CODE_ERROR", state="ERROR")]
    ),
    "datadog": lambda: Datadog(
        [datadog_span(), datadog_llm(), datadog_span(FAILED, status="error")]
    ),
}


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    (isolated / "refinery.toml").touch()
    return open_workspace(isolated)


@contextmanager
def serving(source: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonServer]:
    for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setenv("DD_API_KEY", "api")
    monkeypatch.setenv("DD_APP_KEY", "app")
    with JsonServer(SERVERS[source]()).running() as server:
        monkeypatch.setenv("LANGFUSE_HOST", server.url)
        yield server


def test_these_services_can_be_asked() -> None:
    assert fetch.sources() == ["datadog", "langfuse", "langsmith", "mlflow", "phoenix"]


@pytest.mark.parametrize("source", SERVERS)
def test_a_trace_and_its_feedback_are_copied_once(
    source: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(source, monkeypatch) as server:
        request = FetchRequest(reference=TRACE, source=source, url=server.url)
        (first,) = fetch.fetch(workspace, request)
        stored = workspace.store.get_trace(trace_uuid(TRACE))
        said = workspace.store.get_feedback(trace_uuid(TRACE))
        (again,) = fetch.fetch(workspace, request)

    assert (first.new_runs, again.new_runs) == (2, 0)
    assert stored.runs == first.trace.runs
    assert stored.source == source
    assert len(said) == first.feedback > 0
    assert workspace.store.get_trace(trace_uuid(TRACE)) == stored
    assert workspace.store.get_feedback(trace_uuid(TRACE)) == said


@pytest.mark.parametrize("source", SERVERS)
def test_failed_traces_or_all_of_a_project(
    source: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(source, monkeypatch) as server:
        project = "shop"
        request = FetchRequest(source=source, url=server.url, project=project)
        failed = fetch.fetch(workspace, request)
        everything = fetch.fetch(
            workspace,
            FetchRequest(source=source, url=server.url, project=project, only_failed=False),
        )

    assert [item.trace.trace_id for item in failed] == [trace_uuid(FAILED)]
    assert {item.trace.trace_id for item in everything} == {trace_uuid(TRACE), trace_uuid(FAILED)}


def test_an_address_picks_its_service(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving("langfuse", monkeypatch) as server:
        address = f"{server.url}/project/p-1/traces/{TRACE}"
        found = traces.resolve(workspace, address)

    assert (found.source, len(found.runs)) == ("langfuse", 2)


def test_an_address_nobody_knows_gets_no_key(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JsonServer(SERVERS["langfuse"]()).running() as stranger:
        with serving("langfuse", monkeypatch):
            address = f"{stranger.url}/project/p-1/traces/{TRACE}"
            for source in (None, "langfuse"):
                with pytest.raises(InputError):
                    fetch.fetch(workspace, FetchRequest(reference=address, source=source))
        assert stranger.requests == []


def test_a_source_must_be_a_service(workspace: Workspace) -> None:
    with pytest.raises(PluginError, match="langfus") as caught:
        fetch.fetch(workspace, FetchRequest(source="langfus"))
    assert "langfuse" in caught.value.hint
    with pytest.raises(InputError, match="reads files") as refused:
        fetch.fetch(workspace, FetchRequest(source="messages"))
    assert "refinery import" in refused.value.hint


@pytest.mark.parametrize("versions", [(1,), (1, 2)])
def test_all_traces_of_langsmith(workspace: Workspace, versions: tuple[int, ...]) -> None:
    runs = remote_runs() + remote_runs(error=None)
    with LangSmithServer(runs, versions=versions).running() as server:
        everything = fetch.fetch(workspace, FetchRequest(url=server.url, only_failed=False))
        failed = fetch.fetch(workspace, FetchRequest(url=server.url))

    assert {item.trace.trace_id for item in everything} == {runs[0]["id"], runs[4]["id"]}
    assert [item.trace.trace_id for item in failed] == [runs[0]["id"]]
