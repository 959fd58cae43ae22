"""What a trace cannot answer, because it was never recorded."""

from collections.abc import Iterator

from refinery.detectors._shared.view import view
from refinery.model.trace import RunKind, RunStatus, Trace
from refinery.model.walk import of_kind


def unanswerable(trace: Trace) -> Iterator[str]:
    """Questions the detectors could not ask of this trace, and why, one sentence each."""
    seen = view(trace)
    running = [run for run in trace.runs if run.status is RunStatus.RUNNING]
    if running:
        have = "run has" if len(running) == 1 else "runs have"
        yield f"{len(running)} {have} not ended: what follows is not known"
    if not any(run.parent_id is None for run in trace.runs):
        yield "no root run recorded: the final answer is not known"
    if not seen.models:
        yield "no model call recorded: prompts and answers not checked"
        return
    if all(model.run.usage is None for model in seen.models):
        yield "no usage recorded: token limits not checked"
    if not any(model.run.params for model in seen.models):
        yield "no model parameters recorded: temperature and token limit not checked"
    if seen.calls and not any(m.run.tools or m.parameters.get("tools") for m in seen.models):
        yield "no tool schemas recorded: tool arguments not checked against them"
    if seen.calls and all(call.result is None for call in seen.calls):
        yield "no tool results recorded: answers not compared with them"
    if not of_kind(trace, RunKind.RETRIEVER, RunKind.RERANKER):
        yield "no retrieved documents recorded: their age and use not checked"
    if not any(model.system for model in seen.models):
        yield "no system prompt recorded: instructions not checked"
