"""A span becomes a run: kind, fields by every convention, and the rest kept as metadata."""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from refinery.adapters._shared.otel.conventions import (
    genai,
    langfuse,
    langsmith,
    mlflow,
    openinference,
    traceloop,
    vercel,
)
from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.kinds import FoundKind, kind_of
from refinery.adapters._shared.otel.outcome import outcome_of
from refinery.adapters._shared.otel.spans import SpanData, run_uuid, trace_uuid
from refinery.adapters._shared.otel.values import is_structure, leaves, parsed, text
from refinery.model.logged import with_logged_content
from refinery.model.merge import OURS
from refinery.model.trace import Json, Run, Usage

OTEL = "otel"
"""Key of `metadata` for what only OpenTelemetry has: original ids, resource, scope, span kind."""

_GENAI = (
    *("gen_ai.", "pydantic_ai.", "operation.cost", "llm.request.", "llm.usage.", "enduser."),
    *("tool_arguments", "tool_response", "final_result"),
)
_CONVENTIONS = (
    (openinference, None),
    (langfuse, "langfuse."),
    (langsmith, "langsmith."),
    (mlflow, "mlflow."),
    (genai, _GENAI),
    (vercel, "ai."),
    (traceloop, ("traceloop.", "gen_ai.")),
)
"""Each convention and how the names it alone reads begin, which spares asking it; None: always.
Two names are read by several, `session.id` and `user.id`: the first says the same of them."""

_SAID_IN_METADATA = (
    ("session_id", ("thread_id", "session_id", "conversation_id")),
    ("user_id", ("user_id", "ls_user_id")),
)
_OWN = (OURS, OTEL)
_SHORT = 200
"""Longest name of an attribute that is remembered; names may be of any size."""


def run_of_span(span: SpanData) -> Run:
    """The run a span tells of; nothing of it is lost, nothing of it is trusted.

    What no field of a run holds stays in the metadata: attributes under their own flat names,
    the rest under `otel`. Secrets are not taken out here.
    """
    found = kind_of(span.attributes)
    facts = Facts(span.attributes, found.kind)
    asked = 0
    for name in span.attributes:
        asked |= _readers(name) if len(name) <= _SHORT else _readers.__wrapped__(name)
    for number, (convention, beginnings) in enumerate(_CONVENTIONS):
        if beginnings is None or asked >> number & 1:
            convention.read(facts)
    for field, names in _SAID_IN_METADATA if facts.metadata else ():
        facts.put(
            field, next((said for n in names if (said := text(facts.metadata.get(n)))), None)
        )
    status, error = outcome_of(span, facts.error_message)
    fields = dict(facts.fields)
    run = Run(
        run_id=run_uuid(span.trace_id, span.span_id),
        trace_id=trace_uuid(span.trace_id),
        name=span.name or None,
        kind=found.kind,
        parent_id=run_uuid(span.trace_id, span.parent_id) if span.parent_id else None,
        native_kind=found.native,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        status=status,
        error=error,
        usage=Usage(**facts.usage) if facts.usage else None,
        cost_usd=facts.cost,
        cost_source="reported" if facts.cost is not None else None,
        first_token_ns=_first_token(span),
        metadata=_metadata(span, facts, found),
        events=[_event(event) for event in span.events] or None,
        links=list(span.links) or None,
        **fields,
    )
    return with_logged_content(run)


@lru_cache(maxsize=4096)
def _readers(name: str) -> int:
    """A bit for each convention that may read an attribute of this name."""
    return sum(
        1 << number
        for number, (_, beginnings) in enumerate(_CONVENTIONS)
        if beginnings is not None and name.startswith(beginnings)
    )


def project_of(span: SpanData, told: str | None = None) -> str | None:
    """The project a span belongs to: as its attributes say, as told, else the service's name."""
    for value in (
        span.resource.get("openinference.project.name"),
        span.attributes.get("langsmith.trace.session_name"),
        told,
        span.resource.get("service.name"),
    ):
        if isinstance(value, str) and value and not value.startswith("unknown_service"):
            return value
    return None


def read_messages(attributes: dict[str, Json]) -> dict[str, Json]:
    """Attributes of an event, JSON in GenAI ones read: what is kept must show its keys."""
    return {
        name: parsed(value) if name.startswith("gen_ai.") else value
        for name, value in attributes.items()
    }


def _event(event: dict[str, Json]) -> dict[str, Json]:
    attributes = event.get("attributes")
    if not isinstance(attributes, dict):
        return event
    return {**event, "attributes": read_messages(attributes)}


def _metadata(span: SpanData, facts: Facts, found: FoundKind) -> dict[str, Json]:
    """The source's metadata, attributes no field holds, and what only OpenTelemetry has."""
    kept = {f"attributes.{k}" if k in _OWN else k: v for k, v in facts.metadata.items()}
    held = {span.name, found.native or "", *leaves(list(facts.fields.values()))}
    held.update(leaves(kept))
    held.update(map(repr, facts.usage.values()))
    whole = {id(value) for value in facts.fields.values()}
    for name, value in span.attributes.items():
        if name in facts.used:
            if type(value) is str and value in held:
                continue
            told = facts.read.get(name)
            if (told is not None and id(told) in whole) or _is_held(value, held):
                continue
        if name == found.source and found.native in held and value == found.native:
            continue
        free = name not in _OWN and (name not in kept or kept[name] == value)
        kept[name if free else f"attributes.{name}"] = value
    return kept | {OTEL: _otel(span, found)}


def _is_held(value: Json, held: set[str]) -> bool:
    """Whether all an attribute says is held elsewhere, JSON inside its texts read or not."""
    if type(value) is int:
        return repr(value) in held
    if type(value) is str and not is_structure(value):
        return value in held
    return all(
        leaf in held or ((inner := parsed(leaf)) is not leaf and held.issuperset(leaves(inner)))
        for leaf in leaves(parsed(value))
    )


def _otel(span: SpanData, found: FoundKind) -> dict[str, Json]:
    told: dict[str, Json] = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "span_kind": span.span_kind,
        "kind_source": found.source,
        "status_code": span.status_code,
        "status_message": span.status_message,
        "scope": span.scope,
        "resource": span.resource,
        **span.details,
    }
    return {name: value for name, value in told.items() if value not in (None, "", {}, [])}


def _first_token(span: SpanData) -> int | None:
    """When the first token came: told as a delay, or as a moment."""
    moment = parsed(span.attributes.get("langfuse.observation.completion_start_time"))
    if isinstance(moment, str):
        try:
            return int(Decimal(str(datetime.fromisoformat(moment).timestamp())) * 10**9)
        except (ValueError, OverflowError):
            return None
    for name, unit_ns in (
        ("ai.response.msToFirstChunk", 10**6),
        ("gen_ai.response.time_to_first_chunk", 10**9),
    ):
        delay = span.attributes.get(name)
        if isinstance(delay, int | float) and span.start_ns is not None and 0 <= delay < 1e9:
            return span.start_ns + int(delay * unit_ns)
    return None
