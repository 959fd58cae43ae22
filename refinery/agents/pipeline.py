"""The fix pipeline: a LangGraph graph, checkpointed after every node.

    detect ─▶ analyse ─▶ locate ─▶ hypothesise ─▶ draft ─▶ prove ─▶ approve ─▶ commit
      │          (with a model)                     │         │        │
      └── nothing found ─▶ END                none ─┴─ none ──┴─ no ───┴─▶ END

`approve` interrupts: the process may end there and another one resumes with the decision. Side
effects are in `commit` alone, behind the interrupt.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from refinery.agents import nodes
from refinery.agents.state import FixState

Graph = CompiledStateGraph[FixState, Any, FixState, FixState]

STEPS: dict[str, Callable[[nodes.Parts, FixState], FixState]] = {
    "detect": nodes.detect,
    "analyse": nodes.analyse,
    "locate": nodes.locate,
    "hypothesise": nodes.hypothesise,
    "draft": nodes.draft,
    "prove": nodes.prove,
    "approve": nodes.approve,
    "commit": nodes.commit,
}
_FIRST = next(iter(STEPS))


def build(parts: nodes.Parts, checkpointer: BaseCheckpointSaver[str]) -> Graph:
    """Compile the graph over real parts.

    Args:
        parts: what the nodes work with; not part of the checkpoint.
        checkpointer: keeps the state between nodes and between processes.
    """
    steps = {name: partial(step, parts) for name, step in STEPS.items()}
    return _graph(steps, checkpointer, has_model=parts.model is not None)


def following(checkpointer: BaseCheckpointSaver[str], session_id: str) -> tuple[str, ...]:
    """Nodes a session would go on with; empty when it has ended. Nothing is run."""
    graph = outline(checkpointer)
    nodes = graph.get_state({"configurable": {"thread_id": session_id}}).next
    # Killed at once, it is kept as it was begun: checkpoints are written beside the work.
    return tuple(_FIRST if node == START else node for node in nodes)


def end(checkpointer: BaseCheckpointSaver[str], session_id: str, values: FixState) -> None:
    """Write into a session that it was answered with no, wherever it stands. Nothing is run."""
    config: RunnableConfig = {"configurable": {"thread_id": session_id}}
    outline(checkpointer).update_state(config, dict(values), as_node="approve")


def outline(checkpointer: BaseCheckpointSaver[str]) -> Graph:
    """The graph without its work, to see and to end where a session stands."""
    return _graph(dict.fromkeys(STEPS, partial(_nothing)), checkpointer, has_model=True)


def _nothing(state: FixState) -> FixState:
    del state
    return {}


def _graph(
    steps: "Mapping[str, partial[FixState]]",
    checkpointer: BaseCheckpointSaver[str],
    *,
    has_model: bool,
) -> Graph:
    graph: StateGraph[FixState, Any, FixState, FixState] = StateGraph(FixState)
    for name, step in steps.items():
        graph.add_node(name, step)
    graph.add_edge(START, _FIRST)
    graph.add_conditional_edges(
        "detect", lambda _: "analyse" if has_model else "locate", ["analyse", "locate"]
    )
    graph.add_edge("analyse", "locate")
    _add_gate(graph, "locate", "hypothesise", lambda s: bool(s["diagnosis"]["findings"]))
    _add_gate(graph, "hypothesise", "draft", lambda s: bool(s.get("hypotheses")))
    _add_gate(graph, "draft", "prove", lambda s: any(a["patch"] for a in s.get("attempts", [])))
    _add_gate(graph, "prove", "approve", lambda s: s.get("chosen") is not None)
    _add_gate(graph, "approve", "commit", lambda s: s["decision"].get("answer") == "yes")
    graph.add_edge("commit", END)
    return graph.compile(checkpointer=checkpointer)


def _add_gate(
    graph: StateGraph[FixState, Any, FixState, FixState],
    name: str,
    following: str,
    is_open: Callable[[FixState], bool],
) -> None:
    """Go on to the following node when the condition holds, else end."""
    graph.add_conditional_edges(
        name, lambda state: following if is_open(state) else END, [following, END]
    )
