"""LangSmith's Python SDK in its OpenTelemetry modes records into `refinery serve`.

Its spans carry no run ids, so feedback given by run id cannot be joined to them, and in hybrid
mode every trace arrives twice: once a protocol.
"""

import os
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langsmith import Client

from tests.fakes.model_server import ModelServer
from tests.server.collector import answer, clean_environment, collector

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.timeout(600)]

PACKAGES = Path(__file__).parent / "otel_producers" / "langsmith.txt"
PROGRAM = Path(__file__).parents[1] / "server" / "langsmith_program.py"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the SDK and OpenTelemetry's exporter."""
    kept = os.environ.get("REFINERY_PEERS")
    folder = Path(kept) / "langsmith_otel" if kept else tmp_path_factory.mktemp("venv")
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-q", "-r", str(PACKAGES)]
    subprocess.run(install, check=True, capture_output=True, timeout=500)
    return str(python)


def record(python: str, folder: Path, mode: str) -> Counter[tuple[Any, ...]]:
    """How often each (name, type, status, tokens, parent's name) was read back."""
    with collector(folder) as url, ModelServer(answer) as model:
        environment = clean_environment(
            LANGSMITH_TRACING="true",
            LANGSMITH_ENDPOINT=url,
            LANGSMITH_API_KEY="any",
            LANGSMITH_PROJECT="demo",
            OPENAI_BASE_URL=f"{model.url}/v1",
            OPENAI_API_KEY="none",
            **({"LANGSMITH_TRACING_MODE": mode} if mode else {}),
        )
        done = subprocess.run(
            [python, str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        client = Client(api_url=url, api_key="any", auto_batch_tracing=False)
        runs = {run.id: run for run in client.list_runs(project_name="demo")}
        return Counter(
            (
                run.name,
                run.run_type,
                run.status,
                run.total_tokens,
                runs[run.parent_run_id].name if run.parent_run_id else None,
            )
            for run in runs.values()
        )


def test_every_mode_gives_the_same_tree(python: str, tmp_path: Path) -> None:
    native = record(sys.executable, tmp_path / "native", "")

    assert record(python, tmp_path / "otel", "otel") == native
    hybrid = record(python, tmp_path / "hybrid", "hybrid")
    assert hybrid == Counter({row: count * 2 for row, count in native.items()})
