"""The LMDB + DuckDB debug store: one run a record, LMDB being the truth.

A session is `<name>.lmdb` (a folder) with `<name>.duckdb` beside it; given is either of them, or
the folder that holds sessions. DuckDB lacks records whose sync was skipped, so it is read only
when there is no LMDB. `timestamp` is the moment of writing, in UTC, which is when the work ended.
`parent_context` names a context, not a record: the parent is the record of that context whose
time covers the child, else the last one that had begun before the child ended.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from refinery.adapters._shared import foreign, native
from refinery.model.trace import CodeReference, Json, Run, RunError, RunKind, RunStatus, Trace
from refinery.model.walk import in_tree_order

SOURCE = "debugstore"
_DUCKDB_MAGIC = b"DUCK"
"""Bytes 8 to 11 of a DuckDB file (duckdb.org, "Storage versions and format")."""
_KINDS = {
    "tool": RunKind.TOOL,
    "workflow": RunKind.CHAIN,
    "step": RunKind.STEP,
    "node": RunKind.CHAIN,
    "llm": RunKind.LLM,
}
_LAYERS = ("tool", "workflow", "step", "node", "function")
_STATUS = {"success": RunStatus.OK, "error": RunStatus.ERROR, "timeout": RunStatus.ERROR}
_PLACED = frozenset(
    {
        *("id", "timestamp", "context_type", "context_name", "request_data", "response_data"),
        *("metadata", "duration_ms", "memory_mb", "cpu_percent", "status", "error"),
        *("code_snapshot", "code_hash", "parent_context"),
    }
)


def recognise(head: bytes, path: Path) -> bool:
    """Whether it is an LMDB folder, a folder of them, or a DuckDB file with `records`."""
    if path.is_dir():
        return bool(_sessions(path))
    if head[8:12] != _DUCKDB_MAGIC:
        return False
    return _twin(path).is_dir() or b"context_type" in head or b"pending_sync" in head


def read(path: Path) -> Iterator[Trace]:
    """The traces of a session, or of every session in a folder.

    Raises:
        PluginError: lmdb, msgpack or duckdb is missing.
        TraceFormatError: a store cannot be read.
    """
    for session in _sessions(path) or [path]:
        kind = "duckdb" if session.suffix == ".duckdb" else "lmdb"
        records = [record for _, record in native.rows(kind, session) if record.get("id")]
        yield from _traces(records, session.stem)


def _sessions(path: Path) -> list[Path]:
    """The stores behind a path: LMDB folders, and DuckDB files that have none."""
    if path.is_file():
        return [_twin(path)] if _is_lmdb(_twin(path)) else []
    if _is_lmdb(path):
        return [path]
    found = sorted(path.iterdir()) if path.is_dir() else []
    folders = [entry for entry in found if entry.suffix == ".lmdb" and _is_lmdb(entry)]
    alone = [e for e in found if e.suffix == ".duckdb" and _twin(e) not in folders]
    return [*folders, *alone] if folders else []


def _twin(path: Path) -> Path:
    return path.with_suffix(".lmdb")


def _is_lmdb(path: Path) -> bool:
    return (path / "data.mdb").is_file()


def _traces(records: Sequence[Mapping[str, Json]], session: str) -> Iterator[Trace]:
    """Records of one session as trees, in order of their first record."""
    runs = {run.run_id: run for run in (_run(record, session) for record in records)}
    parents = _parents(runs, records)
    roots = {run_id: _root(run_id, parents) for run_id in runs}
    for root in dict.fromkeys(roots.values()):
        members = [
            replace(run, trace_id=root, parent_id=parents.get(run_id))
            for run_id, run in runs.items()
            if roots[run_id] == root
        ]
        yield Trace(root, in_tree_order(members), SOURCE, project=None)


def _parents(runs: Mapping[str, Run], records: Sequence[Mapping[str, Json]]) -> dict[str, str]:
    """Parent of each run that has one among the records."""
    by_context: dict[str, list[Run]] = {}
    for record in records:
        run = runs[_id(record)]
        by_context.setdefault(str(record.get("context_id")), []).append(run)
    found: dict[str, str] = {}
    for record in records:
        child = runs[_id(record)]
        wanted = record.get("parent_context")
        others = [r for r in by_context.get(str(wanted), ()) if r.run_id != child.run_id]
        if wanted and others:
            found[child.run_id] = _best_parent(child, others).run_id
    return found


def _best_parent(child: Run, candidates: Sequence[Run]) -> Run:
    end = child.end_ns or 0
    covering = [r for r in candidates if (r.start_ns or 0) <= end <= (r.end_ns or 0)]
    begun = [r for r in candidates if (r.start_ns or 0) <= end]
    return max(covering or begun or candidates[:1], key=lambda run: run.start_ns or 0)


def _root(run_id: str, parents: dict[str, str]) -> str:
    """The top of a run's ancestors; a circle is cut where it would close."""
    seen = [run_id]
    while (above := parents.get(seen[-1])) is not None:
        if above in seen:
            del parents[seen[-1]]
            break
        seen.append(above)
    return seen[-1]


