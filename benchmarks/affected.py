"""A patch to one tool: which of 200 passing traces are replayed, and is a regression caught?

    python -m benchmarks.affected [TRACES] [SEED]

An agent with six tools and a loopback model is recorded on many questions; about one in thirteen
makes it use the tool that is wrong for one item. Two patches of that tool are tried against all
passing traces of the store's size: one that is right, and one that also breaks another item.
Printed are the passing traces replayed, and the model calls against replaying every passing trace
in both arms.
"""

import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from refinery.agents.proof import Choice, choose_controls
from refinery.codebase.patches import build
from refinery.codebase.scan import SourceTree
from refinery.detectors import observe
from refinery.model.messages import ToolCall
from refinery.model.patch import FileChange
from refinery.model.trace import RunKind, Trace
from refinery.model.verdict import Trial, Verdict
from refinery.model.walk import of_kind
from refinery.replay import affected
from refinery.replay.cases import MAX_RUNS, Case, TrialRequest
from refinery.replay.checks import parse
from refinery.replay.program import Agent
from refinery.replay.trial import run_trial
from refinery.replay.upstream import Budget, Endpoint, Upstream
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.safety import sandbox
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import git, make_repository
from tests.replay import kit

TOOLS = ("price", "stock", "colour", "weight", "maker", "origin")
SHARES = (1, 3, 3, 2, 2, 2)
"""How often questions are about each tool; the first one is the one patched."""
ITEMS = ("lamp", "chair", "table", "shelf")
TOOL_FILE = '''from langchain_core.tools import tool

PRICES = {"lamp": "29 EUR", "chair": "45 EUR", "table": "120 EUR", "shelf": "60 EUR"}


@tool
def price(item: str) -> str:
    """The price of an item."""
    found = PRICES[item]
    return found


@tool
def stock(item: str) -> str:
    """How many of an item there are."""
    return f"7 of {item}"


@tool
def colour(item: str) -> str:
    """The colour of an item."""
    return f"{item} in blue"


@tool
def weight(item: str) -> str:
    """The weight of an item."""
    return f"{len(item)} kg"


@tool
def maker(item: str) -> str:
    """Who makes an item."""
    return f"{item} by Smith"


@tool
def origin(item: str) -> str:
    """Where an item comes from."""
    return f"{item} from here"
'''
APP = """from langchain_openai import ChatOpenAI

import tools

TOOLS = [tools.price, tools.stock, tools.colour, tools.weight, tools.maker, tools.origin]


def answer(question):
    model = ChatOpenAI(model="small", temperature=0).bind_tools(TOOLS)
    messages = [("system", "You are the clerk of a shop."), ("user", question)]
    reply = model.invoke(messages)
    known = {tool.name: tool for tool in TOOLS}
    results = [known[call["name"]].invoke(call) for call in reply.tool_calls]
    said = model.invoke([*messages, reply, *results])
    return {"answer": said.content}
"""
RIGHT = ("    found = PRICES[item]\n", '    found = {**PRICES, "lamp": "30 EUR"}[item]\n')
WRONG = ("    found = PRICES[item]\n", '    found = "30 EUR"\n')


def clerk(request: ModelRequest) -> ModelReply:
    """Calls the tool a question names, and says what it told."""
    told = [m.text for m in request.messages if m.role == "tool"]
    if told:
        return ModelReply(f"It is {told[-1]}", model="small")
    question = next(m.text for m in request.messages if m.role == "user")
    name = next(tool for tool in TOOLS if tool in question)
    item = next(item for item in ITEMS if item in question)
    return ModelReply("", (ToolCall(name, {"item": item}, "call_1"),), model="small")


@dataclass(frozen=True)
class Recorded:
    """The agent and its recordings."""

    root: Path
    upstream: Upstream
    failing: Trace
    passing: tuple[Trace, ...]


