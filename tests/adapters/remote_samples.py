"""Small traces in the words of Langfuse, Phoenix, MLflow and Datadog, made for the tests."""

import base64
import json
from typing import Any

TRACE = "0af7651916cd43dd8448eb211c80319c"
FAILED = "1bf7651916cd43dd8448eb211c80319d"
ROOT, CHILD = "b7ad6b7169203331", "00f067aa0ba902b7"
STACK = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no such city\n'


def observation(trace: str = TRACE, span: str = ROOT, **fields: Any) -> dict[str, Any]:
    """A Langfuse observation as version 2 of its API writes it."""
    return {
        "id": span,
        "traceId": trace,
        "projectId": "p-1",
        "parentObservationId": None,
        "type": "SPAN",
        "name": "agent",
        "startTime": "2026-01-02T03:04:05.000Z",
        "endTime": "2026-01-02T03:04:07.500Z",
        "level": "DEFAULT",
        "statusMessage": None,
        "environment": "default",
        "userId": "u-1",
        "sessionId": "s-1",
        "input": '{"question": "Weather in Paris?"}',
        "output": '"Sunny"',
        "metadata": {"thread_id": "s-1", "note": "n" * 300},
        "modelParameters": None,
        "usageDetails": {},
        "costDetails": {},
        "latency": 2.5,
        "traceName": "weather",
        "tags": ["blue"],
        "release": "v7",
        **fields,
    }


def generation(trace: str = TRACE, **fields: Any) -> dict[str, Any]:
    """A model call below the root."""
    said = {
        "type": "GENERATION",
        "name": "chat",
        "parentObservationId": ROOT,
        "startTime": "2026-01-02T03:04:05.100Z",
        "endTime": "2026-01-02T03:04:06.100Z",
        "completionStartTime": "2026-01-02T03:04:05.600Z",
        "model": "gpt-4o",
        "modelParameters": {"temperature": 0.2, "top_p": "null"},
        "usageDetails": {"input": 20, "output": 5, "total": 41, "input_cached_tokens": 16},
        "costDetails": {"input": 0.001, "output": 0.002, "total": 0.003},
        "promptName": "weather-prompt",
        "promptVersion": 3,
        "input": '[{"role": "user", "content": "Weather in Paris?"}]',
        "output": '{"role": "assistant", "content": "Sunny"}',
        **fields,
    }
    return observation(trace, CHILD, **said)


def score(trace: str = TRACE, **fields: Any) -> dict[str, Any]:
    """A Langfuse score, version 3."""
    return {
        "id": "score-1",
        "name": "correctness",
        "value": 0.5,
        "dataType": "NUMERIC",
        "source": "EVAL",
        "timestamp": "2026-01-02T04:00:00.000Z",
        "comment": "half right",
        "subject": {"kind": "trace", "id": trace},
        **fields,
    }


def langfuse_export() -> dict[str, Any]:
    """What Langfuse's web page exports: JSON in JSON, latencies in milliseconds."""
    trace = {
        "id": TRACE,
        "projectId": "p-1",
        "name": "weather",
        "timestamp": "2026-01-02T03:04:05.000Z",
        "userId": "u-1",
        "sessionId": "s-1",
        "tags": ["blue"],
        "release": "v7",
        "input": json.dumps(json.dumps({"question": "Weather in Paris?"})),
        "output": json.dumps(json.dumps("Sunny")),
        "latency": 2.5,
        "scores": [
            {
                "id": "score-1",
                "traceId": TRACE,
                "observationId": CHILD,
                "name": "tone",
                "value": None,
                "stringValue": "friendly",
                "dataType": "CATEGORICAL",
                "source": "ANNOTATION",
                "timestamp": "2026-01-02T04:00:00.000Z",
            }
        ],
    }
    observations = [
        {**observation(), "latency": 2500, "input": None, "output": None},
        {**generation(), "latency": 1000},
    ]
    return {"trace": trace, "observations": observations}