def _id(record: Mapping[str, Json]) -> str:
    return foreign.stable_id(SOURCE, record.get("timestamp"), record["id"])


def _run(record: Mapping[str, Json], session: str) -> Run:
    end = foreign.Clock(UTC, UTC).ns(record.get("timestamp"))
    kind = str(record.get("context_type") or "")
    metadata = foreign.object_of(foreign.json_of(record.get("metadata")), "metadata") or {}
    rest = {k: v for k, v in record.items() if k not in _PLACED and v is not None}
    duration_ms = foreign.number_of(record.get("duration_ms"))
    run = Run(
        run_id=_id(record),
        trace_id=_id(record),
        name=foreign.text_of(record.get("context_name")) or kind or "record",
        kind=_KINDS.get(kind, RunKind.CHAIN),
        native_kind=kind or None,
        start_ns=end - foreign.milliseconds(duration_ms) if end is not None else None,
        end_ns=end,
        status=_status(record),
        error=_error(record),
        inputs=foreign.object_of(foreign.json_of(record.get("request_data")), "input"),
        outputs=foreign.object_of(foreign.json_of(record.get("response_data")), "output"),
        model_requested=foreign.text_of(metadata.get("model")),
        session_id=session,
        layer=kind if kind in _LAYERS else None,
        metrics=_metrics(record, duration_ms),
        code=_code(record),
        metadata={
            **metadata,
            **rest,
            **_kept(record, "parent_context", "status", "code_snapshot"),
            "original_id": str(record["id"]),
        },
    )
    return foreign.finished(run)


def _status(record: Mapping[str, Json]) -> RunStatus:
    if record.get("error"):
        return RunStatus.ERROR
    return _STATUS.get(str(record.get("status")), RunStatus.UNKNOWN)


def _error(record: Mapping[str, Json]) -> RunError | None:
    if found := foreign.error_of(record.get("error")):
        return found
    said = str(record.get("status"))
    return RunError("", said) if said in ("error", "timeout") else None


def _metrics(record: Mapping[str, Json], duration_ms: float | None) -> dict[str, float] | None:
    memory = foreign.number_of(record.get("memory_mb"))
    named = {
        "wall_ms": duration_ms,
        "rss_bytes": memory * 2**20 if memory is not None else None,
        "cpu_percent": foreign.number_of(record.get("cpu_percent")),
    }
    return {name: float(value) for name, value in named.items() if value is not None} or None


def _code(record: Mapping[str, Json]) -> CodeReference | None:
    """The variant: SHA-256 of the source when it is kept, else the store's own hash."""
    snapshot = foreign.text_of(record.get("code_snapshot"))
    own = foreign.text_of(record.get("code_hash"))
    if snapshot is None and own is None:
        return None
    digest = hashlib.sha256(snapshot.encode()).hexdigest() if snapshot else own
    return CodeReference(variant=digest)


def _kept(record: Mapping[str, Json], *names: str) -> dict[str, Json]:
    held = {name: record.get(name) for name in (*names, "code_hash")}
    return {name: value for name, value in held.items() if value is not None}
