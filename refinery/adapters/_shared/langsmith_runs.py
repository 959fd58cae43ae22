"""A run as LangSmith's API writes it (v1 and v2) becomes a run of ours.

Sources of the field names: LangSmith API v1 `RunSchema` and v2 `Run` (SDK 0.14, `types/run.py`).
Dumps of LangChain objects stay plain JSON; nothing is revived.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from refinery.adapters._shared.langsmith_own import restore
from refinery.errors import TraceFormatError
from refinery.model.merge import IS_PATCH, OURS
from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus, Usage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = {"success": RunStatus.OK, "error": RunStatus.ERROR, "pending": RunStatus.RUNNING}
_NOT_FAILURES = ("GraphInterrupt", "NodeInterrupt", "GeneratorExit", "CancelledError")
"""Errors that only say that a run was paused or no longer wanted."""

_LAST_LINE = re.compile(r"^([A-Za-z_][\w.]{0,200}):[ \t]?(.*)$")
_REPR = re.compile(r"^([A-Za-z_][\w.]{0,200})\((.*)\)\s*$", re.DOTALL)
_QUOTED = re.compile(r"^(['\"])((?:(?!\1).)*)\1,?$", re.DOTALL)
_MAX_METADATA_ID = 500
_MAX_KIND = 50
_KINDS = {kind.value: kind for kind in RunKind}
_COUNTED = ("llm", "embedding", "")
"""Types whose usage counts: parents repeat their children's. An update may leave out the type."""

_NAMED_PARAMS = tuple((name, f"ls_{name}") for name in ("temperature", "max_tokens", "stop"))
_NOTHING: Mapping[str, Json] = {}
_HAS_FIELD = ("metadata", "invocation_params", "runtime")
"""Keys of `extra` that go elsewhere."""


def to_run(item: Mapping[str, Json]) -> Run:
    """One run as the API answers it.

    Raises:
        TraceFormatError: it has no id or no trace id.
    """
    return restore(Run(**_fields(item)))


def to_view(
    item: Mapping[str, Json], *, is_patch: bool, ours: Mapping[str, Json] | None = None
) -> Run:
    """What a client sends of one run: its start, its end, or an update; fields may be missing.

    The service computes what clients leave out, and so does this: status, total tokens, cost, the
    time of the first token. A patch is marked for `model.merge`.

    Args:
        item: the run, with `id` and `trace_id`.
        is_patch: whether it was sent as an update of an earlier view.
        ours: what we say of it ourselves; what the client says in our name is left out.

    Raises:
        TraceFormatError: it has no id or no trace id.
    """
    fields = _fields(item)
    if not fields["native_kind"]:
        fields["kind"] = None
    if is_patch and fields["status"] is RunStatus.RUNNING:
        fields["status"] = None  # an update that does not say how it ended
    if fields["first_token_ns"] is None:
        fields["first_token_ns"] = _first_token(fields["events"])
    metadata = {**_kept(item), **(fields["metadata"] or {})}
    metadata.pop(OURS, None)
    if said := {**(ours or {}), **({IS_PATCH: True} if is_patch else {})}:
        metadata[OURS] = said
    fields["metadata"] = metadata or None
    return Run(**fields)