def recorded(folder: Path, url: str, count: int, chance: random.Random) -> Recorded:
    """One failing run, and passing ones of all tools."""
    root = make_repository(folder / "agent", {"app.py": APP, "tools.py": TOOL_FILE})
    names = chance.choices(TOOLS, SHARES, k=count)
    items = [chance.choice(ITEMS[1:] if name == "price" else ITEMS) for name in names]
    asked = ["What is the price of the lamp?"]
    asked += [f"What is the {n} of the {i}?" for n, i in zip(names, items, strict=True)]
    traces = kit.record(root, "app:answer", asked, kit.openai_env(url), folder / "spool")
    upstream = Upstream(Endpoint(url + "/v1", "key"), None, Budget(10_000))
    return Recorded(root, upstream, traces[0], tuple(traces[1:]))


def calls(trace: Trace) -> int:
    """Model calls of a recorded run."""
    return len(of_kind(trace, RunKind.LLM))


def asked_of_models(trial: Trial) -> int:
    """Requests the agent made of models in all replays of a trial, from the tape or live."""
    steps = [s for arm in trial.arms for r in arm.results for s in r.steps if s.kind == "llm"]
    return len(steps)


def attempt(found: Recorded, edit: tuple[str, str], seed: int) -> tuple[Trial, list[str], int]:
    """Try one patch; also which passing traces were replayed, and how many were affected."""
    commit = git(found.root, "rev-parse", "HEAD").strip()
    after = TOOL_FILE.replace(*edit)
    change = FileChange("tools.py", TOOL_FILE.encode(), after.encode())
    ids, told = choose_controls(Choice(found.root, (change,), 8, MAX_RUNS, seed), found.passing)
    print(told)
    touch = affected.touch(SourceTree(found.root), (change,), found.passing)
    by_id = {trace.trace_id: trace for trace in found.passing}
    prices = {"chair": "45 EUR", "table": "120 EUR", "shelf": "60 EUR"}

    def control(trace: Trace) -> Case:
        asked = str(trace.root and trace.root.inputs)
        item = next((i for i in prices if i in asked and "price" in asked), None)
        return Case(trace, (parse(f"contains@answer:{prices[item]}"),) if item else ())

    request = TrialRequest(
        hypothesis_id="H1",
        patch=build((), (change,), commit),
        failing=(Case(found.failing, (parse("contains@answer:30 EUR"),)),),
        controls=tuple(control(by_id[i]) for i in ids),
        agent=Agent(
            found.root,
            upstream=found.upstream,
            tier=sandbox.strongest(allow_unsandboxed=True),
        ),
        base_commit=commit,
        observe=observe,
        seed=seed,
    )
    reached = sum(touch.reaches(trace) for trace in found.passing)
    return run_trial(request), ids, reached


def main(count: int, seed: int) -> int:
    """Run the benchmark; returns 1 when a promise does not hold."""
    is_good = True
    with tempfile.TemporaryDirectory() as folder, ModelServer(clerk) as server:
        found = recorded(Path(folder), server.url, count, random.Random(seed))
        full = 2 * (sum(map(calls, found.passing)) + calls(found.failing))
        used = sum(any(r.name == "price" for r in t.runs) for t in found.passing)
        print(f"{len(found.passing)} passing traces, {used} of them used the tool")
        for name, edit, wanted in (
            ("right", RIGHT, Verdict.FIXED),
            ("breaks others", WRONG, Verdict.REGRESSED),
        ):
            before = len(server.requests)
            trial, ids, reached = attempt(found, edit, seed)
            made, live = asked_of_models(trial), len(server.requests) - before
            print(f"patch that {name}: {trial.verdict.value} ({trial.reason})")
            print(
                f"  {reached} affected, {len(ids)} passing traces replayed; {made} model calls "
                f"replayed, {live} of them live; a full rerun of both arms makes {full}: "
                f"{made / full:.1%} and {live / full:.1%}"
            )
            is_good &= trial.verdict is wanted and reached == used and made < 0.15 * full
    return int(not is_good)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    raise SystemExit(main(*(given + [200, 7][len(given) :])))
