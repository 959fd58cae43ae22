"""LangSmith's own Python SDK records into `refinery serve`, and reads it back."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langsmith import Client
from langsmith.schemas import Run
from langsmith.utils import LangSmithError, LangSmithNotFoundError

from refinery.adapters.langsmith import LangSmithAdapter
from refinery.model.codec import encode_run
from refinery.ports import TraceFilter
from refinery.stores.sqlite import open_store
from tests.fakes.model_server import ModelServer
from tests.server.collector import answer, clean_environment, collector

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning:langsmith")]


class Recorded:
    """What the program left behind."""

    def __init__(self, url: str, folder: Path, heard: list[str]) -> None:
        self.url, self.folder, self.heard = url, folder, heard
        self.client = Client(api_url=f"{url}/api/v1", api_key="any", auto_batch_tracing=False)

    def roots(self, **wanted: Any) -> dict[str, Run]:
        found = self.client.list_runs(project_name="demo", is_root=True, **wanted)
        return {run.name: run for run in found}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("sdk")
    with collector(folder) as url, ModelServer(answer) as model:
        environment = clean_environment(
            LANGSMITH_TRACING="true",
            LANGSMITH_ENDPOINT=url,
            LANGSMITH_API_KEY="any",
            LANGSMITH_PROJECT="demo",
            OPENAI_BASE_URL=f"{model.url}/v1",
            OPENAI_API_KEY="none",
        )
        program = Path(__file__).with_name("langsmith_program.py")
        done = subprocess.run(
            [sys.executable, str(program)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        yield Recorded(url, folder, json.loads(done.stdout.splitlines()[-1]))


def shown(run: Run, depth: int = 0) -> list[tuple[int, str, str, str]]:
    """The tree below a run as (depth, name, type, status)."""
    lines = [(depth, run.name, run.run_type, str(run.status))]
    for child in run.child_runs or ():
        lines += shown(child, depth + 1)
    return lines


def test_the_sdk_hears_nothing_wrong(recorded: Recorded) -> None:
    """Deprecations are its vendor's own: of a module, and of feedback without a project."""
    its_own = ("DeprecationWarning:", "LangSmithWarning: Creating feedback for a run without")
    wrong = [line for line in recorded.heard if not line.startswith(its_own)]
    assert wrong == []


def test_a_traced_pipeline_is_read_with_its_children(recorded: Recorded) -> None:
    run = recorded.client.read_run(recorded.roots()["pipeline"].id, load_child_runs=True)

    assert shown(run) == [
        (0, "pipeline", "chain", "success"),
        (1, "search", "tool", "success"),
        (1, "documents", "retriever", "success"),
        (1, "breaks", "tool", "error"),
        (1, "ChatOpenAI", "llm", "success"),
        (1, "ChatOpenAI", "llm", "success"),
        (1, "ChatOpenAI", "llm", "error"),
    ]
    assert run.inputs == {"question": "Wetter für Łódź?"}
    assert run.outputs == {"output": "It is sunny."}
    assert run.tags == ["beta"]
    assert (run.prompt_tokens, run.completion_tokens, run.total_tokens) == (40, 10, 50)
    children = run.child_runs or []
    assert "KeyError" in (children[2].error or "")
    assert "Traceback" in (children[2].error or "")
    call = recorded.client.read_run(children[3].id)
    assert call.prompt_token_details == {"cache_read": 4}
    assert call.completion_token_details == {"reasoning": 1}
    assert children[4].first_token_time is not None
    assert children[3].metadata["ls_model_name"] == "m"


def test_a_graph_is_read_with_its_children(recorded: Recorded) -> None:
    run = recorded.client.read_run(recorded.roots()["weather-agent"].id, load_child_runs=True)

    assert [(depth, name) for depth, name, kind, _ in shown(run) if kind in ("llm", "tool")] == [
        (2, "ChatOpenAI"),
        (2, "weather"),
        (2, "ChatOpenAI"),
    ]
    assert run.total_tokens == 38
    assert run.metadata["thread_id"] == "th-8"


def test_a_stream_of_numbers_and_an_attachment_are_whole(recorded: Recorded) -> None:
    roots = recorded.roots()

    assert roots["numbers"].outputs == {"output": [0, 1, 2]}
    picture = roots["with_picture"].attachments["picture"]
    assert picture["mime_type"] == "image/png"  # type: ignore[index,call-overload]
    assert picture["reader"].read() == b"\x89PNG\r\n\x1a\n--x\r\n\x00\xff"  # type: ignore[index,call-overload,union-attr]


def test_lists_are_filtered_and_paged(recorded: Recorded) -> None:
    client = recorded.client

    def count(**wanted: Any) -> int:
        return len(list(client.list_runs(project_name="demo", **wanted)))

    assert count(run_type="llm") == 5
    assert count(error=True) == 2
    assert count(filter='and(eq(run_type, "llm"), gt(total_tokens, 13))') == 3
    assert count(filter='and(eq(metadata_key, "env"), eq(metadata_value, "prod"))') >= 1
    assert count(filter='search("Łódź")', is_root=True) == 1
    assert count(trace_filter='eq(name, "pipeline")', filter='eq(run_type, "tool")') == 2
    assert count(tree_filter='eq(name, "breaks")', is_root=True) == 1
    assert count(limit=3) == 3
    with pytest.raises(LangSmithError, match="unknown operator"):
        count(filter="foo(name)")


