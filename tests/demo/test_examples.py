"""The programs of `examples/`, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refinery.ports import TraceFilter
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows import traces
from refinery.workflows.wiring import open_workspace
from tests.fakes.model_server import ModelServer

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
MOST_LINES = 60


def told_its_name(request: ModelRequest) -> ModelReply:
    return ModelReply(text=f"{request.model} was asked", model=request.model)


@pytest.mark.parametrize("name", ["xray_pipeline.py", "langchain_time_machine.py"])
def test_a_demo_pipeline_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < MOST_LINES


def test_the_time_machine_asks_the_model_it_is_given_and_another(tmp_path: Path) -> None:
    with ModelServer(told_its_name) as model:
        where = {"OPENAI_BASE_URL": model.url + "/v1", "OPENAI_API_KEY": "test"}
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "langchain_time_machine.py")],
            cwd=tmp_path,
            env={**os.environ, **where, "MODEL": "small", "OTHER_MODEL": "large"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert [request.model for request in model.requests] == ["small", "large"]
    assert "- small was asked" in done.stdout
    assert "+ large was asked" in done.stdout


def test_without_a_key_the_time_machine_asks_a_scripted_model(tmp_path: Path) -> None:
    (tmp_path / ".refinery").mkdir()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "langchain_time_machine.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    recorded = traces.listing(open_workspace(tmp_path), TraceFilter())

    assert done.returncode == 0, done.stderr
    assert "+ Going by the rule of 2025: Goods can be returned for 30 days." in done.stdout
    assert {summary.source for summary in recorded} == {"langchain", "replay"}
