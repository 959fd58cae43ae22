"""Real producers send to the real collector, and their traces are whole in its store.

`REFINERY_PEERS` names a folder to keep their environments in; without it they are made anew: a
virtual environment for each `NAME.txt` beside the programs, `node_modules` for `vercel.json`.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path

import pytest

from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Run
from refinery.ports import RunFilter, Store
from tests.adapters.otel.samples import named, tokens
from tests.adapters.otel.test_producers import CALLED, KINDS, TOKENS
from tests.fakes.model_server import ModelServer
from tests.peers.otel_producers.capture import HERE, PRODUCERS, Producer, answer, run
from tests.server.serving import serving

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.timeout(900)]

PROJECTS = {"langfuse": None}


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder the environments are in."""
    kept = os.environ.get("REFINERY_PEERS")
    return Path(kept) if kept else tmp_path_factory.mktemp("environments")


def prepared(producer: Producer, environments: Path) -> Producer:
    """The producer, its environment made if it is not there yet."""
    folder = environments / producer.environment
    if producer.program.endswith(".mjs"):
        if not (folder / "node_modules").exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / f"{producer.environment}.json", folder / "package.json")
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    elif not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
        packages = HERE / f"{producer.environment}.txt"
        python = str(folder / "bin" / "python")
        uv = shutil.which("uv", path=str(Path(sys.executable).parent))
        pip = [uv, "pip", "install", "-p", python] if uv else [python, "-m", "pip", "install"]
        command = [*pip, "-q", "-r"]
        subprocess.run([*command, str(packages)], check=True, capture_output=True, timeout=800)
    return producer


def stored(store: Store) -> list[Run]:
    found: list[Run] = []
    after = None
    while True:
        page = store.find_runs(RunFilter(is_oldest_first=True, after=after))
        found += [item.run for item in page.runs]
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("producer", PRODUCERS)
def test_a_producer_is_recorded_whole(producer: str, environments: Path, tmp_path: Path) -> None:
    wanted = prepared(PRODUCERS[producer], environments)

    with ModelServer(answer) as model, serving(tmp_path / "traces.db") as served:
        run(wanted, environments, served.url, model.url)
        runs = stored(served.store)
        projects = {project.name for project in served.store.projects()}

    assert Counter(str(found.kind) for found in runs) == KINDS[producer]
    assert tokens(runs) == TOKENS[producer]
    assert projects == {PROJECTS.get(producer, "lamps")}
    known = {found.run_id: found for found in runs}
    assert all(found.parent_id in known for found in runs if found.parent_id)
    if producer in CALLED:
        call = named(runs, CALLED[producer])
        assert messages_in(call)[0].text == "You sell lamps."
        assert [asked.name for asked in messages_out(call)[0].tool_calls] == ["get_price"]


def test_the_same_agent_is_the_same_tree_through_every_producer(
    environments: Path, tmp_path: Path
) -> None:
    trees = {}
    for producer in ("openinference_langchain", "langsmith_otel"):
        wanted = prepared(PRODUCERS[producer], environments)
        with ModelServer(answer) as model, serving(tmp_path / f"{producer}.db") as served:
            run(wanted, environments, served.url, model.url)
            runs = stored(served.store)
        names = {found.run_id: found.name for found in runs}
        whole = {
            found.trace_id for found in runs if found.name == "seller" and not found.is_failed
        }
        trees[producer] = Counter(
            (found.name, names.get(found.parent_id or ""), str(found.status))
            for found in runs
            if found.trace_id in whole
        )

    assert trees["openinference_langchain"] == trees["langsmith_otel"]
