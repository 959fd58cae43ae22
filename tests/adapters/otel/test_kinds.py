"""The first rule that matches says what sort of work a span did."""

import pytest

from refinery.adapters._shared.otel.kinds import kind_of
from refinery.model.trace import Json, RunKind


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"openinference.span.kind": "LLM"}, "llm"),
        ({"openinference.span.kind": "GUARDRAIL"}, "guardrail"),
        ({"openinference.span.kind": "EVALUATOR"}, "evaluator"),
        ({"openinference.span.kind": "RERANKER"}, "reranker"),
        ({"openinference.span.kind": "PROMPT"}, "prompt"),
        ({"langfuse.observation.type": "generation"}, "llm"),
        ({"langfuse.observation.type": "span"}, "chain"),
        ({"langfuse.observation.type": "event"}, "event"),
        ({"langsmith.span.kind": "parser", "gen_ai.operation.name": "chat"}, "parser"),
        ({"mlflow.spanType": '"CHAT_MODEL"'}, "llm"),
        ({"mlflow.spanType": "UNKNOWN"}, "chain"),
        ({"gen_ai.operation.name": "generate_content"}, "llm"),
        ({"gen_ai.operation.name": "embeddings"}, "embedding"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"gen_ai.operation.name": "create_agent"}, "agent"),
        ({"gen_ai.operation.name": "invoke_workflow"}, "chain"),
        ({"ai.operationId": "ai.streamText.doStream"}, "llm"),
        ({"ai.operationId": "ai.streamText"}, "chain"),
        ({"ai.operationId": "ai.toolCall"}, "tool"),
        ({"ai.operationId": "ai.embedMany.doEmbed"}, "embedding"),
        ({"traceloop.span.kind": "agent"}, "agent"),
        ({"traceloop.span.kind": "task"}, "chain"),
        ({"llm.request.type": "completion"}, "llm"),
        ({"llm.request.type": "rerank"}, "reranker"),
        ({"gen_ai.request.model": "m"}, "llm"),
        ({"llm.model_name": "m"}, "llm"),
        ({}, "chain"),
        ({"openinference.span.kind": "UNHEARD", "traceloop.span.kind": "tool"}, "tool"),
        ({"openinference.span.kind": 7}, "chain"),
        ({"ai.operationId": "ai."}, "chain"),
    ],
)
def test_kind_of_a_span(attributes: dict[str, Json], kind: str) -> None:
    assert kind_of(attributes).kind == RunKind(kind)


def test_how_the_kind_was_found_is_told() -> None:
    named = kind_of({"mlflow.spanType": '"TOOL"'})
    unknown = kind_of({"http.method": "GET"})

    assert (named.native, named.source) == ("TOOL", "mlflow.spanType")
    assert (unknown.native, unknown.source) == (None, "default")