def phoenix_span(trace: str = TRACE, span: str = ROOT, **fields: Any) -> dict[str, Any]:
    """A span as Phoenix's REST API writes it."""
    return {
        "id": "U3Bhbjox",
        "name": "agent",
        "context": {"trace_id": trace, "span_id": span},
        "span_kind": "AGENT",
        "parent_id": None,
        "start_time": "2026-01-02T03:04:05.000001+00:00",
        "end_time": "2026-01-02T03:04:07.500000+00:00",
        "status_code": "OK",
        "status_message": "",
        "attributes": {
            "input.value": "Weather in Paris?",
            "output.value": "Sunny",
            "session.id": "s-1",
            "metadata.team": "blue",
        },
        "events": [],
        **fields,
    }


def phoenix_llm(trace: str = TRACE, **fields: Any) -> dict[str, Any]:
    """A model call below the root."""
    said = {
        "name": "chat",
        "span_kind": "LLM",
        "parent_id": ROOT,
        "start_time": "2026-01-02T03:04:05.100000+00:00",
        "end_time": "2026-01-02T03:04:06.100000+00:00",
        "attributes": {
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 36,
            "llm.token_count.completion": 5,
            "llm.token_count.total": 41,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Weather in Paris?",
        },
        **fields,
    }
    return phoenix_span(trace, CHILD, **said)


def phoenix_failure() -> dict[str, Any]:
    """A failed span with its exception."""
    thrown = {
        "exception.type": "builtins.ValueError",
        "exception.message": "no such city",
        "exception.stacktrace": STACK,
    }
    event = {"name": "exception", "timestamp": "2026-01-02T03:04:06+00:00", "attributes": thrown}
    return phoenix_span(
        FAILED, status_code="ERROR", status_message="ValueError: no such city", events=[event]
    )


def annotation(span: str = CHILD) -> dict[str, Any]:
    """An annotation of a span."""
    return {
        "id": "QW5ub3RhdGlvbjox",
        "created_at": "2026-01-02T04:00:00+00:00",
        "name": "correctness",
        "annotator_kind": "HUMAN",
        "result": {"label": "correct", "score": 1.0, "explanation": "fine"},
        "span_id": span,
    }


def otlp_value(value: Any) -> dict[str, Any]:
    """A typed value with nulls for the alternatives, as Phoenix writes it."""
    kinds = ("array", "bool", "bytes", "double", "int", "kvlist", "string")
    kind = {str: "string", int: "int", float: "double"}[type(value)]
    return {f"{name}_value": value if name == kind else None for name in kinds}


def _b64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


_MLFLOW_ATTRIBUTES: dict[str, dict[str, Any]] = {
    ROOT: {
        "mlflow.spanType": "AGENT",
        "mlflow.spanInputs": {"question": "Weather in Paris?"},
        "mlflow.spanOutputs": "123",
    },
    CHILD: {
        "mlflow.spanType": "CHAT_MODEL",
        "mlflow.spanInputs": {"messages": [{"role": "user", "content": "Weather?"}]},
        "mlflow.spanOutputs": {"content": "Sunny", "refusal": None},
        "mlflow.llm.model": "gpt-4o",
        "mlflow.chat.tokenUsage": {"input_tokens": 36, "output_tokens": 5, "total_tokens": 41},
        "mlflow.llm.cost": {"total_cost": 0.003},
        "temperature": 0.2,
    },
}


def mlflow_info(trace: str = TRACE, **fields: Any) -> dict[str, Any]:
    """A trace's own record as REST writes it."""
    return {
        "trace_id": f"tr-{trace}",
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": "7"},
        },
        "request_time": "2026-01-02T03:04:05.000Z",
        "execution_duration": "2.500s",
        "state": "OK",
        "trace_metadata": {"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"},
        "tags": {"mlflow.traceName": "agent", "team": "blue"},
        "assessments": [
            {
                "assessment_id": "a-1",
                "assessment_name": "correct",
                "source": {"source_type": "LLM_JUDGE", "source_id": "judge"},
                "create_time": "2026-01-02T04:00:00Z",
                "feedback": {"value": True},
                "rationale": "fine",
                "valid": True,
            },
            {
                "assessment_id": "a-2",
                "assessment_name": "wanted",
                "source": {"source_type": "HUMAN"},
                "create_time": "2026-01-02T04:00:00Z",
                "expectation": {"value": {"weather": "Sunny"}},
            },
        ],
        "request_preview": '{"question": "Weather in Paris?"}',
        **fields,
    }