def test_projects_threads_statistics_and_feedback_are_read(recorded: Recorded) -> None:
    client = recorded.client
    root = recorded.roots()["pipeline"]
    project = client.read_project(project_name="demo", include_stats=True)

    assert [one.name for one in client.list_projects()] == ["demo"]
    assert project.run_count == 4
    assert project.total_tokens == 88
    assert client.read_project(project_id=str(project.id)).name == "demo"
    assert client.has_project("demo")
    assert not client.has_project("absent")
    assert client.get_run_stats(project_names=["demo"], is_root=True)["run_count"] == 4
    threads = {one["thread_id"] for one in client.list_threads(project_name="demo")}
    assert threads == {"th-7", "th-8"}
    turns = client.read_thread(thread_id="th-7", project_name="demo")
    assert [run.name for run in turns] == ["pipeline"]
    said = list(client.list_feedback(run_ids=[root.id]))
    assert [(one.key, one.score, one.comment) for one in said] == [("correctness", 1.0, "good")]
    assert client.read_feedback(said[0].id).run_id == root.id
    assert str(root.id) in client.get_run_url(run=root)


def test_runs_are_shared_and_unshared(recorded: Recorded) -> None:
    client, root = recorded.client, recorded.roots()["pipeline"]

    link = client.share_run(root.id)
    token = link.rsplit("/", 2)[1]
    assert client.run_is_shared(root.id)
    assert client.read_run_shared_link(root.id) == link
    assert client.read_shared_run(token).name == "pipeline"
    assert len(list(client.list_shared_runs(token))) == 7
    client.unshare_run(root.id)
    assert not client.run_is_shared(root.id)
    with pytest.raises(LangSmithNotFoundError):
        client.read_shared_run(token)


def test_what_is_not_there_is_not_found(recorded: Recorded) -> None:
    with pytest.raises(LangSmithNotFoundError):
        recorded.client.read_run(uuid.uuid4())
    with pytest.raises(LangSmithNotFoundError):
        recorded.client.read_project(project_name="absent")


def test_the_accessors_of_version_2_read_the_same(recorded: Recorded) -> None:
    root = recorded.roots()["pipeline"]
    project_id = str(root.session_id)

    async def read() -> None:
        client = Client(api_url=recorded.url, api_key="any", auto_batch_tracing=False)
        fields: Any = [
            "NAME",
            "STATUS",
            "RUN_TYPE",
            "PARENT_RUN_IDS",
            "ATTACHMENTS",
            "FEEDBACK_STATS",
        ]
        runs = [
            run
            async for run in client.runs.query(
                project_ids=[project_id], selects=fields, page_size=4
            )
        ]
        assert len(runs) == 4 + len(
            list(recorded.client.list_runs(project_name="demo", is_root=False))
        )
        assert {run.run_type for run in runs} >= {"CHAIN", "LLM", "TOOL", "RETRIEVER"}
        one = await client.runs.retrieve(str(root.id), project_id=project_id, selects=fields)
        assert (one.name, one.status) == ("pipeline", "SUCCESS")
        assert one.feedback_stats is not None
        assert one.feedback_stats["correctness"].avg == 1.0
        listed = await client.traces.list_runs(
            str(root.trace_id), project_id=project_id, selects=["NAME"]
        )
        assert listed.items is not None
        assert [run.name for run in listed.items][:2] == ["pipeline", "search"]
        traces = [
            trace
            async for trace in client.traces.query(
                project_id=project_id, selects=["NAME", "TOTAL_TOKENS"], page_size=3
            )
        ]
        assert {trace.root_run.name for trace in traces if trace.root_run} == set(recorded.roots())
        threads = [thread async for thread in client.threads.query(project_id=project_id)]
        assert {thread.thread_id for thread in threads} == {"th-7", "th-8"}
        shared = await client.runs.share.create(
            str(root.id), session_id=project_id, trace_id=str(root.trace_id)
        )
        assert shared.share_token
        public = await client.public.runs.query(shared.share_token, selects=["NAME"])
        assert public.items is not None
        assert len(public.items) == 7
        await client.runs.share.delete(str(root.trace_id), session_id=project_id)

    asyncio.run(read())


def test_fetching_from_the_collector_gives_the_same_traces_back(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_ENDPOINT", recorded.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", "any")
    store = open_store(str(recorded.folder / "traces.db"))

    with LangSmithAdapter(tmp_path / "cache") as adapter:
        for summary in store.list_traces(TraceFilter()):
            ours = store.get_trace(summary.trace_id)
            theirs = adapter.fetch_trace(summary.trace_id)
            assert ours is not None
            assert [encode_run(run) for run in theirs.runs] == [
                encode_run(run) for run in ours.runs
            ]
    store.close()