def _fields(item: Mapping[str, Json]) -> dict[str, Any]:
    run_id, trace_id = item.get("id"), item.get("trace_id")
    if not isinstance(run_id, str) or not isinstance(trace_id, str):
        raise TraceFormatError(
            "LangSmith answered a run without `id` or `trace_id`",
            hint="is LANGSMITH_ENDPOINT the address of a LangSmith API?",
        )
    extra = _object(item.get("extra"))
    metadata = {**_object(extra.get("metadata")), **_object(item.get("metadata"))}
    invocation = _object(extra.get("invocation_params"))
    native = str(item.get("run_type") or "").lower()[:_MAX_KIND]
    error = _error(item.get("error"))
    tools = invocation.get("tools")
    told = _told(item, metadata) if native in _COUNTED else {}
    cost = _cost(item, told) if native in _COUNTED else None
    outputs = item.get("outputs")
    return {
        "run_id": run_id,
        "trace_id": trace_id,
        "name": _text(item.get("name")),
        "kind": _KINDS.get(native, RunKind.CHAIN),
        "parent_id": _parent(item),
        "dotted_order": _text(item.get("dotted_order")),
        "native_kind": native or None,
        "start_ns": to_nanoseconds(item.get("start_time")),
        "end_ns": to_nanoseconds(item.get("end_time")),
        "status": _status(item, error),
        "error": error,
        "inputs": item.get("inputs"),
        "outputs": outputs,
        "provider": _text(metadata.get("ls_provider")),
        "model_requested": _text(metadata.get("ls_model_name")) or _text(invocation.get("model")),
        "model_responded": _responded(outputs),
        "params": _params(metadata, invocation),
        "tools": tools if isinstance(tools, list) else None,
        "usage": _usage(item, told) if native in _COUNTED else None,
        "cost_usd": cost,
        "cost_source": "reported" if cost is not None else None,
        "first_token_ns": to_nanoseconds(item.get("first_token_time")),
        "session_id": _first(metadata, "thread_id", "session_id", "conversation_id"),
        "user_id": _first(metadata, "user_id", "ls_user_id"),
        "tags": [tag for tag in _list(item.get("tags")) if isinstance(tag, str)] or None,
        "metadata": {**metadata, **_left_out(item)} or None,
        "events": _list(item.get("events")) or None,
        "attachments": _attachments(item),
    }


def _kept(item: Mapping[str, Json]) -> dict[str, Json]:
    """What a run says that our model has no field for, by LangSmith's own names."""
    extra = _object(item.get("extra"))
    rest = {key: value for key, value in extra.items() if key not in _HAS_FIELD and value}
    others = {key: item[key] for key in ("serialized", "reference_example_id") if item.get(key)}
    return {
        **({"runtime": extra["runtime"]} if extra.get("runtime") else {}),
        **({"extra": rest} if rest else {}),
        **others,
    }


def _first_token(events: Json) -> int | None:
    """Time of the first `new_token` event."""
    for event in events or ():
        if isinstance(event, Mapping) and event.get("name") == "new_token":
            return to_nanoseconds(event.get("time"))
    return None


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _object(value: Json) -> Mapping[str, Json]:
    """The value when it is an object, else an empty one; nobody may change it."""
    return value if isinstance(value, dict) else _NOTHING


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _first(metadata: Mapping[str, Json], *names: str) -> str | None:
    for name in names:
        value = metadata.get(name)
        if isinstance(value, str | int) and (found := str(value)):
            return found[:_MAX_METADATA_ID]
    return None


def _parent(item: Mapping[str, Json]) -> str | None:
    """Parent by field (v1), by list of ancestors (v2), or by the last but one key segment."""
    if parent := _text(item.get("parent_run_id")):
        return parent
    above = item.get("parent_run_ids")
    if isinstance(above, list) and above:
        return _text(above[-1])
    segments = str(item.get("dotted_order") or "").split(".")
    return segments[-2].partition("Z")[2] or None if len(segments) > 1 else None


