"""LangSmith's own JavaScript SDK records into `refinery serve`, and reads it back.

Needs node and npm; the packages of `langsmith_js/package.json` are installed into the folder
`REFINERY_PEERS` names, else into a temporary one.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refinery.adapters.langsmith import LangSmithAdapter
from refinery.model.codec import encode_run
from refinery.ports import TraceFilter
from refinery.stores.sqlite import open_store
from tests.fakes.model_server import ModelServer
from tests.server.collector import answer, clean_environment, collector

pytestmark = [
    pytest.mark.peers,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]

PROGRAMS = Path(__file__).with_name("langsmith_js")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs and what they need."""
    kept = os.environ.get("REFINERY_PEERS")
    folder = Path(kept) / "langsmith_js" if kept else tmp_path_factory.mktemp("npm")
    folder.mkdir(parents=True, exist_ok=True)
    for file in PROGRAMS.iterdir():
        shutil.copy(file, folder / file.name)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


class Session:
    """A collector the program recorded into."""

    def __init__(self, url: str, folder: Path, read: dict[str, Any], errors: str) -> None:
        self.url, self.folder, self.read, self.errors = url, folder, read, errors


@pytest.fixture(scope="module")
def session(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("js")
    with collector(folder) as url, ModelServer(answer) as model:
        environment = clean_environment(
            LANGSMITH_TRACING="true",
            LANGSMITH_ENDPOINT=url,
            LANGSMITH_API_KEY="any",
            LANGSMITH_PROJECT="js",
            OPENAI_BASE_URL=f"{model.url}/v1",
            OPENAI_API_KEY="none",
        )

        def node(program: str) -> tuple[str, str]:
            done = subprocess.run(
                ["node", program],
                cwd=packages,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout, done.stderr

        _, errors = node("record.mjs")
        yield Session(url, folder, json.loads(node("read.mjs")[0]), errors)


def test_recording_says_nothing_wrong(session: Session) -> None:
    """Its own warning, of feedback without a session, is not about the server."""
    wrong = [line for line in session.errors.splitlines() if "without sessionId" not in line]
    assert [line for line in wrong if line.strip()] == []


def test_a_traced_pipeline_is_read_with_its_children(session: Session) -> None:
    read = session.read

    assert read["pipeline"] == [
        [0, "pipeline", "chain", "success"],
        [1, "search", "tool", "success"],
        [1, "breaks", "tool", "error"],
        [1, "numbers", "chain", "success"],
        [1, "ChatOpenAI", "llm", "success"],
        [1, "ChatOpenAI", "llm", "success"],
        [1, "ChatOpenAI", "llm", "error"],
    ]
    assert read["inputs"] == {"input": "Wetter für Łódź?"}
    assert read["outputs"] == {"outputs": "It is sunny."}
    assert read["tokens"] == 50
    assert dict(read["errors"])["breaks"].startswith("TypeError: missing-key")


def test_a_graph_is_read_with_its_children(session: Session) -> None:
    named = [name for _, name, kind, _ in session.read["graph"] if kind in ("llm", "tool")]

    assert named == ["ChatOpenAI", "weather", "ChatOpenAI"]
    assert session.read["graph_tokens"] == 38


def test_everything_else_is_read_back(session: Session) -> None:
    read = session.read

    assert read["roots"] == ["weather-agent", "with_picture", "pipeline"]
    assert read["picture"] == [137, 80, 78, 71, 13, 10, 45, 45, 0, 255]
    assert read["feedback"] == [["correctness", 1]]
    assert (read["calls"], read["limited"], read["thread"]) == (3, 3, ["pipeline"])
    assert (read["projects"], read["has"], read["stats"]) == (["js"], [True, False], 3)
    assert (read["shared"], read["is_shared"]) == (7, True)
    assert read["second"] == 7 + 1 + len(read["graph"])
    assert read["retrieved"] == ["pipeline", "CHAIN", "SUCCESS", 1]
    assert read["threads"] == ["th-7", "th-8"]
    assert "/projects/p/" in read["url"]


def test_fetching_from_the_collector_gives_the_same_traces_back(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", session.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", "any")
    store = open_store(str(session.folder / "traces.db"))

    with LangSmithAdapter(tmp_path / "cache") as adapter:
        traces = store.list_traces(TraceFilter())
        for summary in traces:
            ours, theirs = store.get_trace(summary.trace_id), adapter.fetch_trace(summary.trace_id)
            assert ours is not None
            assert list(map(encode_run, theirs.runs)) == list(map(encode_run, ours.runs))
        assert len(traces) == 3
    store.close()
