"""Runs as rows of the SQLite store: columns that can be asked for, and a line of JSON.

What a column holds exactly is left out of the line. A line that begins with a space was written
by `json`: it may hold whole numbers of more than 64 bits, which orjson would read as floats.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Any

from refinery.errors import StoreError
from refinery.model.codec import decode_run, encode, encode_run
from refinery.model.trace import CodeReference, Evaluation, Json, Run, RunError, Usage

try:
    import orjson
except ImportError:  # an optional speed-up: json of the standard library does the same job
    orjson = None  # type: ignore[assignment]  # absence is checked where it is used

MAX_TEXT = 8_000
"""Characters of each of a run's inputs and outputs that can be searched."""

TOKENS = 8
"""Position of the token count in `RunRow.columns`: derived, so never read back."""

COLUMNS = (
    "run_id",
    "trace_id",
    "parent_id",
    "name",
    "kind",
    "status",
    "start_ns",
    "end_ns",
    "tokens",
    "session_id",
    "user_id",
)
"""Columns of a run, in the order of `RunRow.columns`; the table has a trace's number instead
of its id."""

_FIELDS = tuple(field.name for field in fields(Run))
_values = attrgetter(*_FIELDS)
_PLACES = tuple((at, name) for at, name in enumerate(COLUMNS) if name != "tokens")
_IN_COLUMNS = frozenset(name for _, name in _PLACES)
_INT64 = 2**63
_SMALL = (CodeReference, Evaluation, RunError, Usage)
"""Parts of a run whose absent fields need no null."""

_OF_JSON = b" "


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of the table `runs` without its numbers, and its line of the payload."""

    columns: tuple[Any, ...]
    """Values of `COLUMNS`."""
    line: bytes


def to_row(run: Run) -> RunRow:
    """The row of a run."""
    given = dict(zip(_FIELDS, _values(run), strict=True))
    row = _fast_row(given) if orjson is not None else None
    if row is not None:
        return row
    encoded = encode_run(run)
    columns = _columns(encoded)
    line = json.dumps(_rest(encoded, columns), ensure_ascii=False, separators=(",", ":"))
    return RunRow(columns, _OF_JSON + line.encode())


def _fast_row(given: dict[str, Any]) -> RunRow | None:
    """The row of a run that needs no care; None when orjson cannot write it, or not exactly."""
    kind, status = given["kind"], given["status"]
    given["kind"] = kind and str(kind)
    given["status"] = status and str(status)
    columns = _columns(given)
    rest = _rest(given, columns)
    try:
        for text in columns:
            if type(text) is str and not text.isascii():
                text.encode()
        line = orjson.dumps(rest, _part, _OPTIONS)
    except (TypeError, ValueError, RecursionError):
        return None
    if b"null" in line and not _is_finite(rest):  # orjson writes what is not a number as null
        return None
    return RunRow(columns, line)


if orjson is not None:
    _OPTIONS = (
        orjson.OPT_PASSTHROUGH_DATACLASS
        | orjson.OPT_PASSTHROUGH_DATETIME
        | orjson.OPT_PASSTHROUGH_SUBCLASS
    )


def _part(value: Any) -> Json:
    """What orjson is told to write instead of a value it does not know."""
    if type(value) in _SMALL:
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: item for name, item in pairs if item is not None}
    return encode(value)


def _is_finite(value: Any) -> bool:
    """Whether no number in it is infinite or not a number."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, float):
            if item - item != 0:
                return False
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif is_dataclass(item):
            waiting.extend(getattr(item, field.name) for field in fields(item))
    return True


def _columns(given: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        given["run_id"],
        given["trace_id"],
        _text(given.get("parent_id")),
        _text(given.get("name")),
        _text(given.get("kind")),
        _text(given.get("status")),
        column_int(given.get("start_ns")),
        column_int(given.get("end_ns")),
        _total_tokens(given.get("usage")),
        _text(given.get("session_id")),
        _text(given.get("user_id")),
    )


def _rest(given: Mapping[str, Any], columns: tuple[Any, ...]) -> dict[str, Any]:
    """Fields that no column holds."""
    rest = {
        name: value
        for name, value in given.items()
        if value is not None and name not in _IN_COLUMNS
    }
    for at, name in _PLACES:
        if columns[at] is None and (value := given.get(name)) is not None:
            rest[name] = value
    return rest


def to_run(columns: tuple[Any, ...], line: bytes, is_exact: bool = False) -> Run:
    """The run of a row.

    Args:
        columns: values of `COLUMNS`.
        line: its line of the payload.
        is_exact: whether the line may hold whole numbers of any size.

    Raises:
        StoreError: the row is damaged.
    """
    try:
        encoded = _loads(line, is_exact)
        for at, name in _PLACES:
            if (value := columns[at]) is not None:
                encoded[name] = value
        return decode_run(encoded)
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"a run in the trace store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error


def _loads(line: bytes, is_exact: bool) -> dict[str, Json]:
    if orjson is None or is_exact or line[:1] == _OF_JSON:
        encoded = json.loads(line)
    else:
        encoded = orjson.loads(line)
    if not isinstance(encoded, dict):
        raise ValueError("a run must be an object")
    return encoded


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def column_int(value: Any) -> int | None:
    """An integer SQLite can hold; None for anything else."""
    return value if type(value) is int and -_INT64 <= value < _INT64 else None


def _total_tokens(usage: Any) -> int | None:
    if usage is None:
        return None
    if isinstance(usage, Usage):
        total, read, written = usage.total, usage.input, usage.output
    else:
        total, read, written = usage.get("total"), usage.get("input"), usage.get("output")
    if total is None and (read is not None or written is not None):
        total = (read or 0) + (written or 0)
    return column_int(total)


def searchable(name: str | None, line: bytes, is_exact: bool = False) -> str:
    """Name, error, inputs and outputs of a run as one text, the last two bounded.

    The text depends on nothing else: taking a run out of the index needs the text it was put
    in with. A change of this function needs a migration that empties the index.
    """
    parts = [name or ""]
    try:
        encoded = _loads(line, is_exact)
    except (ValueError, RecursionError):  # a damaged run is told of when it is read
        encoded = {}
    error = encoded.get("error")
    if isinstance(error, dict):
        parts += [str(error.get("type")), str(error.get("message"))[:MAX_TEXT]]
    for part in ("inputs", "outputs"):
        room = MAX_TEXT
        for text in _strings(encoded.get(part)):
            parts.append(text[:room])
            room -= len(text) + 1
            if room <= 0:
                break
    # FTS5 reads C strings: what stands behind a NUL would not be found.
    text = "\n".join(parts).replace("\0", " ")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _strings(value: Json) -> Iterable[str]:
    """Every string inside a JSON value in document order; keys are not included."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
