"""Small traces by hand."""

from typing import Any

from refinery.model import codec
from refinery.model.trace import EntryPoint, Run, RunError, RunKind, RunStatus, Trace

START_NS = 1_790_000_000_000_000_000


def llm(number: int, said: str, answer: Any, **fields: Any) -> Run:
    """A model call as a wrapped OpenAI SDK records it; `answer` is the text or a message."""
    message = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
    reason = "tool_calls" if isinstance(message, dict) and message.get("tool_calls") else "stop"
    defaults: dict[str, Any] = {
        "name": "ask",
        "kind": RunKind.LLM,
        "parent_id": "root",
        "start_ns": START_NS + number,
        "end_ns": START_NS + number + 1,
        "status": RunStatus.OK,
        "inputs": {"model": "m", "messages": [{"role": "user", "content": said}]},
        "outputs": {"model": "m", "choices": [{"message": message, "finish_reason": reason}]},
    }
    return Run(f"llm-{number}", "root", **{**defaults, **fields})


def failed(number: int, said: str, error: RunError) -> Run:
    """A model call that failed."""
    return llm(number, said, "", outputs=None, status=RunStatus.ERROR, error=error)


def work(number: int, kind: RunKind, name: str, inputs: Any, outputs: Any, **more: Any) -> Run:
    """A tool call or a retrieval."""
    times = {"start_ns": START_NS + number, "end_ns": START_NS + number + 1}
    status = RunStatus.ERROR if more.get("error") else RunStatus.OK
    return Run(
        f"{kind.value}-{number}",
        "root",
        name,
        kind,
        "root",
        inputs=inputs,
        outputs=outputs,
        status=status,
        **times,
        **more,
    )


def trace(*runs: Run, output: Any = None, entry: EntryPoint | None = None, **more: Any) -> Trace:
    """A trace of one root run and the runs below it."""
    ours = {"refinery": {"entry_point": codec.encode(entry)}} if entry else None
    root = Run(
        "root",
        "root",
        "answer",
        RunKind.CHAIN,
        start_ns=START_NS,
        end_ns=START_NS + 1000,
        outputs=output,
        metadata=ours,
        **{"status": RunStatus.OK, **more},
    )
    return Trace("root", (root, *runs), "test")
