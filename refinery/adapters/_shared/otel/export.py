"""Runs as OTLP spans in JSON, in words other readers know, and whole for our own.

Standard attributes follow OpenInference 0.1 and the GenAI semantic conventions 1.37. What they
cannot express stands in the attribute `refinery.run`: the run without its inputs and outputs,
which `input.value` and `output.value` hold. OTLP 1.5: ids hexadecimal, times and integers as
strings, enums as numbers.
"""

import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from refinery.adapters._shared.otel.limits import MAX_ATTRIBUTE_CHARS
from refinery.adapters._shared.otel.mapping import OTEL
from refinery.model.codec import encode, encode_run
from refinery.model.messages import Message, messages_in, messages_out
from refinery.model.trace import Feedback, Json, Run, RunKind, RunStatus, Trace

RUN = "refinery.run"
"""Attribute of a span: what the standard attributes cannot say, JSON in pieces."""

TRACE = "refinery.trace"
"""Attribute of a resource: id, source, project and feedback of the trace, JSON in pieces."""

PIECE_CHARS = 2**20

_KINDS = {
    RunKind.PARSER: "CHAIN",
    RunKind.STEP: "CHAIN",
    RunKind.EVENT: "CHAIN",
}
_OPERATIONS = {
    RunKind.LLM: "chat",
    RunKind.EMBEDDING: "embeddings",
    RunKind.TOOL: "execute_tool",
    RunKind.AGENT: "invoke_agent",
}
_SPAN_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_HEX = set("0123456789abcdef")


def resource_spans(trace: Trace, feedback: list[Feedback]) -> list[dict[str, Json]]:
    """A trace as `ResourceSpans`, one for each process that took part, with its feedback."""
    by_id = {run.run_id: run for run in trace.runs}
    groups: dict[str, tuple[dict[str, Json], dict[str, list[Json]]]] = {}
    for run in trace.runs:
        otel = _otel(run)
        said = otel.get("resource")
        resource: dict[str, Json] = said if isinstance(said, dict) else {}
        key = json.dumps(resource, sort_keys=True, default=str)
        _, scopes = groups.setdefault(key, (resource, {}))
        scopes.setdefault(str(otel.get("scope") or "refinery"), []).append(
            _span(run, by_id.get(run.parent_id or ""), trace.trace_id)
        )
    about = {
        "trace_id": trace.trace_id,
        "source": trace.source,
        "project": trace.project,
        "feedback": [encode(item) for item in feedback],
    }
    return [
        {
            "resource": {"attributes": _pairs(_resource(resource, trace, about))},
            "scopeSpans": [
                {"scope": {"name": name}, "spans": spans} for name, spans in scopes.items()
            ],
        }
        for resource, scopes in groups.values() or [({}, {})]
    ]


def _resource(given: dict[str, Json], trace: Trace, about: dict[str, Json]) -> dict[str, Json]:
    project = trace.project or "refinery"
    told = {"service.name": project, **given, TRACE: _pieces(about)}
    return told if trace.project is None else {**told, "openinference.project.name": project}


def _otel(run: Run) -> dict[str, Json]:
    found = (run.metadata or {}).get(OTEL)
    return found if isinstance(found, dict) else {}


def _span(run: Run, parent: Run | None, trace_id: str) -> dict[str, Json]:
    span: dict[str, Json] = {
        "traceId": trace_hex(trace_id),
        "spanId": span_hex(run),
        "name": run.name or "run",
        "kind": _SPAN_KINDS.get(str(_otel(run).get("span_kind")), 1),
        "startTimeUnixNano": str(max(run.start_ns or 0, 0)),
        "endTimeUnixNano": str(max(run.end_ns or 0, 0)),
        "attributes": _pairs(_attributes(run)),
        "events": _events(run),
        "status": _status(run),
    }
    if run.parent_id:
        span["parentSpanId"] = span_hex(parent) if parent else _parent_hex(run)
    links = [found for link in run.links or [] if (found := _link(link))]
    return {**span, "links": links} if links else span


def trace_hex(trace_id: str) -> str:
    """The 16 bytes of a trace's id, hexadecimal; of any other text a digest."""
    try:
        found = uuid.UUID(trace_id).hex
    except ValueError:
        found = _digest(trace_id)[:32]
    return found if found.strip("0") else _digest(trace_id)[:32]


def span_hex(run: Run) -> str:
    """The 8 bytes of a run's span: as it came, else a digest of the run's id."""
    told = _otel(run).get("span_id")
    return str(told) if _is_span_id(told) else _digest(run.run_id)[:16]


def _parent_hex(run: Run) -> str:
    """The span of a parent that is not in the trace."""
    told = _otel(run).get("parent_id")
    return str(told) if _is_span_id(told) else _digest(run.parent_id or "")[:16]


