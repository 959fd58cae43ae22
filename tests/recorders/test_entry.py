"""The program that runs one callable: in a process of its own, as replays and `record` use it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

import refinery
from refinery.model.codec import decode_run, encode_run
from refinery.model.merge import merge
from refinery.model.trace import Run
from refinery.recorders.entry import TargetError, load_target, plain, run_one
from tests.recorders._collect import views

ROOT = Path(refinery.__file__).parents[1]
PROGRAM = ROOT / "refinery" / "recorders" / "entry.py"

PLAIN = """
import sys
from dataclasses import dataclass

print("imported")

class Bot:
    def ask(self, q):
        return {"said": q}

bot = Bot()
number = 3

def echo(value):
    print("noise on stdout")
    return value

def boom(value):
    raise KeyError(value)

def leave(value):
    sys.exit(value)

async def later(value):
    return [value]

def chunks(value):
    yield from value

async def later_chunks(value):
    for item in value:
        yield item

@dataclass
class Answer:
    text: str

def typed(value):
    return Answer(value)

def hungry(value):
    return input()
"""

CHAINS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

def strip(x): return x.strip()
step = RunnableLambda(strip)

def several(q):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(step.invoke, [q, q, q]))

class State(TypedDict, total=False):
    q: str
    messages: list

def say(state):
    thread = threading.Thread(target=step.invoke, args=(" lost ",))
    thread.start(); thread.join()
    return {"messages": [AIMessage("to " + state["q"])]}

async def asay(state):
    return {"messages": [AIMessage("async")]}

def build(node, **options):
    builder = StateGraph(State)
    builder.add_node("say", node)
    builder.add_edge(START, "say")
    return builder.compile(**options)

graph = build(say)
async_graph = build(asay)
nested_async_graph = build(async_graph)
remembering = build(say, checkpointer=InMemorySaver())

async def call_graph(q):
    return await async_graph.ainvoke({"q": q})
"""


