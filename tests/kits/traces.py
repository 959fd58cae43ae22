"""Builders of small traces for tests."""

from typing import Any

from refinery.model.trace import Run, RunError, RunKind, RunStatus, Trace, Usage
from refinery.model.walk import in_tree_order

START_NS = 1_780_000_000_000_000_000
"""Start of the sample traces: 28 May 2026, UTC."""


def run(run_id: str, kind: str = "chain", parent: str | None = None, **fields: Any) -> Run:
    """A finished run; `at_ms` and `took_ms` set its times, `failed` its error message."""
    at_ms, took_ms = fields.pop("at_ms", 0), fields.pop("took_ms", 5)
    failed = fields.pop("failed", None)
    start_ns = START_NS + at_ms * 1_000_000
    return Run(
        **{
            "run_id": run_id,
            "trace_id": fields.pop("trace_id", None) or run_id.partition("/")[0],
            "name": run_id,
            "kind": RunKind(kind),
            "parent_id": parent,
            "start_ns": start_ns,
            "end_ns": start_ns + took_ms * 1_000_000,
            "status": RunStatus.ERROR if failed else RunStatus.OK,
            "error": RunError("ValueError", failed) if failed else None,
            **fields,
        }
    )


def llm(run_id: str, parent: str, asked: str, answered: str, **fields: Any) -> Run:
    """A model call with one user message and one answer."""
    given: dict[str, Any] = {
        "inputs": {"messages": [{"role": "user", "content": asked}]},
        "outputs": {"messages": [{"role": "assistant", "content": answered}]},
        "usage": Usage(input=10, output=5, total=15),
    }
    return run(run_id, "llm", parent, **given | fields)


def trace(*runs: Run, source: str = "test", project: str | None = None) -> Trace:
    """A trace of the given runs, in tree order."""
    return Trace(runs[0].trace_id, in_tree_order(runs), source, project)


def sample(trace_id: str = "t", *, failed: str | None = None, at_ms: int = 0) -> Trace:
    """An agent that asks a model, calls a tool and answers; the tool fails when told so."""
    return trace(
        run(trace_id, "agent", at_ms=at_ms, failed=failed, inputs={"question": "price?"}),
        llm(f"{trace_id}/1", trace_id, "price?", "let me look", at_ms=at_ms + 1),
        run(
            f"{trace_id}/2",
            "tool",
            trace_id,
            at_ms=at_ms + 2,
            failed=failed,
            name="lookup",
            inputs={"item": "lamp"},
            outputs=None if failed else {"price": 29},
        ),
        llm(f"{trace_id}/3", trace_id, "29", "it costs 29", at_ms=at_ms + 3),
    )
