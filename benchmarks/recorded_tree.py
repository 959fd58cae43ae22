"""Compares what `refinery record --` draws of LangGraph programs with LangSmith's own capture.

    python -m benchmarks.recorded_tree CAPTURE CLIENTS      (from the repository's root)

CAPTURE is a folder with the `EXPECTED.json` of a capture of LangSmith's tracer: `{"rows":
[{"name", "parent", "status"}]}`. CLIENTS holds the programs it was made from, `lg_agent.py` (run
with `ok`, `fail` and `stream`, against an OpenAI-shaped model on port 8922) and
`lg_graph_async.py`. Equal is the multiset of (name, parent's name, status). Ends with 0 when
equal, 1 when not, and 0 with a message when a folder is missing.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from refinery.model.messages import ToolCall
from refinery.model.trace import Usage
from refinery.ports import TraceFilter
from refinery.replay.wire import ModelReply, ModelRequest
from refinery.workflows.wiring import open_store
from tests.fakes.model_server import ModelServer

ROOT = Path(__file__).resolve().parents[1]
PORT = 8922
PROGRAMS = (
    ("lg_agent.py", "ok"),
    ("lg_agent.py", "fail"),
    ("lg_agent.py", "stream"),
    ("lg_graph_async.py",),
)
Tree = Counter[tuple[str | None, str | None, str]]


def answer(request: ModelRequest) -> ModelReply:
    """One tool call first, an answer once a tool has replied."""
    usage = Usage(40, 9, 49)
    if request.tools and not any(m.get("role") == "tool" for m in request.body["messages"]):
        name = str(request.body["tools"][0]["function"]["name"])
        return ModelReply("", (ToolCall(name, {"city": "Paris"}, "call_1"),), usage)
    return ModelReply("The weather in Paris is sunny.", (), usage)


def record(clients: Path, home: Path) -> int:
    """Record every program; returns how many runs were told."""
    runs = 0
    for name, *arguments in PROGRAMS:
        command = [sys.executable, "-m", "refinery", "record", "--json", "--"]
        done = subprocess.run(
            [*command, sys.executable, str(clients / name), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "REFINERY_HOME": str(home)},
            stdout=subprocess.PIPE,
            check=True,
        )
        runs += json.loads(done.stdout)["runs"]
    return runs


def recorded_tree(home: Path) -> Tree:
    """What the store holds."""
    store = open_store(str(home / "traces.db"))
    tree: Tree = Counter()
    for found in store.list_traces(TraceFilter(limit=1000)):
        trace = store.get_trace(found.trace_id)
        for run in trace.runs if trace else ():
            parent = trace.run(run.parent_id) if trace and run.parent_id else None
            tree[(run.name, parent.name if parent else None, str(run.status))] += 1
    store.close()
    return tree


def expected_tree(capture: Path) -> Tree:
    """What LangSmith's tracer drew; its `success` is our `ok`."""
    rows = json.loads((capture / "EXPECTED.json").read_text())["rows"]
    return Counter(
        (row["name"], row["parent"], "ok" if row["status"] == "success" else row["status"])
        for row in rows
    )


def main() -> int:
    """Record, compare, print."""
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    capture, clients = Path(sys.argv[1]), Path(sys.argv[2])
    for needed in (capture / "EXPECTED.json", clients / "lg_agent.py"):
        if not needed.is_file():
            print(f"skipped: {needed} is not there")
            return 0
    with tempfile.TemporaryDirectory() as home, ModelServer(answer, PORT):
        told = record(clients, Path(home))
        found = recorded_tree(Path(home))
    wanted = expected_tree(capture)
    print(f"runs told {told}, stored {found.total()}, expected {wanted.total()}")
    for title, difference in (("missing", wanted - found), ("not expected", found - wanted)):
        for row, count in difference.items():
            print(f"{title}: {count} x {row}")
    print("the trees are equal" if found == wanted else "the trees differ")
    return 0 if found == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
