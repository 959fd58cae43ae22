"""The events of a model's stream, joined into the body that would have said the same.

>>> events = [{"choices": [{"index": 0, "delta": {"content": part}}]} for part in ("a", "b")]
>>> joined(CHAT, events)["choices"]
[{'index': 0, 'message': {'role': 'assistant', 'content': 'ab'}}]

An event is the parsed data of one server-sent event. Events may lack, repeat or be of any shape;
what cannot be read is left out and nothing raises.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refinery.model.bodies import CHAT, COMPLETIONS, MESSAGES, RESPONSES
from refinery.model.trace import Json

MAX_DEPTH = 50
"""Deepest nesting that is joined; deeper values are replaced whole."""
_REPEATED = frozenset({"id", "type", "role", "index", "object"})
"""Fields that are the same in every event that has them, so they replace and never grow."""
_CLOSING = ("response.completed", "response.incomplete", "response.failed")
"""Compared one by one: what claims to be a type may be unhashable."""
_GROWING = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}
"""Anthropic's deltas and the field of the block each adds to; it has the same name in both."""


class _Text(list[str]):
    """A text that is still growing, as its parts."""


def joined(interface: str, events: Iterable[Json]) -> dict[str, Json]:
    """The body the events of a stream spell; of a broken stream, what had come by then.

    Args:
        interface: as `bodies.interface_of` names it.
        events: data of the events, in order.
    """
    found = [event for event in events if isinstance(event, Mapping)]
    if interface == MESSAGES:
        return _message(found)
    if interface == RESPONSES:
        return _response(found)
    return _completion(found, interface)


def has_ended(interface: str, event: Json) -> bool:
    """Whether an event says that the model has said all it will say."""
    if not isinstance(event, Mapping):
        return False
    if interface == MESSAGES:
        delta = event.get("delta")
        stopped = isinstance(delta, Mapping) and bool(delta.get("stop_reason"))
        return stopped or event.get("type") == "message_stop"
    if interface == RESPONSES:
        return event.get("type") in _CLOSING
    choices = event.get("choices")
    listed = choices if isinstance(choices, list) else []
    return any(isinstance(choice, Mapping) and choice.get("finish_reason") for choice in listed)


def says_something(event: Json) -> bool:
    """Whether an event carries a part of the answer, not just its frame."""
    if not isinstance(event, Mapping):
        return False
    if isinstance(kind := event.get("type"), str):
        return kind.endswith(("delta", "content_block_start")) and kind != "message_delta"
    for choice in event["choices"] if isinstance(event.get("choices"), list) else []:
        delta = choice.get("delta", choice) if isinstance(choice, Mapping) else None
        if isinstance(delta, Mapping) and any(delta.get(key) for key in delta if key != "role"):
            return True
    return False


def read_events(text: str) -> list[Json]:
    """Data of the server-sent events in a text, in order; only those that are JSON objects."""
    found: list[Json] = []
    for block in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line[:5] == "data:"]
        try:
            event = json.loads("\n".join(lines)) if lines else None
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            found.append(event)
    return found


def _completion(events: Sequence[Mapping[str, Json]], interface: str) -> dict[str, Json]:
    whole: dict[str, Json] = {"object": "chat.completion"}
    choices: dict[Json, dict[str, Json]] = {}
    for event in events:
        for key, value in event.items():
            if key not in ("choices", "object") and value is not None:
                whole[key] = value
        listed = event.get("choices")
        for choice in listed if isinstance(listed, list) else []:
            if isinstance(choice, Mapping):
                index = choice.get("index")
                place = index if isinstance(index, int) else 0
                _add_choice(choices.setdefault(place, {"index": place}), choice)
    if interface == COMPLETIONS:
        whole["object"] = "text_completion"
    whole["choices"] = [_closed(_plain(choices[place])) for place in sorted(choices)]
    return whole


def _closed(choice: dict[str, Json]) -> dict[str, Json]:
    """A choice as a whole answer has it: its tool calls carry no `index`."""
    message = choice.get("message")
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            call.pop("index", None)
    return choice


def _add_choice(known: dict[str, Json], choice: Mapping[str, Json]) -> None:
    for key, value in choice.items():
        if key == "delta":
            if isinstance(value, Mapping):
                _grow(known.setdefault("message", {"role": "assistant"}), value)
        elif key == "finish_reason":
            known[key] = value or known.get(key)
        elif key != "index":
            _grow(known, {key: value})


