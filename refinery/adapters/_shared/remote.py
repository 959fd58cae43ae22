"""What adapters of services share: ids, times, counts and texts that are JSON."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from refinery.adapters._shared import reading
from refinery.adapters._shared.otel.spans import run_uuid
from refinery.adapters._shared.plain import as_name
from refinery.errors import TraceFormatError
from refinery.model.codec import decode, decode_run, encode, encode_run
from refinery.model.trace import Feedback, Json, Run, RunError, RunKind, Trace
from refinery.model.walk import in_tree_order
from refinery.safety.redact import redact

Labelled = tuple[Trace, tuple[Feedback, ...]]
"""A trace and what its source says of it."""

NAMESPACE = uuid.UUID("6d0f3a52-4f0e-5c5b-9a0e-0d2b7c1f9e44")
"""Namespace of ids made of ids that are no UUIDs; chosen once, never changed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPED = re.compile(
    r"([A-Za-z_][\w.]{0,200}(?:Error|Exception|Timeout|Interrupt|Exit)): ?(.*)\Z", re.DOTALL
)
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


def error_of(text: str) -> RunError:
    """The error a status text tells of: `SomeError: why`, a traceback, or just why."""
    head, found, rest = text.partition("Traceback (most recent call last)")
    stack = found + rest
    lines = [line for line in stack.splitlines() if line.strip()]
    message = head.strip() or (lines[-1].strip() if lines else "")
    if typed := _TYPED.match(message):
        return RunError(typed[1].rpartition(".")[2], typed[2].strip(), stack)
    return RunError("", message, stack)


def cleaned(labelled: Labelled) -> Labelled:
    """A trace and its feedback without secrets; ids and times stay."""
    trace, said = labelled
    told = redact([[encode_run(run) for run in trace.runs], [encode(item) for item in said]])[0]
    runs = (
        replace(decode_run(found), run_id=run.run_id, trace_id=run.trace_id)
        for run, found in zip(trace.runs, told[0], strict=True)
    )
    remarks = (
        replace(decode(Feedback, found), feedback_id=item.feedback_id, run_id=item.run_id)
        for item, found in zip(said, told[1], strict=True)
    )
    return replace(trace, runs=tuple(runs)), tuple(remarks)


def documents(path: Path) -> list[tuple[str, Json]]:
    """The JSON documents of a file, one or one a line, each with its place for errors.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it is no JSON.
    """
    text = reading.text(path)
    first, _, rest = text.strip().partition("\n")
    if rest and _is_json(first):
        return [(f"{path} line {number}", line) for number, line in reading.lines(path)]
    return [(str(path), reading.parse(text, str(path)))]


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Names the place in errors raised inside, also in those of values nobody expected.

    Raises:
        TraceFormatError: something inside could not be read.
    """
    try:
        yield
    except TraceFormatError as error:
        told = str(error)
        raise TraceFormatError(
            told if told.startswith(where) else f"{where}: {told}", hint=error.hint
        ) from error
    except RecursionError as error:
        raise TraceFormatError(f"{where}: nested too deeply", hint="correct the file") from error
