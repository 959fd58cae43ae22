"""A trace fetched by the real LangSmith client is diagnosed, from either version of the API."""

import pytest

from refinery.model.failure import Likelihood
from refinery.workflows.diagnose import diagnose
from refinery.workflows.fetch import fetch_one
from refinery.workflows.wiring import open_workspace
from tests.adapters.test_langsmith import remote_runs
from tests.fakes.langsmith_server import LangSmithServer


@pytest.mark.parametrize("version", [1, 2])
def test_a_fetched_failure_is_stored_and_explained(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = remote_runs()
    root_id = runs[0]["id"]
    with LangSmithServer(runs, versions=(version,)).running() as server:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
        workspace = open_workspace()
        trace = fetch_one(workspace, root_id)

    found = diagnose(workspace, trace)

    assert workspace.store.get_trace(root_id) == trace
    best = found.findings[0]
    assert (best.category, best.likelihood) == ("exception", Likelihood.CERTAIN)
    assert best.cause_run_id == root_id
    assert "no lamp" in {evidence.quote for evidence in best.evidence}