def _is_span_id(value: Any) -> bool:
    if not isinstance(value, str) or len(value) != 16:
        return False
    return set(value) <= _HEX and bool(value.strip("0"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _status(run: Run) -> dict[str, Json]:
    if run.status is RunStatus.ERROR:
        return {"code": 2, "message": run.error.message if run.error else ""}
    return {"code": 1} if run.status is RunStatus.OK else {}


def _attributes(run: Run) -> dict[str, Json]:
    whole = encode_run(run)
    told: dict[str, Json] = {
        "openinference.span.kind": _KINDS.get(run.kind, str(run.kind or "chain").upper())
        if run.kind
        else "CHAIN",
        "gen_ai.operation.name": _OPERATIONS.get(run.kind) if run.kind else None,
        "session.id": run.session_id,
        "user.id": run.user_id,
        "tag.tags": run.tags,
        **_content(run, whole),
        **_model(run),
    }
    if run.kind is RunKind.LLM:
        told["gen_ai.input.messages"] = _spoken(messages_in(run))
        told["gen_ai.output.messages"] = _spoken(messages_out(run))
    if run.kind is RunKind.TOOL:
        told |= {"tool.name": run.name, "gen_ai.tool.name": run.name}
    told[RUN] = _pieces(whole)
    return {name: value for name, value in told.items() if value is not None}


def _content(run: Run, whole: dict[str, Json]) -> dict[str, Json]:
    """Inputs and outputs as JSON; they stay in the whole run where they are too long."""
    told: dict[str, Json] = {}
    for field, side in (("inputs", "input"), ("outputs", "output")):
        if whole.get(field) is None:
            continue
        value = json.dumps(whole[field], ensure_ascii=False)
        if len(value) <= MAX_ATTRIBUTE_CHARS:
            told |= {f"{side}.value": value, f"{side}.mime_type": "application/json"}
            del whole[field]
    return told


def _model(run: Run) -> dict[str, Json]:
    usage = run.usage
    params = run.params or {}
    named = {
        f"gen_ai.request.{name}": params[name]
        for name in ("temperature", "top_p", "max_tokens", "seed")
        if isinstance(params.get(name), int | float)
    }
    return {
        "llm.provider": run.provider,
        "gen_ai.provider.name": run.provider,
        "llm.model_name": run.model_responded or run.model_requested,
        "gen_ai.request.model": run.model_requested,
        "gen_ai.response.model": run.model_responded,
        "llm.invocation_parameters": json.dumps(encode(params)) if params else None,
        "gen_ai.tool.definitions": json.dumps(encode(run.tools)) if run.tools else None,
        **named,
        "llm.token_count.prompt": usage.input if usage else None,
        "llm.token_count.completion": usage.output if usage else None,
        "llm.token_count.total": usage.total if usage else None,
        "gen_ai.usage.input_tokens": usage.input if usage else None,
        "gen_ai.usage.output_tokens": usage.output if usage else None,
        "llm.cost.total": float(run.cost_usd) if run.cost_usd is not None else None,
    }


def _spoken(messages: tuple[Message, ...]) -> str | None:
    """Messages in the form of the GenAI conventions; None when there are none."""
    told = []
    for message in messages:
        parts: list[Json] = []
        if message.text and not message.tool_call_id:
            parts.append({"type": "text", "content": message.text})
        for call in message.tool_calls:
            named = {"id": call.call_id, "name": call.name, "arguments": call.arguments}
            parts.append({"type": "tool_call", **named})
        if message.tool_call_id:
            answer = {"id": message.tool_call_id, "response": message.text}
            parts.append({"type": "tool_call_response", **answer})
        told.append({"role": message.role, "parts": parts})
    return json.dumps(encode(told), ensure_ascii=False) if told else None


def _pieces(value: Json) -> list[Json]:
    """JSON as a list of texts none of which is too long for a reader."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return [text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)]


def _events(run: Run) -> list[Json]:
    found = [_event(event) for event in run.events or [] if isinstance(event, dict)]
    if run.error and not any(event["name"] == "exception" for event in found):
        thrown = {
            "exception.type": run.error.type,
            "exception.message": run.error.message,
            "exception.stacktrace": run.error.stack,
        }
        time_ns = str(max(run.end_ns or 0, 0))
        found.append({"timeUnixNano": time_ns, "name": "exception", "attributes": _pairs(thrown)})
    return found


def _event(event: dict[str, Json]) -> dict[str, Json]:
    attributes = event.get("attributes")
    rest = {k: v for k, v in event.items() if k not in ("name", "time_ns", "time", "attributes")}
    told = {**(attributes if isinstance(attributes, dict) else {}), **rest}
    return {
        "timeUnixNano": str(_moment(event)),
        "name": str(event.get("name") or "event"),
        "attributes": _pairs(told),
    }


def _moment(event: dict[str, Json]) -> int:
    """When an event was, by nanoseconds or an ISO time; 0 when it does not say."""
    told = event.get("time_ns")
    if isinstance(told, int) and told > 0:
        return told
    try:
        moment = datetime.fromisoformat(str(event.get("time")))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(int(moment.timestamp() * 10**6) * 1000, 0)
    except (ValueError, OverflowError):
        return 0


def _link(link: Json) -> dict[str, Json] | None:
    """A link another reader can follow; any other stays in the whole run alone."""
    if not isinstance(link, dict) or not _is_span_id(link.get("span_id")):
        return None
    attributes = link.get("attributes")
    return {
        "traceId": trace_hex(str(link.get("trace_id"))),
        "spanId": link["span_id"],
        "attributes": _pairs(attributes if isinstance(attributes, dict) else {}),
    }


def _pairs(attributes: dict[str, Json]) -> list[Json]:
    return [{"key": str(name), "value": _value(value)} for name, value in attributes.items()]


def _value(value: Json) -> dict[str, Json]:
    """An `AnyValue`."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        is_small = -(2**63) <= value < 2**63
        return {"intValue": str(value)} if is_small else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _pairs(value)}}
    return {} if value is None else {"stringValue": str(encode(value))}
