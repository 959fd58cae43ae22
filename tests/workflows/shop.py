"""A recorded shop assistant that tests of the whole loop share."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from refinery.model.trace import Label
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import traces
from refinery.workflows.fix import FixRequest
from refinery.workflows.record import record_inputs
from refinery.workflows.wiring import Workspace, open_workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import make_repository
from tests.samples import shop_agent


def first_note(request: ModelRequest) -> ModelReply:
    """Answers with the first note of the prompt, or the newest when it is told to."""
    system = next(m.text for m in request.messages if m.role == "system")
    notes = re.findall(r"^\[(\S+)\] (.*)$", system, re.MULTILINE)
    if "most recent" in system:
        notes.sort(reverse=True)
    return ModelReply(text=notes[0][1] if notes else "I do not know.", model=request.model)


@dataclass
class Shop:
    """A recorded failing and a recorded passing run, labelled."""

    root: Path
    workspace: Workspace
    failing: str
    passing: str

    def request(self, **more: object) -> FixRequest:
        trace = traces.resolve(self.workspace, self.failing)
        return FixRequest(trace=trace, repository=self.root, **more)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(first_note) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield running


@pytest.fixture
def shop(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    root = make_repository(tmp_path / "shop", shop_agent.FILES)
    monkeypatch.chdir(root)
    workspace = open_workspace(root)
    inputs = [shop_agent.FAILING, shop_agent.PASSING]
    failing, passing = (r.trace_id for r in record_inputs(workspace, inputs, root))
    assert failing and passing
    right = (f"contains@answer:{shop_agent.RIGHT}",)
    traces.label(workspace, failing, Label("fail", "the newest note counts", right))
    traces.label(workspace, passing, Label("pass", None, ("contains@answer:costs nothing",)))
    return Shop(root, workspace, failing, passing)