def run_job(
    root: Path,
    target: str,
    arguments: Sequence[Any],
    *,
    command: Sequence[str] = (str(PROGRAM),),
    **job: Any,
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    whole = {
        "target": target,
        "arguments": [{"id": str(n), "argument": a} for n, a in enumerate(arguments)],
        "spool": str(root / "spool"),
        "project_root": str(root),
        **job,
    }
    done = subprocess.run(
        [sys.executable, *command],
        input=json.dumps(whole),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answers = done.stdout.splitlines() if "results" not in job else []
    return done, [json.loads(line) for line in answers]


def recorded(root: Path) -> dict[str, dict[str, Any]]:
    """Runs in the spool by run id, joined as a store would."""
    joined: dict[str, Run] = {}
    for view in views(root / "spool"):
        run = decode_run(view["run"])
        joined[run.run_id] = merge(joined[run.run_id], run) if run.run_id in joined else run
    return {run_id: encode_run(run) for run_id, run in joined.items()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "agent.py").write_text(PLAIN)
    (root / "chains.py").write_text(CHAINS)
    return root


@pytest.mark.slow
def test_each_argument_is_answered_in_order_by_one_line(project: Path) -> None:
    done, answers = run_job(project, "agent:echo", ["a", {"b": [1, None]}, 3])

    assert done.returncode == 0, done.stderr
    assert [a["id"] for a in answers] == ["0", "1", "2"]
    assert [a["output"] for a in answers] == ["a", {"b": [1, None]}, 3]
    assert {a["status"] for a in answers} == {"ok"}
    assert done.stderr.count("imported") == 1
    assert done.stderr.count("noise on stdout") == 3


@pytest.mark.slow
def test_a_plain_function_is_one_root_run_with_its_entry_point(project: Path) -> None:
    (project / "refinery.toml").write_text("")

    _, answers = run_job(project, "agent:echo", [{"q": 1}])

    (run,) = recorded(project).values()
    assert run["run_id"] == run["trace_id"] == answers[0]["trace_id"]
    assert (run["name"], run["kind"], run["status"]) == ("echo", "chain", "ok")
    assert run["inputs"] == run["outputs"] == {"q": 1}
    assert run["code"]["file"] == "agent.py"
    assert run["code"]["qualname"] == "echo"
    point = run["metadata"]["refinery"]["entry_point"]
    assert (point["kind"], point["target"], point["argument"]) == (
        "callable",
        "agent:echo",
        {"q": 1},
    )
    assert point["repository"] == str(project.resolve())


@pytest.mark.slow
def test_an_exception_is_an_answer_and_the_next_argument_runs(project: Path) -> None:
    done, answers = run_job(project, "agent:boom", ["x", "y"])

    assert done.returncode == 0
    assert [a["status"] for a in answers] == ["error", "error"]
    assert answers[0]["error"]["type"] == "KeyError"
    assert answers[0]["error"]["message"] == "'x'"
    assert "agent.py" in answers[0]["error"]["stack"]
    assert {run["status"] for run in recorded(project).values()} == {"error"}


@pytest.mark.slow
def test_a_function_that_calls_several_chains_in_threads_is_one_trace(project: Path) -> None:
    _, answers = run_job(project, "chains:several", [" a ", " b "])

    runs = recorded(project).values()
    assert [a["output"] for a in answers] == [["a"] * 3, ["b"] * 3]
    assert len(runs) == 8
    assert {run["trace_id"] for run in runs} == {a["trace_id"] for a in answers}
    children = [run for run in runs if run["run_id"] != run["trace_id"]]
    assert {run["parent_id"] for run in children} == {a["trace_id"] for a in answers}
    assert {run["code"]["qualname"] for run in children} == {"strip"}


@pytest.mark.slow
def test_a_graph_is_its_own_root_and_adopts_runs_of_lost_threads(project: Path) -> None:
    _, (answer,) = run_job(project, "chains:graph", [{"q": "you"}])

    runs = recorded(project)
    assert answer["status"] == "ok"
    assert answer["output"]["messages"][-1]["content"] == "to you"
    assert runs[answer["trace_id"]]["name"] == "LangGraph"
    assert sorted(run["name"] for run in runs.values()) == ["LangGraph", "say", "strip"]
    assert {run["trace_id"] for run in runs.values()} == {answer["trace_id"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "fragment"),
    [
        ("nowhere:f", "No module named 'nowhere'"),
        ("agent:missing", "'agent' has no 'missing'"),
        ("agent:number", "is a int, which cannot be called"),
        ("agent", "not of the form module:callable"),
        ("broken:f", "SyntaxError"),
        ("exits:f", "SystemExit"),
    ],
)
def test_a_target_that_cannot_be_imported_is_told_clearly(
    project: Path, target: str, fragment: str
) -> None:
    (project / "broken.py").write_text("def f(:\n")
    (project / "exits.py").write_text("raise SystemExit(1)\n")

    done, answers = run_job(project, target, ["a", "b"])

    assert done.returncode == 2
    assert [a["status"] for a in answers] == ["unimportable", "unimportable"]
    assert fragment in answers[0]["error"]["message"]


@pytest.mark.slow
def test_answers_go_to_a_file_when_one_is_named(project: Path) -> None:
    done, _ = run_job(project, "agent:echo", [1], results=str(project / "answers"))

    assert "noise on stdout" in done.stdout
    assert json.loads((project / "answers").read_text())["output"] == 1


@pytest.mark.slow
def test_the_module_form_hides_no_library(project: Path) -> None:
    done, answers = run_job(
        project, "chains:step", [" a "], command=("-m", "refinery.recorders.entry")
    )

    assert done.returncode == 0, done.stderr
    assert answers[0]["output"] == "a"


@pytest.mark.slow
def test_an_interpreter_without_any_library_can_record(project: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True
    )
    library = tmp_path / "library"
    library.mkdir()
    (library / "refinery").symlink_to(ROOT / "refinery")
    job = {
        "target": "agent:echo",
        "arguments": [{"id": "1", "argument": "hi"}],
        "spool": str(project / "spool"),
        "project_root": str(project),
    }

    done = subprocess.run(
        [str(tmp_path / "bare" / "bin" / "python"), str(PROGRAM)],
        input=json.dumps(job),
        env={"PYTHONPATH": str(library), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert json.loads(done.stdout)["output"] == "hi", done.stderr
    assert [run["name"] for run in recorded(project).values()] == ["echo"]


@pytest.mark.slow
def test_with_recording_off_the_target_still_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFINERY_RECORD", "0")

    _, (answer,) = run_job(project, "agent:echo", [1])

    assert (answer["output"], answer["trace_id"]) == (1, None)
    assert recorded(project) == {}


@pytest.fixture
def importable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project))
    for name in ("agent", "chains"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("target", "argument", "output"),
    [
        ("agent:bot.ask", "q", {"said": "q"}),
        ("agent:later", 1, [1]),
        ("agent:chunks", ["a", "b"], "ab"),
        ("agent:chunks", [1, "b"], [1, "b"]),
        ("agent:later_chunks", ["a", "b"], "ab"),
        ("agent:typed", "x", {"text": "x"}),
        ("agent:leave", 0, None),
    ],
)
def test_callables_of_every_sort_are_settled(target: str, argument: Any, output: Any) -> None:
    outcome = run_one(load_target(target), argument)

    assert outcome.output == output
    assert outcome.trace_id is None


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("target", "argument", "text"),
    [
        ("chains:async_graph", {"q": "x"}, "async"),
        ("chains:call_graph", "x", "async"),
        ("chains:nested_async_graph", {"q": "x"}, "async"),
        ("chains:remembering", {"q": "x"}, "to x"),
        ("chains:graph", {"q": "x"}, "to x"),
    ],
)
def test_graphs_run_by_the_side_they_have(target: str, argument: Any, text: str) -> None:
    loaded = load_target(target)

    for _ in range(2):
        outcome = run_one(loaded, argument)
        assert outcome.status == "ok", outcome
        assert outcome.output["messages"][-1]["content"] == text


@pytest.mark.usefixtures("importable")
def test_leaving_the_program_is_an_error_unless_it_went_well() -> None:
    assert run_one(load_target("agent:leave"), 3).status == "error"
    assert run_one(load_target("agent:leave"), 0).status == "cancelled"


def test_a_module_that_cannot_be_imported_keeps_its_cause() -> None:
    with pytest.raises(TargetError, match="no_such_module") as caught:
        load_target("no_such_module:f")

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_results_become_json_a_check_can_walk() -> None:
    result = plain({"messages": [AIMessage("hi", id="1")], "at": (1, 2)})

    assert result["messages"][-1]["content"] == "hi"
    assert result["messages"][-1]["type"] == "ai"
    assert result["at"] == [1, 2]
