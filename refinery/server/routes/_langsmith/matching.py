"""Whether a run fits a filter.

A comparison with something the run does not have is false, except `neq` and comparisons with
null. Fields that occur several times in a run (`metadata_key`, `feedback_score`, …) match when
one entry does; inside one `and`, comparisons about the same sort of entry must fit the same one,
and a second `…_key` begins with the next entry. `neq` of such a field alone means "no entry is".
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Protocol

from refinery.adapters._shared import langsmith_documents as documents
from refinery.adapters._shared.langsmith_tree import TraceShape, project_id, public_id
from refinery.model.trace import Feedback, Json, Run
from refinery.model.walk import strings
from refinery.server.routes._langsmith.grammar import Comparison, Expression, Group, Search, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = frozenset({"start_time", "end_time", "first_token_time"})
_DURATIONS = frozenset({"latency", "first_token_latency"})
_IDS = frozenset({"id", "trace_id", "parent_run_id", "session_id"})
_ENTRY_FIELDS = {
    **dict.fromkeys(("metadata_key", "metadata_value"), "metadata"),
    **dict.fromkeys(("input_key", "input_value"), "input"),
    **dict.fromkeys(("output_key", "output_value"), "output"),
    **{f"feedback_{name}": "feedback" for name in ("key", "score", "value", "comment", "source")},
}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*(ms|s|m|h|d)")
_MAX_ENTRIES = 5_000
_MAX_ENTRY_DEPTH = 6
_MAX_PATTERN_CHARS = 1_000


class Around(Protocol):
    """What is known around runs."""

    def shape(self, run: Run) -> TraceShape:
        """The tree the run is in."""
        ...

    def feedback(self, run: Run) -> Sequence[Feedback]:
        """What was said of the run; of the whole trace, when it is the root."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """One run a filter is asked about."""

    run: Run
    project: str | None
    around: Around


def fits(expression: Expression, subject: Subject) -> bool:
    """Whether the run fits the filter."""
    if isinstance(expression, Search):
        return _occurs(expression, subject.run)
    if isinstance(expression, Comparison):
        if kind := _ENTRY_FIELDS.get(expression.field):
            return _entry_fits(kind, [expression], subject)
        return _compare(expression, _field(expression.field, subject))
    if expression.operator == "not":
        return not fits(expression.parts[0], subject)
    if expression.operator == "or":
        return any(fits(part, subject) for part in expression.parts)
    return _all_fit(expression, subject)


def _all_fit(group: Group, subject: Subject) -> bool:
    together: dict[str, list[list[Comparison]]] = {}
    for part in group.parts:
        kind = _ENTRY_FIELDS.get(part.field) if isinstance(part, Comparison) else None
        if kind is None or not isinstance(part, Comparison):
            if not fits(part, subject):
                return False
            continue
        entries = together.setdefault(kind, [[]])
        if part.field.endswith("_key") and any(one.field == part.field for one in entries[-1]):
            entries.append([])
        entries[-1].append(part)
    return all(
        _entry_fits(kind, parts, subject)
        for kind, entries in together.items()
        for parts in entries
    )


def _entry_fits(kind: str, parts: Sequence[Comparison], subject: Subject) -> bool:
    entries = _entries(kind, subject)
    if len(parts) == 1 and parts[0].operator == "neq":
        same = Comparison("eq", parts[0].field, parts[0].value)
        return not any(_compare(same, entry.get(same.field)) for entry in entries)
    return any(all(_compare(part, entry.get(part.field)) for part in parts) for entry in entries)


def _entries(kind: str, subject: Subject) -> Iterator[dict[str, Json]]:
    if kind == "feedback":
        for item in subject.around.feedback(subject.run):
            yield {
                "feedback_key": item.key,
                "feedback_score": item.score,
                "feedback_value": item.value,
                "feedback_comment": item.comment,
                "feedback_source": item.source,
            }
        return
    run = subject.run
    held = {"metadata": run.metadata, "input": run.inputs, "output": run.outputs}[kind]
    for key, value in islice(_flat(held, "", 0), _MAX_ENTRIES):
        yield {f"{kind}_key": key, f"{kind}_value": value}


def _flat(value: Json, prefix: str, depth: int) -> Iterator[tuple[str, Json]]:
    """Every entry of an object, those of objects inside it with dotted keys."""
    if not isinstance(value, Mapping) or depth > _MAX_ENTRY_DEPTH:
        return
    for key, item in value.items():
        name = f"{prefix}{key}"
        yield name, item
        yield from _flat(item, f"{name}.", depth + 1)


def _field(name: str, subject: Subject) -> Json:
    run = subject.run
    if name in _PLAIN:
        return _PLAIN[name](run)
    if name == "session_id":
        return project_id(subject.project)
    shape = subject.around.shape(run)
    if name == "dotted_order":
        return shape.dotted_order(run)
    totals = shape.totals(run)
    return {
        "total_tokens": totals.total,
        "prompt_tokens": totals.input,
        "completion_tokens": totals.output,
        "total_cost": None if totals.cost_usd is None else float(totals.cost_usd),
    }[name]


def _whole(ns: int | None) -> int | None:
    """Nanoseconds cut to microseconds, as documents tell them."""
    return None if ns is None else ns // 1000 * 1000


def _seconds(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / 1e9


_PLAIN: dict[str, Callable[[Run], Json]] = {
    "id": lambda run: public_id(run.run_id),
    "trace_id": lambda run: public_id(run.trace_id),
    "parent_run_id": lambda run: public_id(run.parent_id) if run.parent_id else None,
    "thread_id": lambda run: run.session_id,
    "reference_example_id": lambda run: None,
    "name": lambda run: run.name,
    "run_type": documents.run_type,
    "status": documents.status,
    "error": documents.error_text,
    "is_root": lambda run: run.parent_id is None,
    "tags": lambda run: run.tags or [],
    "start_time": lambda run: _whole(run.start_ns),
    "end_time": lambda run: _whole(run.end_ns),
    "latency": lambda run: _seconds(run.start_ns, run.end_ns),
    "first_token_time": lambda run: _whole(run.first_token_ns),
    "first_token_latency": lambda run: _seconds(run.start_ns, run.first_token_ns),
    "metadata": lambda run: run.metadata or {},
    "inputs": lambda run: run.inputs,
    "outputs": lambda run: run.outputs,
}


def _compare(part: Comparison, held: Json) -> bool:
    if part.operator == "has":
        return _has(held, part.value)
    if isinstance(held, list):
        return _compare_list(part, held)
    if part.operator == "in":
        values = part.value if isinstance(part.value, tuple) else (part.value,)
        return any(_same(part.field, held, value) for value in values)
    if part.operator == "neq":
        return not _same(part.field, held, part.value)
    if part.operator == "eq":
        return _same(part.field, held, part.value)
    if part.operator == "like":
        return _like(_text(held), part.value)
    return _ordered(part, held)


def _compare_list(part: Comparison, held: list[Json]) -> bool:
    """A list of tags fits when one of them does; `neq` when none is."""
    if part.operator == "neq":
        return not any(_same(part.field, one, part.value) for one in held)
    return any(not isinstance(one, list) and _compare(part, one) for one in held)


def _ordered(part: Comparison, held: Json) -> bool:
    ours, theirs = _number(held), _operand(part.field, part.value)
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        order = (ours > theirs) - (ours < theirs)
    elif isinstance(held, str) and isinstance(part.value, str):
        order = (held > part.value) - (held < part.value)
    else:
        return False
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[part.operator]


def _same(field: str, held: Json, wanted: Value) -> bool:
    if held is None or wanted is None:
        return held is wanted
    if isinstance(held, bool) or isinstance(wanted, bool):
        return _text(held).lower() == _text(wanted).lower()
    if field in _IDS and isinstance(wanted, str):
        return bool(held == public_id(wanted))
    if field in _TIMES or field in _DURATIONS:
        return bool(held == _operand(field, wanted))
    if field in ("run_type", "status"):
        return _text(held).lower() == _text(wanted).lower()
    if isinstance(held, int | float) and isinstance(wanted, int | float):
        return held == wanted
    return _text(held) == _text(wanted)


def _operand(field: str, wanted: Value) -> float | int | None:
    """The number a value means for a field: nanoseconds of a time, seconds of a duration."""
    if field in _TIMES:
        return nanoseconds(wanted)
    if field in _DURATIONS and isinstance(wanted, str) and (told := _DURATION.fullmatch(wanted)):
        return float(told[1]) * _UNITS[told[2]]
    return _number(wanted)


@lru_cache(maxsize=256, typed=True)
def nanoseconds(value: Json) -> int | None:
    """A time given as ISO text (UTC when it has no offset) or in seconds since the epoch."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1_000_000_000) if abs(value) < 1e11 else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None