def to_nanoseconds(value: Json) -> int | None:
    """Nanoseconds of an ISO time (UTC when it has no offset) or of epoch milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1_000_000) if abs(value) < 1e13 else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _error(value: Json) -> RunError | None:
    """`repr(exception)` and the traceback LangSmith keeps in one string."""
    if not value:
        return None
    if not isinstance(value, str):
        value = json.dumps(value, default=str)
    head, found, rest = value.partition("Traceback (most recent call last)")
    stack = found + rest
    lines = [line for line in stack.splitlines() if line.strip()]
    last = _LAST_LINE.match(lines[-1]) if lines and not lines[-1].startswith(" ") else None
    if given := _REPR.match(head.strip()):
        kind, message = given[1].rpartition(".")[2], given[2].strip()
        quoted = _QUOTED.match(message)
        return RunError(kind, quoted[2] if quoted else message, stack)
    if last:
        return RunError(last[1].rpartition(".")[2], head.strip() or last[2], stack)
    return RunError("", head.strip(), stack)


def _status(item: Mapping[str, Json], error: RunError | None) -> RunStatus:
    if error and error.type in _NOT_FAILURES:
        return RunStatus.CANCELLED
    said = _STATUS.get(str(item.get("status") or "").lower())
    if error or said:
        return RunStatus.ERROR if error else said or RunStatus.UNKNOWN
    return RunStatus.OK if item.get("end_time") else RunStatus.RUNNING


def _params(
    metadata: Mapping[str, Json], invocation: Mapping[str, Json]
) -> dict[str, Json] | None:
    named = {name: value for name, ls in _NAMED_PARAMS if (value := metadata.get(ls)) is not None}
    if not invocation:
        return named or None
    given = {k: v for k, v in invocation.items() if k != "tools" and v is not None}
    return {**named, **given} or None


def _told(item: Mapping[str, Json], metadata: Mapping[str, Json]) -> Mapping[str, Json]:
    """`usage_metadata` as the client found it: in the answer, or in the metadata."""
    return _told_usage(item.get("outputs")) or _object(metadata.get("usage_metadata"))


def _usage(item: Mapping[str, Json], told: Mapping[str, Json]) -> Usage | None:
    """Tokens, the service's own count first; only for model calls, since parents repeat them."""
    into = _details(item, "prompt_token_details") or _object(told.get("input_token_details"))
    out = _details(item, "completion_token_details") or _object(told.get("output_token_details"))
    read = _count(item.get("prompt_tokens"), told.get("input_tokens"))
    written = _count(item.get("completion_tokens"), told.get("output_tokens"))
    both = read + written if read is not None and written is not None else None
    usage = Usage(
        input=read,
        output=written,
        total=_count(item.get("total_tokens"), told.get("total_tokens"), both),
        cache_read=_count(into.get("cache_read")),
        cache_write=_count(into.get("cache_creation"), into.get("cache_write")),
        reasoning=_count(out.get("reasoning")),
    )
    return usage if usage != Usage() else None


def _details(item: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    given = _object(item.get(name))
    return _object(given.get("raw")) if "raw" in given else given


def _told_usage(outputs: Json) -> Mapping[str, Json]:
    """`usage_metadata` in the answer: beside it, or in a LangChain message."""
    found = _object(outputs)
    return _object(found.get("usage_metadata")) or _object(
        _answer_kwargs(found).get("usage_metadata")
    )


def _answer_kwargs(outputs: Mapping[str, Json]) -> Mapping[str, Json]:
    """`kwargs` of the first generated message of a LangChain dump."""
    value: Any = outputs.get("generations")
    while isinstance(value, list) and value:
        value = value[0]
    return _object(_object(_object(value).get("message")).get("kwargs"))


def _responded(outputs: Json) -> str | None:
    found = _object(outputs)
    said = _object(_answer_kwargs(found).get("response_metadata"))
    return _first(said, "model_name", "model") or _text(found.get("model"))


def _count(*values: Json) -> int | None:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _cost(item: Mapping[str, Json], told: Mapping[str, Json]) -> Decimal | None:
    """US dollars: the service's total, the client's, or the sum of the client's parts."""
    for value in (item.get("total_cost"), told.get("total_cost")):
        if (cost := _decimal(value)) is not None:
            return cost
    parts = [_decimal(told.get(name)) for name in ("input_cost", "output_cost")]
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if known else None


def _decimal(value: Json) -> Decimal | None:
    if value is None or isinstance(value, bool | list | dict):
        return None
    try:
        amount = Decimal(str(value)[:50])
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _attachments(item: Mapping[str, Json]) -> list[Json] | None:
    """Names only: the addresses expire, and are not ours to follow."""
    named = _object(item.get("attachments"))
    stored = _object(item.get("s3_urls"))
    prefix = "attachment."
    names = [*named, *(k.removeprefix(prefix) for k in stored if k.startswith(prefix))]
    return [{"name": name, "fetched": False} for name in names] or None


def _left_out(item: Mapping[str, Json]) -> dict[str, Json]:
    """Says which payloads v1 keeps elsewhere; they are not followed to other hosts."""
    missing = [
        side
        for side in ("inputs", "outputs")
        if not item.get(side) and _object(item.get(f"{side}_s3_urls"))
    ]
    return {"refinery_left_out": missing} if missing else {}