def _mlflow_span(trace: str, span: str, code: str) -> dict[str, Any]:
    start = 1767323045_000_000_123 + (0 if span == ROOT else 100_000_000)
    shown = {
        "trace_id": _b64(trace),
        "span_id": _b64(span),
        "name": "agent" if span == ROOT else "chat",
        "start_time_unix_nano": start,
        "end_time_unix_nano": start + 1_000_000_000,
        "status": {"code": code},
    }
    return shown if span == ROOT else {**shown, "parent_span_id": _b64(ROOT)}


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        pairs = [{"key": k, **_held(v)} for k, v in value.items()]
        return {"kvlist_value": {"values": pairs}}
    if isinstance(value, list):
        return {"array_value": {"values": [_typed(entry) for entry in value]}}
    names = {str: "string_value", int: "int_value", float: "double_value"}
    return {names[type(value)]: value}


def _held(value: Any) -> dict[str, Any]:
    return {} if value is None else {"value": _typed(value)}


def mlflow_rest(trace: str = TRACE, code: str = "STATUS_CODE_OK", **info: Any) -> dict[str, Any]:
    """A trace as `GET traces/get` writes it: typed values."""
    spans = [
        {
            **_mlflow_span(trace, span, code),
            "attributes": [{"key": k, **_held(v)} for k, v in attributes.items()],
        }
        for span, attributes in _MLFLOW_ATTRIBUTES.items()
    ]
    return {"trace_info": mlflow_info(trace, **info), "spans": spans}


def mlflow_file(trace: str = TRACE) -> dict[str, Any]:
    """The same trace as `Trace.to_json()` writes it: JSON in strings."""
    info = mlflow_info(trace)
    info["execution_duration_ms"] = 2500
    del info["execution_duration"]
    spans = [
        {
            "parent_span_id": None,
            **_mlflow_span(trace, span, "STATUS_CODE_OK"),
            "events": [],
            "links": [],
            "attributes": {key: json.dumps(value) for key, value in attributes.items()},
        }
        for span, attributes in _MLFLOW_ATTRIBUTES.items()
    ]
    return {"info": info, "data": {"spans": spans}}


def datadog_span(trace: str = TRACE, span: str = "101", **fields: Any) -> dict[str, Any]:
    """Attributes of a span as Datadog's reference describes them."""
    return {
        "trace_id": trace,
        "span_id": span,
        "parent_id": "undefined",
        "name": "agent",
        "span_kind": "workflow",
        "start_ns": 1767323045_000_000_000,
        "duration": 2.5e9,
        "status": "ok",
        "ml_app": "shop",
        "input": {"value": '{"question": "Weather in Paris?"}'},
        "output": {"value": "Sunny"},
        "tags": ["env:prod", "session_id:s-1", "user_id:u-1"],
        **fields,
    }


def datadog_llm(trace: str = TRACE, **fields: Any) -> dict[str, Any]:
    """A model call below the root, with an evaluation."""
    said = {
        "parent_id": "101",
        "name": "chat",
        "span_kind": "llm",
        "start_ns": 1767323045_100_000_000,
        "model_name": "gpt-4o",
        "model_provider": "openai",
        "metadata": {"temperature": 0.2},
        "metrics": {"input_tokens": 36.0, "output_tokens": 5.0, "total_tokens": 41.0},
        "input": {"messages": [{"role": "user", "content": "Weather?"}]},
        "evaluation": {"tone": {"value": 0.9, "assessment": "pass", "reasoning": "friendly"}},
        **fields,
    }
    return datadog_span(trace, "102", **said)
