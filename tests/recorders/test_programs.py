"""Whole programs with the recorders in them, read back through the command line."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import refinery
from refinery.model.messages import ToolCall
from refinery.model.trace import Usage
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer, StatusError

pytestmark = pytest.mark.slow

ROOT = Path(refinery.__file__).parents[1]
GRAPH = """
import refinery, sys
refinery.record(project="shop")
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

@refinery.instrument(layer="function")
def forecast(city):
    with refinery.track("sky", layer="step"):
        return f"sunny in {city}"

@tool
def weather(city: str) -> str:
    "Weather of a city."
    return forecast(city)

model = ChatOpenAI(model="m-1", base_url=sys.argv[1], api_key="x", max_retries=2)
agent = create_agent(model, [weather], name="helper")
config = {"configurable": {"thread_id": "T1"}}
print(agent.invoke({"messages": [("user", "Rome?")]}, config)["messages"][-1].content)
"""


def run(arguments: list[str], home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "PYTHONPATH": str(ROOT), "REFINERY_HOME": str(home)}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**known, **variables},
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def shown(home: Path, *arguments: str) -> Any:
    done = run(["-m", "refinery", *arguments, "--json"], home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tree(document: Any) -> Counter[tuple[str, str | None, str]]:
    names = {item["run_id"]: item["name"] for item in document["runs"]}
    return Counter(
        (item["name"], names.get(item["parent_id"]), item["status"]) for item in document["runs"]
    )


def test_an_xray_pipeline_is_shown_whole(tmp_path: Path) -> None:
    home = tmp_path / ".refinery"
    done = run([str(ROOT / "examples" / "xray_pipeline.py")], home)
    assert (done.returncode, done.stderr) == (0, "")

    listed = shown(home, "traces")["traces"]
    document = shown(home, "show", listed[-1]["trace_id"])

    assert [(item["name"], item["status"]) for item in listed] == [
        ("competitor selection", "error"),
        ("competitor selection", "ok"),
        ("competitor selection", "ok"),
    ]
    assert tree(document) == {
        ("competitor selection", None, "ok"): 1,
        ("generate keywords", "competitor selection", "ok"): 1,
        ("search candidates", "competitor selection", "ok"): 1,
        ("filter and rank", "competitor selection", "ok"): 1,
    }
    root, keywords, search, ranked = document["runs"]
    assert root["inputs"] == {"kind": "bottle", "price": 24.0}
    assert root["metadata"]["seed"] == 7
    assert (keywords["model_requested"], keywords["usage"]["total"]) == ("example-model", 42)
    assert len(ranked["evaluations"]) == search["outputs"]["found"]
    assert {True, False} == {item["qualified"] for item in ranked["evaluations"]}
    unpriced = next(e for e in ranked["evaluations"] if e["item"]["price"] is None)
    assert unpriced["filters"]["price"] == {"passed": False, "detail": "is missing"}
    empty = shown(home, "show", listed[0]["trace_id"])
    assert empty["runs"][-1]["error"]["type"] == "LookupError"
    assert "qualify" in ranked["reasoning"]
    page = run(["-m", "refinery", "show", root["trace_id"], "--run", ranked["run_id"]], home)
    assert ranked["reasoning"] in page.stdout
    assert ranked["evaluations"][0]["item_id"] in page.stdout


def test_an_instrumented_function_tree_is_shown_whole(tmp_path: Path) -> None:
    home = tmp_path / ".refinery"
    done = run([str(ROOT / "examples" / "instrumented_functions.py")], home)
    assert (done.returncode, done.stderr) == (0, "")

    failed, passed = shown(home, "traces")["traces"]
    whole = shown(home, "show", passed["trace_id"])
    broken = shown(home, "show", failed["trace_id"])

    assert tree(whole) == {
        ("quote", None, "ok"): 1,
        ("check stock", "quote", "ok"): 1,
        ("stock_of", "check stock", "ok"): 2,
        ("total", "quote", "ok"): 1,
        ("price_of", "total", "ok"): 2,
        ("lines", "quote", "ok"): 1,
        ("price_of", "lines", "ok"): 2,
    }
    assert tree(broken)[("price_of", "total", "error")] == 1
    for item in whole["runs"]:
        assert item["metrics"]["wall_ms"] > 0
        assert item["code"]["file"].endswith("instrumented_functions.py")
        assert item["code"]["variant"]
    sources = [
        item["metadata"]["refinery"]["source"]["text"]
        for item in whole["runs"]
        if "source" in item.get("metadata", {}).get("refinery", {})
    ]
    assert len(sources) == 5
    assert any("def price_of" in text for text in sources)


class Refusing:
    """Refuses the first call of a model, so that the SDK tries again."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, request: ModelRequest) -> ModelReply | StatusError:
        self.calls += 1
        if self.calls == 1:
            return StatusError(429, "slow down", {"retry-after": "0"})
        if "sunny" not in str(request.messages):
            call = ToolCall("weather", {"city": "Rome"}, "call_1")
            return ModelReply("", (call,), Usage(11, 2, 13), "tool_calls", "m-1")
        return ModelReply("It is sunny.", (), Usage(20, 5, 25), "stop", "m-1")


def test_a_graph_with_instrumented_tools_is_shown_whole(tmp_path: Path) -> None:
    home = tmp_path / ".refinery"
    with ModelServer(Refusing()) as server:
        done = run(["-c", GRAPH, server.url + "/v1"], home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "It is sunny.\n"

    document = shown(home, "show", "latest")

    assert tree(document) == {
        ("helper", None, "ok"): 1,
        ("model", "helper", "ok"): 2,
        ("ChatOpenAI", "model", "ok"): 2,
        ("tools", "helper", "ok"): 1,
        ("weather", "tools", "ok"): 1,
        ("forecast", "weather", "ok"): 1,
        ("sky", "forecast", "ok"): 1,
    }
    runs = {item["name"]: item for item in reversed(document["runs"])}
    assert runs["weather"]["metadata"]["tool_call_id"] == "call_1"
    assert runs["model"]["metadata"]["langgraph_node"] == "model"
    assert runs["ChatOpenAI"]["usage"]["input"] == 11
    retries = [item for item in runs["ChatOpenAI"]["events"] if item["name"] == "retry"]
    assert [item["kwargs"] for item in retries] == [{"attempt": 1, "http_status": 429}]
    assert document["trace"]["session_id"] == "T1"


@pytest.mark.parametrize("example", ["xray_pipeline.py", "instrumented_functions.py"])
def test_programs_work_the_same_without_a_spool(example: str, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    path = str(ROOT / "examples" / example)

    plain = run([path], tmp_path / ".refinery", REFINERY_RECORD="0")
    broken = run([path], tmp_path / ".refinery", REFINERY_SPOOL=str(blocked / "spool"))

    assert not (tmp_path / ".refinery").exists()
    assert (broken.returncode, broken.stdout) == (0, plain.stdout)
    assert plain.stderr == ""
    assert "not recorded" in broken.stderr
    assert "Traceback" not in broken.stderr
