"""Runs as rows of the SQLite store: payloads, searchable text, summary columns."""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from refinery.errors import StoreError
from refinery.model.codec import decode_run, encode_run
from refinery.model.trace import Json, Run

try:
    import zstandard
except ImportError:  # an optional speed-up: zlib of the standard library does the same job
    zstandard = None  # type: ignore[assignment]  # absence is checked where it is used

PLAIN, ZLIB, ZSTD = 0, 1, 2
"""Codecs of a payload; each row says its own."""

COMPRESS_FROM_BYTES = 512
"""Smaller payloads stay as they are: compressing them saves nothing (chosen by us)."""

MAX_PAYLOAD_BYTES = 256 * 2**20
"""Most one payload may unfold to; guards against a tampered file."""

MAX_TEXT = 8_000
"""Characters of each of a run's inputs and outputs that can be searched."""

_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of the table `runs`, without its number, and the text to be searched."""

    columns: tuple[Any, ...]
    text: str


RUN_COLUMNS = (
    "run_id, trace_id, parent_id, name, kind, status, start_ns, end_ns, tokens, session_id, "
    "user_id, codec, body"
)


def to_row(run: Run) -> RunRow:
    """The row of a run."""
    encoded = encode_run(run)
    codec, body = pack(json.dumps(encoded, ensure_ascii=False, separators=(",", ":")).encode())
    columns = (
        encoded["run_id"],
        encoded["trace_id"],
        encoded.get("parent_id"),
        encoded.get("name"),
        encoded.get("kind"),
        encoded.get("status"),
        column_int(encoded.get("start_ns")),
        column_int(encoded.get("end_ns")),
        column_int(_total_tokens(encoded.get("usage"))),
        encoded.get("session_id"),
        encoded.get("user_id"),
        codec,
        body,
    )
    return RunRow(columns, _searchable(encoded))


def to_run(codec: int, body: bytes) -> Run:
    """The run of a row.

    Raises:
        StoreError: the payload is damaged, or its codec's library is missing.
    """
    try:
        return decode_run(json.loads(unpack(codec, body)))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"a run in the trace store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error


def pack(payload: bytes) -> tuple[int, bytes]:
    """A payload as it is stored: (codec, bytes)."""
    if len(payload) < COMPRESS_FROM_BYTES:
        return PLAIN, payload
    if zstandard is not None:
        return ZSTD, zstandard.ZstdCompressor(level=3).compress(payload)
    return ZLIB, zlib.compress(payload, 6)


def unpack(codec: int, body: bytes) -> bytes:
    """The payload of a row.

    Raises:
        ValueError: the bytes are damaged or unfold to more than `MAX_PAYLOAD_BYTES`.
        StoreError: the codec's library is not installed.
    """
    if codec == PLAIN:
        return body
    if codec == ZLIB:
        return _inflate(body)
    if codec != ZSTD:
        raise ValueError(f"unknown codec {codec}")
    if zstandard is None:
        raise StoreError(
            "this trace store was compressed with zstandard, which is not installed",
            hint="pip install zstandard",
        )
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= MAX_PAYLOAD_BYTES:
            raise ValueError("a payload has an impossible size")
        return zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _inflate(body: bytes) -> bytes:
    try:
        unfolding = zlib.decompressobj()
        payload = unfolding.decompress(body, MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unfolding.eof:
        raise ValueError("a payload is cut off or too large")
    return payload


def column_int(value: Any) -> int | None:
    """An integer SQLite can hold; None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and -_INT64 <= value < _INT64 else None


def _total_tokens(usage: Json) -> int | None:
    if not isinstance(usage, Mapping):
        return None
    if usage.get("total") is not None:
        return int(usage["total"])
    parts = [usage[name] for name in ("input", "output") if usage.get(name) is not None]
    return sum(parts) if parts else None


def _searchable(encoded: Mapping[str, Json]) -> str:
    """Name, error, inputs and outputs of a run as one text, the last two bounded."""
    parts = [str(encoded.get("name") or "")]
    if error := encoded.get("error"):
        parts += [str(error.get("type")), str(error.get("message"))[:MAX_TEXT]]
    for name in ("inputs", "outputs"):
        room = MAX_TEXT
        for text in _strings(encoded.get(name)):
            parts.append(text[:room])
            room -= len(text) + 1
            if room <= 0:
                break
    # FTS5 reads C strings: what stands behind a NUL would not be found.
    return "\n".join(parts).replace("\0", " ")


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


@dataclass(frozen=True, slots=True)
class RunColumns:
    """What the summary of a trace needs of each run."""

    number: int
    run_id: str
    parent_id: str | None
    name: str | None
    kind: str | None
    status: str | None
    start_ns: int | None
    end_ns: int | None
    tokens: int | None
    session_id: str | None
    user_id: str | None


def summarise(trace_id: str, runs: list[RunColumns]) -> dict[str, Any]:
    """Columns of the table `traces` for a trace, from its runs in order of arrival."""
    root = _root(trace_id, runs)
    starts = [run.start_ns for run in runs if run.start_ns is not None]
    ends = [run.end_ns for run in runs if run.end_ns is not None]
    first = root.start_ns if root.start_ns is not None else min(starts, default=None)
    last = root.end_ns
    if last is None and root.parent_id is not None and len(ends) == len(runs):
        last = max(ends)
    return {
        "name": root.name or "",
        "status": root.status or "unknown",
        "runs": len(runs),
        "errors": sum(run.status == "error" for run in runs),
        "start_ns": first,
        "end_ns": last,
        "session_id": _first([root.session_id, *(run.session_id for run in runs)]),
        "user_id": _first([root.user_id, *(run.user_id for run in runs)]),
        "total_tokens": column_int(_tokens_of_leaves(runs)),
    }


def _root(trace_id: str, runs: list[RunColumns]) -> RunColumns:
    by_id = next((run for run in runs if run.run_id == trace_id), None)
    orphan = next((run for run in runs if run.parent_id is None), None)
    return by_id or orphan or runs[0]


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _tokens_of_leaves(runs: list[RunColumns]) -> int | None:
    """Tokens of model calls that hold no model call with tokens: SDKs repeat them in parents."""
    parents = {run.run_id: run.parent_id for run in runs}
    counted = [run for run in runs if run.kind in ("llm", "embedding") and run.tokens is not None]
    covering: set[str] = set()
    for run in counted:
        above = run.parent_id
        while above is not None and above not in covering:
            covering.add(above)
            above = parents.get(above)
    leaves = [run.tokens or 0 for run in counted if run.run_id not in covering]
    return sum(leaves) if leaves else None