def _message(events: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    whole: dict[str, Json] = {}
    blocks: dict[int, dict[str, Json]] = {}
    partial: dict[int, list[str]] = {}
    for event in events:
        kind, place = event.get("type"), event.get("index")
        index = place if isinstance(place, int) else 0
        delta = event.get("delta")
        if kind == "message_start" and isinstance(event.get("message"), Mapping):
            whole = dict(event["message"])
        elif kind == "content_block_start" and isinstance(event.get("content_block"), Mapping):
            blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta" and isinstance(delta, Mapping):
            _add_delta(blocks.setdefault(index, {}), partial.setdefault(index, []), delta)
        elif kind == "message_delta":
            whole.update(_told(delta))
            whole["usage"] = {**_told(whole.get("usage")), **_told(event.get("usage"))}
        elif kind == "error":
            whole["error"] = event.get("error")
    for index, parts in partial.items():
        if parts:
            blocks[index]["input"] = _parsed("".join(parts))
    if blocks:
        whole["content"] = [_plain(blocks[index]) for index in sorted(blocks)]
    return whole


def _add_delta(block: dict[str, Json], partial: list[str], delta: Mapping[str, Json]) -> None:
    """Add one delta to the block it belongs to."""
    kind = str(delta.get("type"))
    if kind == "input_json_delta":
        partial.append(str(delta.get("partial_json") or ""))
    elif kind == "citations_delta":
        found = block.get("citations")
        block["citations"] = [*(found if isinstance(found, list) else []), delta.get("citation")]
    else:
        name = _GROWING.get(kind)
        rest = {name: delta.get(name)} if name else {k: v for k, v in delta.items() if k != "type"}
        _grow(block, rest)


def _response(events: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    whole: dict[str, Json] = {}
    items: dict[int, Json] = {}
    for event in events:
        kind, place = event.get("type"), event.get("output_index")
        index = place if isinstance(place, int) else 0
        told = event.get("response")
        if isinstance(told, Mapping):
            whole = dict(told)
            if kind in _CLOSING:
                return whole
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item = event.get("item")
            items[index] = dict(item) if isinstance(item, Mapping) else item
        elif isinstance(kind, str) and kind.endswith(".delta"):
            item = items.get(index)
            if isinstance(item, dict) and item.get("status") != "completed":
                _add_part(item, kind, event)
        elif kind == "error":
            whole["error"] = {key: event.get(key) for key in ("code", "message", "param")}
    if items:
        whole["output"] = [_plain(items[index]) for index in sorted(items)]
    return whole


def _add_part(item: dict[str, Json], kind: str, event: Mapping[str, Json]) -> None:
    """Add a piece to an item the stream has not finished."""
    text = event.get("delta")
    if not isinstance(text, str):
        return
    if kind in ("response.output_text.delta", "response.refusal.delta"):
        name = "text" if kind == "response.output_text.delta" else "refusal"
        parts = item.get("content")
        if not isinstance(parts, list) or not parts or not isinstance(parts[-1], dict):
            parts = item["content"] = [{"type": f"output_{name}" if name == "text" else name}]
        _grow(parts[-1], {name: text})
    elif kind.endswith("arguments.delta"):
        _grow(item, {"arguments": text})
    elif kind.endswith(".input.delta"):
        _grow(item, {"input": text})


def _grow(known: dict[str, Json], more: Mapping[str, Json], depth: int = 0) -> None:
    """Add what an event says to what was said before: texts join, lists by their `index`."""
    for key, value in more.items():
        old = known.get(key)
        if value is None:
            known.setdefault(key, None)
        elif key in _REPEATED or depth > MAX_DEPTH:
            known[key] = value
        elif isinstance(value, str):
            _grow_text(known, key, old, value)
        elif isinstance(value, Mapping):
            inner = old if isinstance(old, dict) else {}
            known[key] = inner
            _grow(inner, value, depth + 1)
        elif isinstance(value, list):
            known[key] = _listed(old if isinstance(old, list) else [], value, depth)
        else:
            known[key] = value


def _grow_text(known: dict[str, Json], key: str, old: Json, more: str) -> None:
    if isinstance(old, _Text):
        # Some servers repeat the whole name of a tool in every event.
        if key != "name" or list(old) != [more]:
            old.append(more)
    else:
        known[key] = _Text([old, more] if isinstance(old, str) else [more])


def _listed(old: list[Json], more: Sequence[Json], depth: int) -> list[Json]:
    """Entries with an `index` grow the entry of that index, others are appended."""
    places: dict[Any, dict[str, Json]] = {
        entry["index"]: entry
        for entry in old
        if isinstance(entry, dict) and isinstance(entry.get("index"), int)
    }
    for entry in more:
        index = entry.get("index") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(index, int):
            old.append(entry)
            continue
        if index not in places:
            places[index] = {}
            old.append(places[index])
        _grow(places[index], entry, depth + 1)
    return old


def _plain(value: Json, depth: int = 0) -> Json:
    """The value with growing texts joined."""
    if isinstance(value, _Text):
        return "".join(value)
    if depth > 2 * MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return value


def _told(value: Json) -> dict[str, Json]:
    """The entries of an object that are not null."""
    known = value if isinstance(value, Mapping) else {}
    return {key: item for key, item in known.items() if item is not None}


def _parsed(text: str) -> Json:
    """Arguments from their JSON text; the text itself when it is not JSON."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text


__all__ = ["CHAT", "has_ended", "joined", "read_events", "says_something"]
