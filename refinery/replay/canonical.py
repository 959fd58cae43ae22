"""When two model requests are the same: one form for a request on the wire and a recorded run.

A request is its conversation (system prompt included) and its fields: model, tools and sampling
parameters. Conversations are equal *exactly*, or *normalised*: identifiers and times that are
new in every run are replaced first, never those that are data (see `Fresh`).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from refinery.model.messages import Message, messages_in
from refinery.model.trace import Json, Run, RunKind
from refinery.model.walk import MAX_DEPTH, strings
from refinery.replay.exchange import Api, ModelRequest
from refinery.safety.redact import redact

_SAME_NAME = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
}
_FIELDS = frozenset(
    {
        *("temperature", "top_p", "top_k", "seed", "n", "max_tokens", "stop"),
        *("frequency_penalty", "presence_penalty", "logit_bias", "verbosity"),
        *("thinking", "reasoning_effort", "response_format"),
        *("tool_choice", "parallel_tool_calls"),
    }
)
"""Parameters that can change an answer; others (user, timeouts, tracing) are left out."""

_UUID = re.compile(
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b[0-9a-fA-F]{12}4[0-9a-fA-F]{3}[89abAB][0-9a-fA-F]{15}\b"
)
"""A UUID, or one of version 4 without its hyphens (RFC 9562 section 5.4)."""
_EPOCH = re.compile(r"(?<![\w.-])(\d{10})(?:\d{3}|\d{6}|\d{9}|\.\d{1,9})?(?![\w.-]|\.\d)")
"""Seconds, milli-, micro- or nanoseconds since the Unix epoch, of the years 2001 to 2286."""
_TIME = re.compile(
    r"\b(\d{4}-\d{2}-\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_CLOCK = re.compile(r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?\b")
"""A time of day, with or without seconds."""
ALL_TIMES = -1
"""As `Fresh.clock_ns`: every time is the clock's."""
_NEAR_S = 36 * 3600
"""A time this near to the run's own start is the clock, not data; covers every time zone."""
_TOKEN = re.compile(r"\[redacted ([a-z_]{1,40}) [0-9a-f]{1,64}\]")
_INLINE = re.compile(r"^data:[^,]{0,100},")
_SPOKEN = ("text", "input_text", "output_text", "thinking", "redacted_thinking", "reasoning")
_CALLS = ("tool_use", "tool_result", "tool_call", "function_call", "function_call_output")


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is new in every run, so that it can be told from data."""

    clock_ns: int
    """When the run was: times within 36 hours of it are the clock's; 0 keeps all times."""
    known: frozenset[str] = frozenset()
    """Lower-case UUIDs that are data: they came in from outside or stand in the patch."""
    also_ns: int = 0
    """Another time that counts as the run's: a replay's clock is the recorded one, or the real."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """A model request in the form that is compared."""

    exact: str
    """SHA-256 hex of the conversation."""
    normalised: str
    """SHA-256 hex of the conversation without fresh identifiers and times."""
    fields: dict[str, Json]
    """Model, tools and sampling parameters under their common names; absent ones left out."""
    unknown: tuple[str, ...] = ()
    """Fields a recording names without a usable value, e.g. a class instead of its schema."""
    loose: str = ""
    """As `normalised`, and without times of day that did not come in from outside; only for the
    recorded program itself, since a patch may well change a time."""


def of_request(request: ModelRequest, fresh: Fresh) -> Canonical:
    """The form of a request read from the wire."""
    fields, unknown = _fields(request.params, request.tools, request.model)
    turns = turns_of_request(request)
    exact, normalised, loose = _digests(without_secrets(turns), fresh)
    return Canonical(exact, normalised, without_secrets(fields), unknown, loose)


def without_secrets(value: Json) -> Json:
    """The value as a recorder keeps it: secrets replaced, by what they are alone.

    The recorder's own tokens end with random digits, which are cut off for comparing.
    """
    return _cut_tokens(redact(value)[0])


def _cut_tokens(value: Json) -> Json:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return json.loads(_TOKEN.sub(r"[redacted \1]", text)) if "[redacted " in text else value


def of_run(run: Run, fresh: Fresh, *, is_redacted: bool = True) -> Canonical:
    """The form of a recorded model call.

    Args:
        run: the call.
        fresh: what is new in its run.
        is_redacted: whether a recorder has taken the secrets out already.
    """
    tame = _cut_tokens if is_redacted else without_secrets
    inputs = run.inputs if isinstance(run.inputs, Mapping) else {}
    params = run.params if run.params is not None else inputs
    tools = run.tools if run.tools is not None else params.get("tools", inputs.get("tools"))
    model = run.model_requested or params.get("model") or inputs.get("model")
    fields, unknown = _fields(params, tools if isinstance(tools, list) else (), model)
    fields = tame(fields)
    exact, normalised, loose = _digests(tame(turns_of_run(run)), fresh)
    return Canonical(exact, normalised, fields, unknown, loose)


def turns_of_request(request: ModelRequest) -> list[Json]:
    """The conversation of a request as it is compared."""
    if request.api is Api.OPENAI_EMBEDDINGS:
        return _texts(request.body.get("input"))
    return [*_turns(request.messages), *attachments(request.body)]


def turns_of_run(run: Run) -> list[Json]:
    """The conversation of a recorded call as it is compared."""
    inputs = run.inputs if isinstance(run.inputs, Mapping) else {}
    asked = inputs.get("input")
    if run.kind is RunKind.EMBEDDING:
        return _texts(asked)
    if isinstance(asked, str) and "messages" not in inputs:
        inputs = {**inputs, "input": [{"role": "user", "content": asked}]}
    spoken = messages_in(Run("", "", inputs=inputs if inputs else run.inputs))
    return [*_turns(spoken), *attachments(inputs)]


def document_of_request(request: ModelRequest) -> dict[str, Json]:
    """All that is compared of a request, to be shown: its fields and its conversation."""
    fields, _ = _fields(request.params, request.tools, request.model)
    shown: dict[str, Json] = without_secrets({**fields, "messages": turns_of_request(request)})
    return shown


def document_of_run(run: Run) -> dict[str, Json]:
    """The same of a recorded call."""
    form = of_run(run, Fresh(0))
    return {**form.fields, "messages": turns_of_run(run)}


def _texts(asked: Json) -> list[Json]:
    return list(asked) if isinstance(asked, list) else [asked]


def uuids(value: Json) -> Iterator[str]:
    """Every UUID in the strings of a value, in lower case."""
    for _, text in strings(value):
        for match in _UUID.finditer(text):
            yield match.group().lower()


def differing(recorded: Canonical, fields: Mapping[str, Json]) -> list[str]:
    """Names of fields that differ from a recorded request, unusable ones left out, in order."""
    names = {*recorded.fields, *fields} - set(recorded.unknown)
    return sorted(name for name in names if recorded.fields.get(name) != fields.get(name))


def _turns(messages: Iterable[Message]) -> list[Json]:
    """The conversation; neighbours of one role are joined, as some clients do when sending."""
    turns: list[dict[str, Json]] = []
    for message in messages:
        calls = [
            {"name": call.name, "arguments": number(call.arguments), "id": call.call_id}
            for call in message.tool_calls
        ]
        text = message.text.strip()
        if message.role == "tool":
            turns.append({"role": "tool", "text": text, "answers": message.tool_call_id})
        elif turns and turns[-1]["role"] == message.role:
            turns[-1]["text"] = "\n".join(part for part in (turns[-1]["text"], text) if part)
            turns[-1]["calls"] = [*turns[-1]["calls"], *calls]
        elif text or calls:
            turns.append({"role": message.role, "text": text, "calls": calls})
    return list(turns)


def attachments(value: Json, depth: int = 0) -> list[str]:
    """Digests of pictures, files and other non-text blocks, in order.

    Vendors and frameworks wrap them differently, but the longest string inside is the content.
    """
    if depth > MAX_DEPTH:
        return []
    found: list[str] = []
    if isinstance(value, Mapping):
        for key in ("messages", "input", "content", "kwargs", "data"):
            found += attachments(value.get(key), depth + 1)
    elif isinstance(value, list):
        for item in value:
            kind = item.get("type") if isinstance(item, Mapping) else None
            is_block = isinstance(kind, str) and not {"role", "content", "kwargs"} & set(item)
            if is_block and kind not in (*_SPOKEN, *_CALLS, "human", "ai", "system", "tool"):
                longest = max((text for _, text in strings(item)), key=len, default="")
                found.append(hashlib.sha256(_plain(longest)).hexdigest())
            else:
                found += attachments(item, depth + 1)
    return found


def _plain(content: str) -> bytes:
    return _INLINE.sub("", content).encode("utf-8", "replace")


def _digests(turns: list[Json], fresh: Fresh) -> tuple[str, str, str]:
    exact = json.dumps(turns, sort_keys=True, ensure_ascii=False, default=str)
    normalised = normalise(exact, fresh, _call_ids(turns))
    loose = _CLOCK.sub(
        lambda match: match.group() if match.group() in fresh.known else "<clock>", normalised
    )
    return _digest(exact), _digest(normalised), _digest(loose)


def times_of_day(value: Json) -> Iterator[str]:
    """Every time of day in the strings of a value, as written."""
    for _, text in strings(value):
        for match in _CLOCK.finditer(text):
            yield match.group()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _call_ids(turns: list[Json]) -> dict[str, str]:
    """Identifiers of tool calls, by order of appearance."""
    found: dict[str, str] = {}
    for turn in turns:
        calls = turn.get("calls", ()) if isinstance(turn, dict) else ()
        for identifier in [call["id"] for call in calls]:
            if identifier:
                found.setdefault(identifier, f"<call {len(found) + 1}>")
    return found


def normalise(text: str, fresh: Fresh, call_ids: Mapping[str, str] | None = None) -> str:
    """The text with fresh identifiers numbered and the clock's times replaced."""
    for identifier, place in (call_ids or {}).items():
        text = text.replace(json.dumps(identifier, ensure_ascii=False), json.dumps(place))
    numbers: dict[str, str] = {}

    def identifier_of(match: re.Match[str]) -> str:
        found = match.group().lower()
        if found in fresh.known:
            return found
        return numbers.setdefault(found, f"<id {len(numbers) + 1}>")

    def time_of(match: re.Match[str]) -> str:
        if not _is_near(_noon(match.group(1)), fresh):
            return match.group()
        return "<date>" if match.group() == match.group(1) else "<time>"

    def epoch_of(match: re.Match[str]) -> str:
        return "<epoch>" if _is_near(float(match.group(1)), fresh) else match.group()

    text = _UUID.sub(identifier_of, text)
    if not fresh.clock_ns:
        return text
    return _EPOCH.sub(epoch_of, _TIME.sub(time_of, text))


