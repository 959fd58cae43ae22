"""What adapters of services share: ids, times, counts and texts that are JSON."""

import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from refinery.adapters._shared.otel.spans import run_uuid
from refinery.model.trace import Feedback, Json, Run, RunKind, Trace
from refinery.model.walk import in_tree_order

Labelled = tuple[Trace, tuple[Feedback, ...]]
"""A trace and what its source says of it."""

NAMESPACE = uuid.UUID("6d0f3a52-4f0e-5c5b-9a0e-0d2b7c1f9e44")
"""Namespace of ids made of ids that are no UUIDs; chosen once, never changed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX = frozenset("0123456789abcdef")


def trace_id_of(source: str, native: str) -> str:
    """Our id of a trace: the UUID it is, also written as 32 digits, or one made of both."""
    return _as_uuid(native) or _made(source, native)


def run_id_of(source: str, trace: str, span: str) -> str:
    """Our id of a span: the UUID it is, what OTLP makes of the same span, or one made of all."""
    if found := _as_uuid(span):
        return found
    inside = _as_uuid(trace)
    if inside and len(span) == 16 and set(span.lower()) <= _HEX:
        return run_uuid(inside.replace("-", ""), span.lower())
    return _made(source, trace, span)


def feedback_id_of(source: str, *parts: str) -> str:
    """Our id of a remark: the last part when it is a UUID, or one made of all."""
    return _as_uuid(parts[-1]) or _made(source, "feedback", *parts)


def _as_uuid(text: str) -> str | None:
    if len(text) not in (32, 36):
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _made(*parts: str) -> str:
    # Surrogates cannot be hashed as UTF-8; JSON escapes them.
    return str(uuid.uuid5(NAMESPACE, json.dumps(parts)))


def as_object(value: Json) -> dict[str, Json]:
    """The value as an object; an empty one when it is none."""
    return dict(value) if isinstance(value, Mapping) else {}


def as_objects(value: Json) -> list[dict[str, Json]]:
    """The objects of a list; none when it is no list."""
    return [dict(item) for item in value if isinstance(item, Mapping)] if is_list(value) else []


def is_list(value: Json) -> bool:
    """Whether the value is a JSON list."""
    return isinstance(value, list | tuple)


def as_text(value: Json) -> str | None:
    """The value when it is a text that is not empty."""
    return value if isinstance(value, str) and value else None


def as_name(value: Json) -> str | None:
    """A text, or a number as text: what an id or a version may be."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def as_count(*values: Json) -> int | None:
    """The first of the values that is a whole number that is not negative."""
    for value in values:
        if isinstance(value, bool):
            continue
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, int) and 0 <= value < 2**63:
            return value
    return None


def as_cost(value: Json) -> Decimal | None:
    """An amount that is finite and not negative."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 and cost.adjusted() < 12 else None


def as_score(value: Json) -> float | None:
    """A finite number; booleans count as 1 and 0."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def unpacked(value: Json, times: int = 1) -> Json:
    """A text that is the JSON of an object, a list or a text, read; all else as it is.

    Args:
        value: what may be such a text.
        times: how often a text within a text is unpacked.
    """
    for _ in range(times):
        if not isinstance(value, str) or value[:1].strip() not in ("{", "[", '"'):
            return value
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if not isinstance(found, dict | list | str):
            return value
        value = found
    return value


def ns_of(value: Json) -> int | None:
    """Nanoseconds UTC of an ISO time; without an offset it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None


def iso_of(ns: int | None) -> str | None:
    """The ISO time of nanoseconds UTC, to the microsecond, with a `Z`."""
    if ns is None:
        return None
    moment = _EPOCH + timedelta(microseconds=ns // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def kind_of(word: Json, table: Mapping[str, RunKind] | None = None) -> RunKind | None:
    """The kind a source's word means: by the table, else the kind of that name."""
    said = str(word or "").lower()
    if table and said in table:
        return table[said]
    return RunKind(said) if said in set(RunKind) else None


def tree(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Runs in tree order, each id once: of two with one id the later."""
    return in_tree_order(list({run.run_id: run for run in runs}.values()))


def grouped(items: Sequence[Mapping[str, Json]], key: str) -> Iterator[tuple[str, list[Json]]]:
    """Objects that share the text under a key, groups in order of their first."""
    groups: dict[str, list[Json]] = {}
    for item in items:
        if name := as_name(item.get(key)):
            groups.setdefault(name, []).append(item)
    yield from groups.items()