def _number(value: Json) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        return float(value) if isinstance(value, str) and len(value) < 40 else None
    except ValueError:
        return None


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _has(held: Json, wanted: Value) -> bool:
    """Whether a list holds a value, an object the entries of an object in JSON, a text a text."""
    if isinstance(held, list):
        return wanted in held
    if isinstance(held, Mapping) and isinstance(wanted, str):
        try:
            entries = json.loads(wanted)
        except (ValueError, RecursionError):
            return wanted in held
        if isinstance(entries, dict):
            return all(name in held and held[name] == value for name, value in entries.items())
        return wanted in held
    return isinstance(held, str) and isinstance(wanted, str) and wanted in held


@lru_cache(maxsize=64)
def _pieces(text: str) -> tuple[re.Pattern[str], ...]:
    """The pattern between its `%`; without repetition none of them can take long."""
    return tuple(
        re.compile("".join("." if c == "_" else re.escape(c) for c in piece), re.I | re.S)
        for piece in text.split("%")
    )


def _like(held: str, wanted: Value) -> bool:
    """SQL's LIKE, letters alike: `%` any text, `_` any character."""
    if not isinstance(wanted, str) or len(wanted) > _MAX_PATTERN_CHARS:
        return False
    first, *rest = _pieces(wanted)
    if not rest:
        return first.fullmatch(held) is not None
    found = first.match(held)
    for piece in rest[:-1]:
        found = piece.search(held, found.end()) if found else None
    if found is None:
        return False
    # A piece without repetition matches as many characters as it was written with.
    length = len(wanted) - wanted.rfind("%") - 1
    at = len(held) - length
    return at >= found.end() and rest[-1].fullmatch(held, at) is not None


def _occurs(search: Search, run: Run) -> bool:
    """Whether every word occurs somewhere in the run, letters alike."""
    words = search.text.casefold().split()
    if not words:
        return True
    missing = set(words)
    for text in _texts(search.field, run):
        folded = text.casefold()
        missing = {word for word in missing if word not in folded}
        if not missing:
            return True
    return False


def _texts(field: str | None, run: Run) -> Iterator[str]:
    parts: dict[str, Json] = {
        "name": run.name,
        "error": documents.error_text(run),
        "inputs": run.inputs,
        "outputs": run.outputs,
        "tags": run.tags,
        "metadata": run.metadata,
    }
    for name, value in parts.items():
        if field in (None, name):
            for _, text in strings(value):
                yield text
