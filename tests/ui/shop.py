"""A recorded shop assistant in a real repository, and the model it talks to, for the pages."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinery.model.trace import Label
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import traces
from refinery.workflows.wiring import open_workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import make_repository
from tests.samples import shop_agent
from tests.workflows.shop import first_note

NEWEST = "newest-first"
"""A model that answers by the newest note, whatever it is told."""
NEVER = "never-answers"
"""A model that answers once the test has ended."""


@dataclass
class Shop:
    """The repository with a failing and a passing recording."""

    root: Path
    model: ModelServer
    env: Mapping[str, str]
    failing: str = ""
    passing: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, *arguments: str) -> Any:
        """The JSON document of a command, run in the repository."""
        return run(self.root, self.env, *arguments)


def run(folder: Path, env: Mapping[str, str], *arguments: str) -> Any:
    """The JSON document of a command, run in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "refinery", *arguments, "--json"],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def endpoint(model: ModelServer) -> dict[str, str]:
    """Variables that lead OpenAI's client to a model."""
    return {"OPENAI_BASE_URL": model.url + "/v1", "OPENAI_API_KEY": "test"}


@contextmanager
def recorded_shop(folder: Path) -> Iterator[Shop]:
    """Make the repository, record both questions, label what came of them."""
    ended = threading.Event()

    def answer(request: ModelRequest) -> ModelReply:
        if request.model == NEVER:
            ended.wait(60)
        if request.model == NEWEST:
            return ModelReply(text="The shop opens at 8 in the morning.", model=NEWEST)
        return first_note(request)

    root = make_repository(folder / "shop", shop_agent.FILES)
    with ModelServer(answer) as model:
        shop = Shop(root, model, endpoint(model), ended=ended)
        questions = (shop_agent.FAILING, shop_agent.PASSING)
        inputs = [part for text in questions for part in ("--input", json.dumps(text))]
        shop.failing, shop.passing = (r["trace_id"] for r in shop.run("record", *inputs)["runs"])
        workspace = open_workspace(root)
        right, fine = f"contains@answer:{shop_agent.RIGHT}", "contains@answer:costs nothing"
        traces.label(workspace, shop.failing, Label("fail", None, (right,)))
        traces.label(workspace, shop.passing, Label("pass", None, (fine,)))
        workspace.store.close()
        try:
            yield shop
        finally:
            ended.set()