def _noon(date: str) -> float:
    """Noon of a day, in seconds since the Unix epoch; 0 when there is no such day."""
    try:
        return datetime.fromisoformat(f"{date}T12:00:00").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _is_near(seconds: float, fresh: Fresh) -> bool:
    if fresh.clock_ns == ALL_TIMES:
        return True
    times = (fresh.clock_ns, fresh.also_ns)
    return any(at and abs(seconds - at / 1e9) <= _NEAR_S for at in times)


def _fields(
    params: Mapping[str, Json], tools: Iterable[Json], model: Json
) -> tuple[dict[str, Json], tuple[str, ...]]:
    """Fields under their common names, and those whose value a recording could not keep."""
    flat = {**params}
    for nested in ("model_kwargs", "extra_body"):
        inner = flat.pop(nested, None)
        flat |= inner if isinstance(inner, Mapping) else {}
    fields: dict[str, Json] = {"model": model} if isinstance(model, str) else {}
    for name, value in (*flat.items(), *_nested(flat)):
        name = _SAME_NAME.get(name, name)
        if name in _FIELDS and value is not None:
            fields[name] = _simple(name, value)
    if fields.get("tool_choice") == "auto":
        del fields["tool_choice"]  # what leaving it out means
    if fields.get("n") == 1:
        del fields["n"]
    if offered := [_tool(tool) for tool in tools]:
        fields["tools"] = offered
    unknown = tuple(sorted(name for name, value in fields.items() if _is_opaque(value)))
    missing = () if isinstance(model, str) else ("model",)
    return fields, (*unknown, *missing)


