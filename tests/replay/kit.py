"""Small agents in real repositories, recorded for real against a loopback model."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from refinery.model import codec
from refinery.model.merge import merge
from refinery.model.trace import Run, Trace
from refinery.recorders.spool_file import Reader, spool_files
from tests.kits.repositories import make_repository

ROOT = Path(__file__).resolve().parents[2]

SHOP = {
    "refinery.toml": '[agent]\nentrypoint = "shop:answer"\n',
    "prompts/system.md": "You are the clerk of a shop. Be short.\n",
    "stock.py": '''
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool


class Shelf(BaseRetriever):
    newest_first: bool = False

    def _get_relevant_documents(self, query, *, run_manager):
        found = [
            Document("Returns within 14 days.", metadata={"year": 2023}),
            Document("Returns within 30 days.", metadata={"year": 2025}),
        ]
        return found[::-1] if self.newest_first else found


@tool
def stock(item: str) -> str:
    """How many of an item there are."""
    import pathlib
    count = pathlib.Path(__file__).with_name("count.txt")
    if not count.exists():
        raise ValueError(f"no count of {item}")
    return f"{count.read_text().strip()} x {item}"
''',
    "count.txt": "7\n",
    "shop.py": """
from pathlib import Path

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from stock import Shelf, stock

SYSTEM = (Path(__file__).parent / "prompts/system.md").read_text()
shelf = Shelf()


def respond(state):
    model = ChatOpenAI(model="small-1", temperature=0).bind_tools([stock])
    return {"messages": [model.invoke([("system", SYSTEM), *state["messages"]])]}


def retrieve(state):
    found = shelf.invoke(state["messages"][0].content)
    return {"messages": [("user", "Rules: " + found[0].page_content)]}


graph = StateGraph(MessagesState)
graph.add_node("retrieve", retrieve)
graph.add_node("respond", respond)
graph.add_node("tools", ToolNode([stock]))
graph.add_edge(START, "retrieve")
graph.add_edge("retrieve", "respond")
graph.add_conditional_edges("respond", tools_condition, {"tools": "tools", END: END})
graph.add_edge("tools", "respond")
agent = graph.compile(name="clerk")


def answer(request):
    result = agent.invoke({"messages": [("user", request["question"])]})
    return {"answer": result["messages"][-1].content}
""",
}


def repository(folder: Path, files: dict[str, str]) -> Path:
    """A git repository of an agent."""
    return make_repository(folder, files)


def record(
    repository: Path, target: str, arguments: list[Any], env: dict[str, str], spool: Path
) -> list[Trace]:
    """Run an agent under recording, in a process of its own; one trace an argument, in order."""
    results = spool.parent / "results.jsonl"
    job = {
        "target": target,
        "arguments": [{"id": n, "argument": given} for n, given in enumerate(arguments)],
        "spool": str(spool),
        "project_root": str(repository),
        "results": str(results),
    }
    done = subprocess.run(
        [sys.executable, "-m", "refinery.recorders.entry"],
        input=json.dumps(job).encode(),
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    answers = [json.loads(line) for line in results.read_text().splitlines()]
    traces = read_spool(spool)
    return [traces[answer["trace_id"]] for answer in answers]


def read_spool(spool: Path) -> dict[str, Trace]:
    """The traces a recorder left, by id."""
    runs: dict[str, Run] = {}
    for path in spool_files(spool):
        with path.open("rb") as file:
            views = list(Reader(file, path.name, is_finished=True).views())
        for view in views:
            assert view is not None
            run = codec.decode_run(view["run"])
            runs[run.run_id] = merge(runs[run.run_id], run) if run.run_id in runs else run
    ordered = sorted(runs.values(), key=lambda run: run.dotted_order or "")
    return {
        trace_id: Trace(trace_id, tuple(run for run in ordered if run.trace_id == trace_id))
        for trace_id in {run.trace_id for run in ordered}
    }


def openai_env(url: str) -> dict[str, str]:
    """Variables that send OpenAI clients to a loopback model."""
    return {"OPENAI_BASE_URL": url + "/v1", "OPENAI_API_KEY": "key-of-the-agent"}


def anthropic_env(url: str) -> dict[str, str]:
    """Variables that send Anthropic clients to a loopback model."""
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "key-of-the-agent"}


CLAUDE = {
    "app/__init__.py": "",
    "app/agent.py": '''
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool

calls = []


@tool
async def convert(amount: float, currency: str) -> str:
    """Convert an amount to euros."""
    calls.append(currency)
    if currency == "XXX":
        raise LookupError("no such currency")
    return f"{amount * 2} EUR"


async def answer(request: dict) -> Any:
    model = ChatAnthropic(model="claude-small", max_tokens=50, stop=["END"]).bind_tools([convert])
    messages = [SystemMessage("You convert money."), HumanMessage(request["question"])]
    for _ in range(3):
        whole = None
        async for chunk in model.astream(messages):
            whole = chunk if whole is None else whole + chunk
        messages.append(whole)
        if not whole.tool_calls:
            break
        for call in whole.tool_calls:
            messages.append(await convert.ainvoke(call))
    return {"text": whole.text, "converted": len(calls)}
''',
}

PLAIN = {
    "plain.py": """
import openai


def answer(question):
    client = openai.OpenAI(base_url="https://models.example.com/v1", api_key="hard-coded")
    reply = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": question}]
    )
    return reply.choices[0].message.content


def lookup(question):
    import urllib.request

    return urllib.request.urlopen("http://198.51.100.7/" + question).read()


def slow(question):
    import time

    time.sleep(30)


def die(question):
    import os

    os._exit(7)


def threaded(question):
    return WORKER.name + ": " + answer(question)


def escape(question):
    from pathlib import Path

    found = []
    for path in (question, "/etc/shadow", "/etc/machine-id"):
        try:
            found.append(Path(path).read_text())
        except OSError:
            found.append(None)
    try:
        Path(question + ".written").write_text("x")
        found.append("written")
    except OSError:
        found.append(None)
    return found
""",
    "threads.py": """
import threading
import time

import plain

plain.WORKER = threading.Thread(target=time.sleep, args=(60,), name="worker", daemon=True)
plain.WORKER.start()
threaded = plain.threaded
""",
    "scoring.py": """
def is_short(result):
    return len(str(result)) < 10, f"{len(str(result))} characters"


def broken(result):
    raise RuntimeError("judge is ill")
""",
}

OWN_MODEL = {
    "own.py": """
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

asked = []


class Local(BaseChatModel):
    name_of_model: str = "local-1"

    @property
    def _llm_type(self):
        return "local"

    @property
    def _identifying_params(self):
        return {"model": self.name_of_model}

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        asked.append(messages)
        if "fail" in messages[-1].content:
            raise TimeoutError("the model is gone")
        said = AIMessage("I heard " + messages[-1].content)
        return ChatResult(generations=[ChatGeneration(message=said)])


def answer(question):
    model = Local()
    said = [model.invoke([("system", "Be kind."), ("human", question)]).content]
    said += [chunk.content for chunk in model.stream(question) if chunk.content]
    return {"said": said, "asked": len(asked)}
""",
}
