"""Prompts and answers that came as events beside a run become its inputs and outputs.

OpenTelemetry's GenAI conventions write messages into log records (default mode) or span events
(older libraries) instead of attributes. Records of one run arrive in any order, before or after
the run itself, so that its content is derived anew whenever views are joined.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from refinery.model.trace import Json, Run

FROM_EVENTS = "from_events"
"""In `metadata["refinery"]`: the fields that were derived from events, a list of names."""

_OURS = "refinery"
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE = "gen_ai.choice"
_WHOLE = "gen_ai.client.inference.operation.details"
_ATTRIBUTES = (
    ("gen_ai.content.prompt", "gen_ai.prompt", "inputs"),
    ("gen_ai.content.completion", "gen_ai.completion", "outputs"),
)
_EMPTY: tuple[Json, ...] = (None, {}, [], "")


def with_logged_content(run: Run) -> Run:
    """The run with inputs and outputs of its events, where it has none of its own.

    Events that came as log records are put in order of time, then of arrival.
    """
    if not run.events or not any(_is_told(event) for event in run.events):
        return run
    events = _in_order(run.events)
    found = {
        name: value
        for name, value in (("inputs", _inputs(events)), ("outputs", _outputs(events)))
        if value is not None and getattr(run, name) in _EMPTY
    }
    metadata = run.metadata
    if found:
        ours = metadata.get(_OURS) if metadata else None
        told = ours if isinstance(ours, dict) else {}
        metadata = {**(metadata or {}), _OURS: {**told, FROM_EVENTS: sorted(found)}}
    changes: dict[str, Any] = {**found, "events": events, "metadata": metadata}
    return replace(run, **changes)


def without_logged_content(run: Run) -> Run:
    """The run as it was before `with_logged_content`, apart from the order of its events."""
    ours = run.metadata.get(_OURS) if run.metadata else None
    if not isinstance(ours, dict) or not isinstance(ours.get(FROM_EVENTS), list):
        return run
    rest = {name: value for name, value in ours.items() if name != FROM_EVENTS}
    metadata = {name: value for name, value in (run.metadata or {}).items() if name != _OURS}
    if rest:
        metadata[_OURS] = rest
    derived = ours[FROM_EVENTS]
    return replace(
        run,
        metadata=metadata or None,
        inputs=None if "inputs" in derived else run.inputs,
        outputs=None if "outputs" in derived else run.outputs,
    )


def _name(event: Json) -> str:
    return str(event.get("name") or "") if isinstance(event, Mapping) else ""


def _is_told(event: Json) -> bool:
    """Whether an event may hold a message."""
    return _name(event).startswith("gen_ai.")


def _in_order(events: list[Json]) -> list[Json]:
    """Events by time and place in their request; those without a time first, as they came."""

    def key(event: Json) -> tuple[int, int, str]:
        time_ns, index = _whole(event, "time_ns"), _whole(event, "index")
        # The text decides between equals, so that any order of arrival gives the same order.
        return time_ns, index, json.dumps(event, sort_keys=True, default=str) if time_ns else ""

    return sorted(events, key=key)


def _whole(event: Json, name: str) -> int:
    value = event.get(name) if isinstance(event, Mapping) else None
    return value if isinstance(value, int) else 0


def _body(event: Json) -> dict[str, Json]:
    """The body of a log record, or the attributes of a span event."""
    body = event.get("body")
    if isinstance(body, Mapping):
        return dict(body)
    attributes = event.get("attributes")
    if not isinstance(attributes, Mapping):
        return {}
    inner = attributes.get("gen_ai.event.content")
    return dict(inner) if isinstance(inner, Mapping) else dict(attributes)


def _inputs(events: list[Json]) -> Json:
    messages = [
        _message(_ROLES[_name(event)], _body(event)) for event in events if _name(event) in _ROLES
    ]
    whole = _details(events, "gen_ai.input.messages")
    system = _details(events, "gen_ai.system_instructions")
    if whole is not None:
        return {"messages": whole} if system is None else {"system": system, "messages": whole}
    return {"messages": messages} if messages else _told(events, "inputs")


def _outputs(events: list[Json]) -> Json:
    whole = _details(events, "gen_ai.output.messages")
    if whole is not None:
        return {"messages": whole}
    choices = [_choice(_body(event)) for event in events if _name(event) == _CHOICE]
    return {"choices": choices} if choices else _told(events, "outputs")


def _message(role: str, body: dict[str, Json]) -> dict[str, Json]:
    """A message as OpenAI writes it."""
    message = {"role": role, **body}
    if role == "tool" and "id" in message:
        message["tool_call_id"] = message.pop("id")
    return message


def _choice(body: dict[str, Json]) -> dict[str, Json]:
    message = body.get("message")
    if not isinstance(message, Mapping):
        message = {k: v for k, v in body.items() if k not in ("index", "finish_reason", "message")}
        if body.get("message") is not None:
            message["content"] = body["message"]
    rest = {k: v for k, v in body.items() if k in ("index", "finish_reason")}
    return {**rest, "message": _message("assistant", dict(message))}


def _attributes(events: list[Json], name: str) -> Iterator[Mapping[str, Json]]:
    for event in events:
        attributes = event.get("attributes") if _name(event) == name else None
        if isinstance(attributes, Mapping):
            yield attributes


def _details(events: list[Json], name: str) -> Json:
    """A whole list of messages, told by the last event that has it."""
    found = [told.get(name) for told in _attributes(events, _WHOLE)]
    bodies = [e["body"] for e in events if _name(e) == _WHOLE and isinstance(e.get("body"), dict)]
    found += [body.get(name) for body in bodies]
    return next((value for value in reversed(found) if value not in _EMPTY), None)


def _told(events: list[Json], side: str) -> Json:
    """Content older libraries put into an attribute of a span event."""
    for event_name, attribute, field in _ATTRIBUTES:
        found = [told.get(attribute) for told in _attributes(events, event_name)]
        value = next((item for item in reversed(found) if item not in _EMPTY), None)
        if field == side and value is not None:
            return {"messages": value} if isinstance(value, list) else value
    return None
