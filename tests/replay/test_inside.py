"""What runs beside the agent: stand-ins for tools and retrievers, and model requests re-aimed."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool
from langgraph.types import Command

from refinery.recorders._snapshot import Snapshot
from refinery.replay.inside.redirect import Redirect
from refinery.replay.inside.stand_in import StandIns, UnansweredError
from refinery.replay.inside.under_test import UnderTest
from refinery.replay.tape import result_key

CALL: dict[str, Any] = {
    "name": "price",
    "args": {"item": "tea", "count": 2},
    "id": "call_7",
    "type": "tool_call",
}


@tool
def price(item: str, count: int = 1) -> str:
    """What something costs."""
    raise AssertionError("the tool itself ran")


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        raise AssertionError("the retriever itself ran")


class Stage:
    """Stand-ins of one case, and the steps they logged."""

    def __init__(self, folder: Path, touched: tuple[str, ...] = ()) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.stand_ins = StandIns(UnderTest(folder, touched))

    def recorded(self, name: str, arguments: Any, output: Any, error: str | None = None) -> None:
        result = {
            "run_id": f"run-{name}",
            "name": name,
            "key": result_key(name, arguments),
            "output": output,
            "error_type": error,
            "error_message": "it broke" if error else "",
        }
        case = {"tools": [result], "retrievals": [result]}
        self.stand_ins.begin(case, lambda *step: self.steps.append(step))

    def call(self, used: BaseTool, given: Any) -> Any:
        call_id = given.get("id") if given.get("type") == "tool_call" else None
        arguments = given["args"] if call_id else given
        stand_in = self.stand_ins._tool(used, arguments, {"tool_call_id": call_id})
        return BaseTool.run(stand_in, arguments, tool_call_id=call_id)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_tool_gives_its_recorded_message_under_the_new_call_id(stage: Stage) -> None:
    message = ToolMessage("4 EUR", tool_call_id="call_old", name="price", artifact={"raw": 4})
    stage.recorded("price", CALL["args"], {"output": Snapshot().take(message)})

    answer = stage.call(price, CALL)

    assert answer == ToolMessage("4 EUR", tool_call_id="call_7", name="price", artifact={"raw": 4})
    assert stage.steps == [("price", "tool", "exact", "run-price", "")]


@pytest.mark.parametrize(
    "arguments",
    [
        {"item": "tea", "count": 2},
        {"count": 2.0, "item": "tea"},
        {"input": {"item": "tea", "count": 2}},
        {"input": "{'item': 'tea', 'count': 2}"},
        {"input": '{"count": 2, "item": "tea"}'},
    ],
)
def test_arguments_are_found_in_whatever_form_they_were_recorded(
    stage: Stage, arguments: Any
) -> None:
    stage.recorded("price", arguments, {"output": "4 EUR"})

    assert stage.call(price, CALL["args"]) == "4 EUR"


def test_a_dumped_message_of_another_recorder_is_read(stage: Stage) -> None:
    dump = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "ToolMessage"],
        "kwargs": {"content": "4 EUR", "tool_call_id": "old", "status": "error", "name": "price"},
    }
    stage.recorded("price", CALL["args"], {"output": dump})

    assert stage.call(price, CALL).status == "error"


def test_documents_and_plain_values_come_back_as_they_were(stage: Stage) -> None:
    found = [Document("a", metadata={"n": 1}), {"plain": [1, 2]}]
    stage.recorded("price", CALL["args"], {"output": Snapshot().take(found)})

    assert stage.call(price, CALL["args"]) == found


def test_a_command_comes_back_with_the_new_call_id(stage: Stage) -> None:
    message = ToolMessage("done", tool_call_id="call_old")
    command = Command(update={"messages": [message], "count": 3}, goto="next")
    stage.recorded("price", CALL["args"], {"output": Snapshot().take(command)})

    answer = stage.call(price, CALL)

    assert isinstance(answer, Command)
    assert (answer.goto, answer.update["count"]) == ("next", 3)
    assert answer.update["messages"][0].tool_call_id == "call_7"


@pytest.mark.parametrize(
    ("recorded", "raised"),
    [("ValueError", ValueError), ("KeyError", KeyError), ("ToolException", ToolException)],
)
def test_a_recorded_error_is_raised_as_its_own_class(
    stage: Stage, recorded: str, raised: type[Exception]
) -> None:
    stage.recorded("price", CALL["args"], None, error=recorded)

    with pytest.raises(raised, match="it broke"):
        stage.call(price, CALL)


def test_an_error_of_an_unknown_class_keeps_its_name(stage: Stage) -> None:
    stage.recorded("price", CALL["args"], None, error="app.NoSuchTeaError")

    with pytest.raises(Exception, match="it broke") as caught:
        stage.call(price, CALL)
    assert type(caught.value).__name__ == "NoSuchTeaError"


@pytest.mark.parametrize("output", [{"output": {"__repr__": "<Frame>"}}])
def test_a_result_the_recording_lost_is_unanswered(stage: Stage, output: Any) -> None:
    stage.recorded("price", CALL["args"], output)

    with pytest.raises(UnansweredError):
        stage.call(price, CALL)
    assert stage.steps[0][2] == "unanswered"


def test_a_call_with_other_arguments_is_unanswered(stage: Stage) -> None:
    stage.recorded("price", CALL["args"], {"output": "4 EUR"})

    with pytest.raises(UnansweredError, match="no recorded call has these arguments"):
        stage.call(price, {"item": "tea", "count": 3})


def test_arguments_are_still_checked_against_the_tools_schema(stage: Stage) -> None:
    stage.recorded("price", {"count": "many"}, {"output": "x"})

    with pytest.raises(ValueError, match="validation error"):
        stage.call(price, {"count": "many"})


def test_equal_calls_get_their_results_in_order_and_the_last_repeats(stage: Stage) -> None:
    stage.recorded("price", CALL["args"], None)
    key = result_key("price", CALL["args"])
    results = [{"run_id": n, "key": key, "output": {"output": n}} for n in ("one", "two")]
    stage.stand_ins.begin({"tools": results, "retrievals": []}, lambda *_: None)

    assert [stage.call(price, CALL["args"]) for _ in range(3)] == ["one", "two", "two"]


def test_an_asynchronous_tool_is_served_too(stage: Stage) -> None:
    async def work(item: str) -> str:
        raise AssertionError("the tool itself ran")

    used = StructuredTool.from_function(coroutine=work, name="price", description="x")
    stage.recorded("price", {"item": "tea"}, {"output": "4 EUR"})
    stand_in = stage.stand_ins._tool(used, {"item": "tea"}, {})

    assert asyncio.run(BaseTool.arun(stand_in, {"item": "tea"})) == "4 EUR"


def test_a_retriever_is_served_by_its_query(stage: Stage) -> None:
    held = {"documents": [{"page_content": "a", "metadata": {"n": 1}, "id": "d1"}]}
    stage.recorded("Shelf", {"query": "tea?"}, held)

    found = BaseRetriever.invoke(stage.stand_ins._retriever(Shelf(), "tea?", None), "tea?")
    later = BaseRetriever.ainvoke(stage.stand_ins._retriever(Shelf(), "tea?", None), "tea?")

    assert found == asyncio.run(later) == [Document("a", metadata={"n": 1}, id="d1")]


def test_a_retriever_is_known_by_the_name_it_was_run_under(stage: Stage) -> None:
    stage.recorded("shelf of tea", "tea?", {"documents": []})

    stand_in = stage.stand_ins._retriever(Shelf(), "tea?", {"run_name": "shelf of tea"})

    assert BaseRetriever.invoke(stand_in, "tea?") == []


REPOSITORY = {
    "tools.py": "from lib import rates\nfrom .sibling import x\nLIST = 'data/prices.json'\n",
    "sibling.py": "import lib.deep.er\n",
    "lib/__init__.py": "",
    "lib/rates.py": "import json\n",
    "lib/deep/__init__.py": "",
    "lib/deep/er.py": "GLOB = 'docs/*.md'\n",
    "other.py": "NAME = 'prompts'\n",
    "broken.py": "def (:\n",
}


@pytest.mark.parametrize(
    ("start", "touched", "is_live"),
    [
        ("tools.py", "tools.py", True),
        ("tools.py", "lib/rates.py", True),
        ("tools.py", "lib/__init__.py", True),
        ("tools.py", "sibling.py", True),
        ("tools.py", "lib/deep/er.py", True),
        ("tools.py", "data/prices.json", True),
        ("tools.py", "docs/refunds.md", True),
        ("tools.py", "other.py", False),
        ("tools.py", "prompts/system.md", False),
        ("other.py", "prompts/system.md", True),
        ("other.py", "lib/rates.py", False),
        ("broken.py", "broken.py", True),
        ("broken.py", "lib/rates.py", False),
    ],
)
def test_code_is_under_test_when_anything_it_rests_on_is_touched(
    tmp_path: Path, start: str, touched: str, is_live: bool
) -> None:
    for name, text in REPOSITORY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    found = UnderTest(tmp_path, [touched]).depends_on_touched([tmp_path.resolve() / start])

    assert found is is_live


def test_the_function_behind_a_tool_says_where_it_is() -> None:
    here = Path(__file__).resolve()

    assert UnderTest(here.parent, [here.name]).is_live("price", price)
    assert UnderTest(here.parent, [here.name]).is_live("Shelf", Shelf())
    assert not UnderTest(here.parent, ["elsewhere.py"]).is_live("price", price)
    assert not UnderTest(here.parent, []).is_live("price", price)
    assert UnderTest(here.parent, [], ["price"]).is_live("price", price)


def test_a_tool_under_test_runs_for_real() -> None:
    here = Path(__file__).resolve()
    stage = Stage(here.parent, (here.name,))
    stage.recorded("price", CALL["args"], {"output": "4 EUR"})

    with pytest.raises(AssertionError, match="the tool itself ran"):
        stage.call(price, CALL["args"])
    assert stage.steps == [("price", "tool", "live", None, "code under test")]


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("url", "aimed"),
    [
        ("https://api.example.com/openai/v1/chat/completions", "/v1/chat/completions"),
        ("https://api.example.com/v1/messages?beta=true", "/v1/messages"),
        ("http://127.0.0.1:4000/v1/responses", "/v1/responses"),
    ],
)
def test_model_requests_are_re_aimed_without_their_keys(
    library: Any, url: str, aimed: str
) -> None:
    redirect = Redirect(8123)
    redirect.token = "t0ken"
    request = library.Request("POST", url, headers={"authorization": "Bearer real"}, json={})

    changed = redirect.aim(request)

    assert (changed.url.host, changed.url.port, changed.url.path) == ("127.0.0.1", 8123, aimed)
    assert "authorization" not in changed.headers
    assert changed.headers["x-refinery-token"] == "t0ken"
    assert changed.headers["host"] == "127.0.0.1:8123"


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "https://api.example.com/v1/messages"), ("POST", "https://example.com/v1/users")],
)
def test_other_requests_are_left_alone(method: str, url: str) -> None:
    redirect = Redirect(8123)
    redirect.token = "t0ken"

    changed = redirect.aim(httpx.Request(method, url))

    assert str(changed.url) == url
    assert "x-refinery-token" not in changed.headers
