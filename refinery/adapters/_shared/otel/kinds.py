"""What sort of work a span did: the first rule that matches, over all conventions.

Values: OpenInference 0.1 span kinds, OpenTelemetry GenAI semantic conventions 1.37, Langfuse
SDK 5, LangSmith SDK 0.14 (OTEL mode), MLflow 3 span types, Vercel AI SDK 6, OpenLLMetry 0.62.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refinery.model.trace import Json, RunKind

_SAME = {kind.value: kind for kind in RunKind}
_OBSERVATION = _SAME | {"generation": RunKind.LLM, "span": RunKind.CHAIN}
_MLFLOW = _SAME | {"chat_model": RunKind.LLM, "unknown": RunKind.CHAIN}
_OPERATION = {
    "chat": RunKind.LLM,
    "text_completion": RunKind.LLM,
    "generate_content": RunKind.LLM,
    "embeddings": RunKind.EMBEDDING,
    "execute_tool": RunKind.TOOL,
    "invoke_agent": RunKind.AGENT,
    "create_agent": RunKind.AGENT,
    "execute_task": RunKind.CHAIN,
    "invoke_workflow": RunKind.CHAIN,
}
_TRACELOOP = {
    "workflow": RunKind.CHAIN,
    "task": RunKind.CHAIN,
    "agent": RunKind.AGENT,
    "tool": RunKind.TOOL,
}
_REQUEST = {
    "chat": RunKind.LLM,
    "completion": RunKind.LLM,
    "embedding": RunKind.EMBEDDING,
    "rerank": RunKind.RERANKER,
}
_VERCEL = ("generatetext", "streamtext", "generateobject", "streamobject")


@dataclass(frozen=True, slots=True)
class FoundKind:
    """The kind of a span and how it was found."""

    kind: RunKind
    native: str | None
    """The source's own word; None when no attribute named a kind."""
    source: str
    """The attribute that decided, or `default`."""


def kind_of(attributes: Mapping[str, Json]) -> FoundKind:
    """The kind of a span by its attributes; `chain` when nothing says more."""
    for name, read in _RULES:
        value = attributes.get(name)
        if isinstance(value, str) and (kind := read(value.strip().strip('"').lower())):
            return FoundKind(kind, value.strip().strip('"'), name)
    for name in ("gen_ai.request.model", "llm.model_name"):
        if attributes.get(name):
            return FoundKind(RunKind.LLM, None, name)
    return FoundKind(RunKind.CHAIN, None, "default")


def _vercel(operation: str) -> RunKind | None:
    if not operation.startswith("ai."):
        return None
    parts = operation.split(".")
    if parts[1].startswith("embed"):
        return RunKind.EMBEDDING
    if parts[1].startswith("rerank"):
        return RunKind.RERANKER
    if parts[1] == "toolcall":
        return RunKind.TOOL
    if parts[-1] in ("dogenerate", "dostream"):
        return RunKind.LLM
    return RunKind.CHAIN if parts[1] in _VERCEL else None


_RULES: tuple[tuple[str, Callable[[str], RunKind | None]], ...] = (
    ("openinference.span.kind", _SAME.get),
    ("langfuse.observation.type", _OBSERVATION.get),
    # Before the operation name: LangSmith's OTEL mode writes "chain" there.
    ("langsmith.span.kind", _SAME.get),
    ("mlflow.spanType", _MLFLOW.get),
    ("gen_ai.operation.name", _OPERATION.get),
    ("ai.operationId", _vercel),
    ("traceloop.span.kind", _TRACELOOP.get),
    ("llm.request.type", _REQUEST.get),
)
