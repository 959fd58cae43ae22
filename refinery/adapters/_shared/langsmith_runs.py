"""A run as LangSmith's API writes it (v1 and v2) becomes a run of ours.

Sources of the field names: LangSmith API v1 `RunSchema` and v2 `Run` (SDK 0.14, `types/run.py`).
Dumps of LangChain objects stay plain JSON; nothing is revived.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from refinery.adapters._shared.langsmith_own import restore
from refinery.errors import TraceFormatError
from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus, Usage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = {"success": RunStatus.OK, "error": RunStatus.ERROR, "pending": RunStatus.RUNNING}
_NOT_FAILURES = ("GraphInterrupt", "NodeInterrupt", "GeneratorExit", "CancelledError")
"""Errors that only say that a run was paused or no longer wanted."""

_LAST_LINE = re.compile(r"^([A-Za-z_][\w.]{0,200}):[ \t]?(.*)$")
_REPR = re.compile(r"^([A-Za-z_][\w.]{0,200})\((.*)\)\s*$", re.DOTALL)
_QUOTED = re.compile(r"^(['\"])((?:(?!\1).)*)\1,?$", re.DOTALL)
_MAX_METADATA_ID = 500


def to_run(item: Mapping[str, Json]) -> Run:
    """One run; what `langsmith_documents` wrote comes back as it was.

    Raises:
        TraceFormatError: it has no id or no trace id.
    """
    run_id, trace_id = item.get("id"), item.get("trace_id")
    if not isinstance(run_id, str) or not isinstance(trace_id, str):
        raise TraceFormatError(
            "LangSmith answered a run without `id` or `trace_id`",
            hint="is LANGSMITH_ENDPOINT the address of a LangSmith API?",
        )
    extra = _object(item.get("extra"))
    metadata = _object(extra.get("metadata")) | _object(item.get("metadata"))
    invocation = _object(extra.get("invocation_params"))
    native = str(item.get("run_type") or "").lower()
    error = _error(item.get("error"))
    tools = invocation.get("tools")
    is_model_call = native in ("llm", "embedding")
    cost = _cost(item) if is_model_call else None
    run = Run(
        run_id=run_id,
        trace_id=trace_id,
        name=_text(item.get("name")),
        kind=RunKind(native) if native in set(RunKind) else RunKind.CHAIN,
        parent_id=_parent(item),
        dotted_order=_text(item.get("dotted_order")),
        native_kind=native or None,
        start_ns=_ns(item.get("start_time")),
        end_ns=_ns(item.get("end_time")),
        status=_status(item, error),
        error=error,
        inputs=item.get("inputs"),
        outputs=item.get("outputs"),
        provider=_text(metadata.get("ls_provider")),
        model_requested=_text(metadata.get("ls_model_name")) or _text(invocation.get("model")),
        model_responded=_responded(item.get("outputs")),
        params=_params(metadata, invocation),
        tools=tools if isinstance(tools, list) else None,
        usage=_usage(item, metadata) if is_model_call else None,
        cost_usd=cost,
        cost_source="reported" if cost is not None else None,
        first_token_ns=_ns(item.get("first_token_time")),
        session_id=_first(metadata, "thread_id", "session_id", "conversation_id"),
        user_id=_first(metadata, "user_id", "ls_user_id"),
        tags=[tag for tag in item.get("tags") or () if isinstance(tag, str)] or None,
        metadata=metadata | _left_out(item) or None,
        events=item.get("events") or None,
        attachments=_attachments(item),
    )
    return restore(run)


def _object(value: Json) -> dict[str, Json]:
    return dict(value) if isinstance(value, Mapping) else {}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _first(metadata: Mapping[str, Json], *names: str) -> str | None:
    values = (metadata.get(name) for name in names)
    found = next((v for v in values if isinstance(v, str | int) and str(v)), None)
    return str(found)[:_MAX_METADATA_ID] if found is not None else None


def _parent(item: Mapping[str, Json]) -> str | None:
    """Parent by field (v1), by list of ancestors (v2), or by the last but one key segment."""
    if parent := _text(item.get("parent_run_id")):
        return parent
    above = item.get("parent_run_ids")
    if isinstance(above, list) and above:
        return _text(above[-1])
    segments = str(item.get("dotted_order") or "").split(".")
    return segments[-2].partition("Z")[2] or None if len(segments) > 1 else None


def _ns(value: Json) -> int | None:
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
    if not isinstance(value, str) or not value:
        return None
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
    named = {
        name: metadata[f"ls_{name}"]
        for name in ("temperature", "max_tokens", "stop")
        if metadata.get(f"ls_{name}") is not None
    }
    given = {k: v for k, v in invocation.items() if k != "tools" and v is not None}
    return {**named, **given} or None


def _usage(item: Mapping[str, Json], metadata: Mapping[str, Json]) -> Usage | None:
    """Tokens, the service's own count first; only for model calls, since parents repeat them."""
    told = _told_usage(item.get("outputs")) or _object(metadata.get("usage_metadata"))
    into = _details(item, "prompt_token_details") or _object(told.get("input_token_details"))
    out = _details(item, "completion_token_details") or _object(told.get("output_token_details"))
    usage = Usage(
        input=_count(item.get("prompt_tokens"), told.get("input_tokens")),
        output=_count(item.get("completion_tokens"), told.get("output_tokens")),
        total=_count(item.get("total_tokens"), told.get("total_tokens")),
        cache_read=_count(into.get("cache_read")),
        cache_write=_count(into.get("cache_creation"), into.get("cache_write")),
        reasoning=_count(out.get("reasoning")),
    )
    return usage if usage != Usage() else None


def _details(item: Mapping[str, Json], name: str) -> dict[str, Json]:
    given = _object(item.get(name))
    return _object(given.get("raw")) if "raw" in given else given


def _told_usage(outputs: Json) -> dict[str, Json]:
    """`usage_metadata` in the answer: beside it, or in a LangChain message."""
    found = _object(outputs)
    return _object(found.get("usage_metadata")) or _object(
        _answer_kwargs(found).get("usage_metadata")
    )


def _answer_kwargs(outputs: Mapping[str, Json]) -> dict[str, Json]:
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
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)


def _cost(item: Mapping[str, Json]) -> Decimal | None:
    value = item.get("total_cost")
    if value is None or isinstance(value, bool):
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() else None


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
