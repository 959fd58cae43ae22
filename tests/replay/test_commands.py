"""Commands recorded with `refinery record -- COMMAND`, run again before the gateway."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.model.trace import Trace
from refinery.model.verdict import Fidelity
from refinery.replay.wire import ModelReply
from refinery.workflows import traces, wiring
from refinery.workflows.record import record_command
from refinery.workflows.replay import replay_trace
from refinery.workflows.wiring import Workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import make_repository
from tests.replay import kit

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import uuid
from datetime import datetime

import openai
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool


@tool
def roll(sides: int) -> int:
    '''Roll a die.'''
    return int.from_bytes(__import__("os").urandom(2), "big")


def work(question):
    text = f"{question} {datetime.now().isoformat()} {uuid.uuid4()} {roll.invoke({'sides': 6})}"
    stream = openai.OpenAI().chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}], stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


said = RunnableLambda(work, name="work").invoke(sys.argv[1])
print(said)
sys.exit(0 if said == "four words of answer" else 3)
"""

RAW = """
import json
import os
import sys
import uuid
from urllib.request import Request, urlopen

asked = {
    "model": "m",
    "stream": True,
    "messages": [{"role": "user", "content": f"{sys.argv[1]} {uuid.uuid4()}"}],
}
request = Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps(asked).encode(),
    {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
)
sys.exit(sum(urlopen(request).read()) % 100 + 1)
"""


@pytest.fixture
def workspace(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    files = {"tools/ask.py": PROGRAM, "tools/raw.py": RAW, "refinery.toml": ""}
    root = make_repository(isolated / "an agent", files)
    monkeypatch.chdir(root)
    opened = wiring.open_workspace(root)
    yield opened
    opened.store.close()


def recorded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *command: str) -> Trace:
    answering = ModelServer(lambda request: ModelReply("four words of answer"))
    with answering as server, monkeypatch.context() as patch:
        for name, value in kit.openai_env(server.url).items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(kit.ROOT))
        record_command(workspace, [sys.executable, *command, "what?"], quiet=True)
    return traces.resolve(workspace, "latest")


def test_a_python_command_recorded_from_inside_is_replayed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = replay_trace(workspace, recorded(workspace, monkeypatch, "tools/ask.py"))

    assert outcome.is_same, (outcome.divergence, outcome.result)
    assert outcome.result.output == {"output": "four words of answer"}
    found = [(step.kind, step.fidelity) for step in outcome.result.steps]
    assert [kind for kind, _ in found] == ["tool", "llm"]
    assert {fidelity for _, fidelity in found} <= {Fidelity.EXACT, Fidelity.NORMALISED}


def test_a_command_recorded_through_the_gateway_gets_the_bytes_it_got(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = recorded(workspace, monkeypatch, "-I", "tools/raw.py")
    assert trace.root is not None
    assert trace.root.native_kind == "command"
    assert trace.root.error is not None  # its exit code is a checksum of the bytes

    outcome = replay_trace(workspace, trace)

    assert outcome.is_same, outcome.divergence
    assert [step.fidelity for step in outcome.result.steps] == [Fidelity.NORMALISED]
    assert trace.root.error.message in str(outcome.result.error)