def _nested(params: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """Fields that some interfaces keep one level down."""
    for holder in ("text", "output_config"):
        inner = params.get(holder)
        if isinstance(inner, Mapping):
            yield "response_format", inner.get("format")
            yield "verbosity", inner.get("verbosity")
            yield "reasoning_effort", inner.get("effort")
    reasoning = params.get("reasoning")
    if isinstance(reasoning, Mapping):
        yield "reasoning_effort", reasoning.get("effort")


def _simple(name: str, value: Json) -> Json:
    if name == "stop":
        return [value] if isinstance(value, str) else value
    if name == "tool_choice":
        return _choice(value)
    if name == "response_format" and isinstance(value, Mapping):
        inner = value.get("json_schema")
        schema = inner if isinstance(inner, Mapping) else value
        if isinstance(schema.get("schema"), Mapping):
            return number(schema["schema"])
        return {"type": value["type"]} if set(value) == {"type"} else number(value)
    return number(value)


def _choice(value: Json) -> Json:
    """Which tool the model must call: `auto`, `none`, `required`, or a tool's name."""
    if isinstance(value, Mapping):
        function = value.get("function")
        name = value.get("name") or (isinstance(function, Mapping) and function.get("name"))
        if name:
            return {"name": name}
        value = value.get("type")
    return "required" if value == "any" else value


def _tool(tool: Json) -> Json:
    """Name, description and parameters of a tool; other tools as they are."""
    if not isinstance(tool, Mapping):
        return tool
    function = tool.get("function")
    inner = function if isinstance(function, Mapping) else tool
    schema = inner.get("parameters", inner.get("input_schema"))
    if not isinstance(schema, Mapping):
        return number(tool)
    return {
        "name": inner.get("name"),
        "description": inner.get("description") or "",
        "parameters": number(schema),
    }


def _is_opaque(value: Json) -> bool:
    """Whether a recording kept only a picture of the value."""
    if isinstance(value, Mapping):
        return "__repr__" in value or value.get("type") == "not_implemented"
    return isinstance(value, str) and value.startswith("<class ")


def number(value: Json, depth: int = 0) -> Json:
    """The value with whole floats as integers, so that 0 and 0.0 are one, keys sorted."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): number(value[key], depth + 1) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [number(item, depth + 1) for item in value]
    return value
