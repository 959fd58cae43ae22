"""Runs as rows of the DuckDB copy: columns as they are, and what their lines of JSON hold."""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from refinery.model.trace import TIMELESS_SOURCES, Feedback, Json
from refinery.stores._shared import analytics, layout


def run_row(
    number: int, columns: Sequence[Any], line: bytes, about: tuple[str, str | None]
) -> tuple[Any, ...]:
    """The row of a run.

    Args:
        number: of the run in its store.
        columns: values of `layout.COLUMNS`.
        line: what no column holds, as JSON.
        about: source and project of its trace.
    """
    said = _loads(line)
    usage, error, code = (_object(said.get(one)) for one in ("usage", "error", "code"))
    metrics = _object(said.get("metrics"))
    start, end = columns[6], columns[7]
    return (
        number,
        *(text(value) for value in columns[:5]),
        text(said.get("layer")),
        text(columns[5]),
        start,
        end,
        None if about[0] in TIMELESS_SOURCES else _duration_ms(start, end, metrics),
        text(columns[9]),
        text(columns[10]),
        text(about[1]),
        text(about[0]),
        text(said.get("provider")),
        text(said.get("model_responded") or said.get("model_requested")),
        layout.column_int(usage.get("input")),
        layout.column_int(usage.get("output")),
        columns[8],
        finite(said.get("cost_usd")),
        text(error.get("type")),
        text(error.get("message")),
        *(text(code.get(name)) for name in ("variant", "module", "qualname", "file")),
        layout.column_int(code.get("line")),
        text(code.get("commit")),
        *(finite(metrics.get(name)) for name in list(analytics.RUNS)[-8:-3]),
        json_text(said.get("inputs")),
        json_text(said.get("outputs")),
        fingerprint(columns, line, about),
    )


def feedback_row(number: int, item: Feedback) -> tuple[Any, ...]:
    """The row of feedback."""
    return (
        number,
        text(item.feedback_id),
        text(item.trace_id),
        text(item.run_id),
        text(item.key),
        finite(item.score),
        json_text(item.value),
        text(item.comment),
        text(item.source),
        layout.column_int(item.created_ns),
    )


def fingerprint(columns: Sequence[Any], line: bytes, about: tuple[str, str | None]) -> int:
    """64 bits that change when anything a store holds of a run does."""
    import hashlib

    said = repr((tuple(columns), about)).encode("utf-8", "replace")
    digest = hashlib.blake2b(said + b"\0" + line, digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _loads(line: bytes) -> dict[str, Json]:
    try:
        found = json.loads(line) if line[:1] == b" " else _quick(line)
    except (ValueError, RecursionError):  # a damaged run is told of when it is read
        return {}
    return found if isinstance(found, dict) else {}


def _quick(line: bytes) -> Json:
    try:
        import orjson
    except ImportError:  # an optional speed-up
        return json.loads(line)
    return orjson.loads(line)


def _duration_ms(start: Any, end: Any, metrics: Mapping[str, Json]) -> float | None:
    """Milliseconds from start to end; the measured wall time when the clock was set back."""
    if start is None or end is None:
        return None
    if end < start:
        return finite(metrics.get("wall_ms"))
    return float(end - start) / 1e6


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def text(value: Json) -> str | None:
    """A text as DuckDB takes it, bounded; None for anything else."""
    if not isinstance(value, str):
        return None
    cut = value[: analytics.MAX_TEXT]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def finite(value: Json) -> float | None:
    """A number that is finite; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(Decimal(value))
        except (InvalidOperation, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def json_text(value: Json) -> str | None:
    """A value as JSON text, cut after `analytics.MAX_TEXT` characters."""
    if value is None:
        return None
    try:
        import orjson

        written = orjson.dumps(value).decode()
    except (ImportError, TypeError, ValueError):
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text(written)
