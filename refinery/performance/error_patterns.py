"""Errors by pattern: messages that differ only in ids, numbers, paths and quoted text are one.

An error that is raised on to the runs above is counted where it came up alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from refinery.performance.frames import Frame
from refinery.performance.sql import Reader

MAX_MESSAGES = 50_000
"""Most different messages that are looked at, the most frequent first."""
MAX_CHARACTERS = 300
"""Length of a pattern."""

_REPLACED = (
    (r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", "<url>"),
    (r"[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+", "<email>"),
    (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
    (r"\b\d{4}-\d\d-\d\d\b", "<date>"),
    (r"0x[0-9a-fA-F]+", "<address>"),
    (r"'[^'\n]{1,200}'", "'<text>'"),
    (r'"[^"\n]{1,200}"', '"<text>"'),
    (r"`[^`\n]{1,200}`", "`<text>`"),
    (r"(?:/[\w.@%+-]+){2,}/?", "<path>"),
    (r"\b(?:req|call|run|chatcmpl|msg|toolu)_[A-Za-z0-9]{6,}\b", "<id>"),
    (r"\b[0-9a-fA-F]*[0-9][0-9a-fA-F]{11,}\b", "<id>"),
    (r"[-+]?\b\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?", "<n>"),
    (r"\s+", " "),
)


@dataclass(frozen=True, slots=True)
class ErrorPattern:
    """Errors that look alike."""

    type: str
    pattern: str
    count: int
    traces: int
    """At most this many different traces: those of each message are added up."""
    names: tuple[str, ...]
    """Names of the runs it came up in, the most frequent first, at most five."""
    first_ns: int | None
    last_ns: int | None
    example: str
    """One message as it was, the latest."""
    example_trace: str
    example_run: str


@cache
def _compiled() -> tuple[tuple[Any, str], ...]:
    import re2

    return tuple((re2.compile(pattern), mark) for pattern, mark in _REPLACED)


def normalised(message: str) -> str:
    """A message with everything that varies replaced by what sort of thing it is."""
    text = message[: MAX_CHARACTERS * 10].partition("\n")[0]
    for pattern, mark in _compiled():
        text = pattern.sub(mark, text)
    return text.strip()[:MAX_CHARACTERS]


_SQL = """WITH failed AS (SELECT * FROM runs WHERE status = 'error' AND {where})
SELECT coalesce(error_type, ''), coalesce(error_message, ''), coalesce(name, ''),
    count(*), count(DISTINCT trace_id), min(start_ns), max(start_ns),
    arg_max(trace_id, coalesce(start_ns, 0)), arg_max(run_id, coalesce(start_ns, 0))
FROM failed WHERE NOT EXISTS (
    SELECT 1 FROM failed AS below WHERE below.parent_id = failed.run_id
        AND below.error_type IS NOT DISTINCT FROM failed.error_type
        AND below.error_message IS NOT DISTINCT FROM failed.error_message)
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT {limit}"""


def error_patterns(reader: Reader, frame: Frame, limit: int = 50) -> list[ErrorPattern]:
    """Patterns of the errors in a frame, the most frequent first."""
    where, parameters = frame.where()
    found = reader.query(_SQL.format(where=where, limit=MAX_MESSAGES), parameters)
    grouped: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in found:
        grouped.setdefault((row[0], normalised(row[1])), []).append(row)
    patterns = [_pattern(key, rows) for key, rows in grouped.items()]
    return sorted(patterns, key=lambda one: (-one.count, one.type, one.pattern))[:limit]


def _pattern(key: tuple[str, str], rows: list[tuple[Any, ...]]) -> ErrorPattern:
    latest = max(rows, key=lambda row: row[6] or 0)
    counted: dict[str, int] = {}
    for row in rows:
        counted[row[2]] = counted.get(row[2], 0) + row[3]
    return ErrorPattern(
        type=key[0],
        pattern=key[1],
        count=sum(row[3] for row in rows),
        traces=sum(row[4] for row in rows),
        names=tuple(sorted(counted, key=lambda name: (-counted[name], name))[:5]),
        first_ns=_least(row[5] for row in rows),
        last_ns=latest[6],
        example=latest[1],
        example_trace=latest[7],
        example_run=latest[8],
    )


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)
