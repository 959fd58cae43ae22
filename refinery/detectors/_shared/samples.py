"""Short ways to write the example traces of detectors."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus, Trace

_NAMESPACE = uuid.UUID("5c5f6f1e-6b0e-4c7a-9a51-6f1f3f1d2c3b")
_START_NS = 1_767_225_600_000_000_000


def uid(label: str) -> str:
    """The run id that stands for a label."""
    return str(uuid.uuid5(_NAMESPACE, label))


def trace(*runs: Run, output: Json = None, error: RunError | None = None) -> Trace:
    """A trace of the runs, in order, under a root named `agent`.

    A run without a parent gets the root; each run lasts a second.
    """
    status = RunStatus.ERROR if error else RunStatus.OK
    root = Run(
        uid("root"), uid("root"), "agent", RunKind.AGENT, status=status, error=error,
        outputs={"output": output} if output is not None else None,
    )  # fmt: skip
    placed = [
        replace(
            run,
            trace_id=uid("root"),
            parent_id=run.parent_id or (None if run is root else uid("root")),
            start_ns=_START_NS + index * 10**9,
            end_ns=_START_NS + (index + 1) * 10**9,
        )
        for index, run in enumerate((root, *runs))
    ]
    return Trace(uid("root"), tuple(placed), source="sample")


def model(label: str, given: Sequence[Json], answer: Json, **fields: Any) -> Run:
    """A model run: messages as chat dicts, the answer as text or as a list of tool calls."""
    content = answer if isinstance(answer, str) else ""
    message: dict[str, Json] = {"role": "assistant", "content": content}
    if not isinstance(answer, str):
        message["tool_calls"] = list(answer)
    outputs = fields.pop("outputs", {"messages": [message]})
    return Run(
        uid(label), "", fields.pop("name", "chat"), RunKind.LLM,
        inputs={"messages": list(given)}, outputs=outputs,
        **{"status": RunStatus.OK, **fields},
    )  # fmt: skip


def asks(name: str, arguments: str, call_id: str = "") -> Json:
    """A tool call in a model's answer; arguments as the JSON text the model wrote."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id or f"call_{name}", "type": "function", "function": function}


def tool(label: str, name: str, arguments: Json, result: Json, **fields: Any) -> Run:
    """A tool run."""
    return Run(
        uid(label), "", name, RunKind.TOOL, inputs=arguments, outputs={"output": result},
        **{"status": RunStatus.OK, **fields},
    )  # fmt: skip


def retriever(label: str, query: str, *documents: tuple[str, dict[str, Json]]) -> Run:
    """A retriever run; documents as (text, metadata)."""
    found = [{"page_content": text, "metadata": metadata} for text, metadata in documents]
    return Run(
        uid(label), "", "retriever", RunKind.RETRIEVER, status=RunStatus.OK,
        inputs={"query": query}, outputs={"documents": found},
    )  # fmt: skip


def failed(run: Run, error_type: str, message: str, stack: str = "") -> Run:
    """The run, ended by an error and without outputs."""
    error = RunError(error_type, message, stack)
    return replace(run, status=RunStatus.ERROR, error=error, outputs=None)


def system(text: str) -> Json:
    """A system message."""
    return {"role": "system", "content": text}


def user(text: str) -> Json:
    """A user message."""
    return {"role": "user", "content": text}


def tool_result(text: str, call_id: str) -> Json:
    """The message that carries a tool's result back to the model."""
    return {"role": "tool", "content": text, "tool_call_id": call_id}


def offered(name: str, properties: dict[str, Json], *required: str) -> Json:
    """A tool as offered to a model."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}
