"""DecisionTraceX's SQLite file: traces of steps with reasoning and evaluations.

Tables: `traces` (trace_id, name, start_time, end_time, duration_ms, metadata, status, created_at)
and `steps` (step_id, trace_id, name, input, output, reasoning, metadata, start_time, end_time,
duration_ms, status, error, step_order); steps are flat. Times are naive and local to the program
that wrote them, while `created_at` is SQLite's own clock in UTC and is set when a trace is last
saved, just after its end: their difference tells the offset when no zone is given.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path

from refinery.adapters._shared import foreign, sqlite_files
from refinery.model.trace import Evaluation, Json, Run, RunKind, RunStatus, Trace, Usage

SOURCE = "decisiontracex"
NEEDS_TIMEZONE = True
_STATUS = {
    "running": RunStatus.RUNNING,
    "completed": RunStatus.OK,
    "failed": RunStatus.ERROR,
}


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file is a SQLite file with the tables `traces` and `steps`."""
    if not sqlite_files.is_sqlite(head):
        return False
    tables = sqlite_files.columns(path)
    steps = tables.get("steps", frozenset())
    return {"step_id", "trace_id", "step_order"} <= steps and "traces" in tables


def read(path: Path, timezone: tzinfo | None = None) -> Iterator[Trace]:
    """The traces of a file, by their order in it.

    Args:
        path: the file; a `-wal` file beside it is read with it.
        timezone: zone of the times; None: drawn from `created_at`, else this machine's.

    Raises:
        InputError: the file cannot be read.
        TraceFormatError: it is damaged.
    """
    with sqlite_files.opened(path) as connection:
        rows = list(connection.execute("SELECT * FROM traces ORDER BY rowid"))
        clock = _clock(rows, timezone)
        for row in rows:
            steps = connection.execute(
                "SELECT * FROM steps WHERE trace_id = ? ORDER BY step_order, rowid",
                (row["trace_id"],),
            ).fetchall()
            yield _trace(row, steps, clock)


def _clock(rows: Sequence[Mapping[str, Json]], timezone: tzinfo | None) -> foreign.Clock:
    found = [gap for row in rows if (gap := _gap_s(row)) is not None]
    if found:
        zone = foreign.offset(statistics.median(found))
        return foreign.Clock(timezone, zone, "drawn from created_at, which is UTC")
    return foreign.Clock(timezone, foreign.local_zone())


def _gap_s(row: Mapping[str, Json]) -> float | None:
    """Seconds by which the program's clock is ahead of UTC, as one trace shows it."""
    try:
        local = datetime.fromisoformat(str(row.get("end_time") or row.get("start_time")))
        saved = datetime.fromisoformat(str(row.get("created_at")))
    except ValueError:
        return None
    if local.tzinfo is not None or saved.tzinfo is not None:
        return None
    gap = (local - saved).total_seconds()
    return gap if abs(gap) <= 15 * 3600 else None


def _trace(
    row: Mapping[str, Json], steps: Sequence[Mapping[str, Json]], clock: foreign.Clock
) -> Trace:
    trace_id = foreign.stable_id(SOURCE, row.get("start_time"), row["trace_id"])
    children = [_step(step, trace_id, clock) for step in steps]
    status = _STATUS.get(str(row.get("status")), RunStatus.UNKNOWN)
    failed = next((run.error for run in children if run.error), None)
    metadata = foreign.object_of(foreign.json_of(row.get("metadata")), "metadata") or {}
    root = Run(
        run_id=trace_id,
        trace_id=trace_id,
        name=foreign.text_of(row.get("name")) or "trace",
        kind=RunKind.CHAIN,
        native_kind="trace",
        start_ns=clock.ns(row.get("start_time")),
        end_ns=clock.ns(row.get("end_time")),
        status=status,
        error=failed if status is RunStatus.ERROR else None,
        inputs=children[0].inputs if children else None,
        outputs=children[-1].outputs if children else None,
        session_id=foreign.text_of(metadata.get("session_id")),
        user_id=foreign.text_of(metadata.get("user_id")),
        metadata={**metadata, "original_id": str(row["trace_id"])},
    )
    return Trace(trace_id, (foreign.finished(root, clock), *children), SOURCE)


def _step(row: Mapping[str, Json], trace_id: str, clock: foreign.Clock) -> Run:
    metadata = foreign.object_of(foreign.json_of(row.get("metadata")), "metadata") or {}
    told = metadata.get("llm")
    model: Mapping[str, Json] = told if isinstance(told, Mapping) else {}
    tokens = foreign.count_of(model.get("tokens_used"))
    params = {k: v for k, v in model.items() if k not in ("model", "tokens_used")}
    run = Run(
        run_id=foreign.stable_id(SOURCE, trace_id, row["step_id"]),
        trace_id=trace_id,
        parent_id=trace_id,
        name=foreign.text_of(row.get("name")) or "step",
        kind=RunKind.STEP,
        native_kind="step",
        start_ns=clock.ns(row.get("start_time")),
        end_ns=clock.ns(row.get("end_time")),
        status=_STATUS.get(str(row.get("status")), RunStatus.UNKNOWN),
        error=foreign.error_of(row.get("error")),
        inputs=foreign.object_of(foreign.json_of(row.get("input")), "input"),
        outputs=foreign.object_of(foreign.json_of(row.get("output")), "output"),
        model_requested=foreign.text_of(model.get("model")),
        params=params or None,
        usage=Usage(total=tokens) if tokens is not None else None,
        reasoning=foreign.text_of(row.get("reasoning")),
        evaluations=_evaluations(metadata.get("evaluations")),
        layer="step",
        metadata={
            **metadata,
            "original_id": str(row["step_id"]),
            "step_order": row.get("step_order"),
        },
    )
    return foreign.finished(run)


def _evaluations(value: Json) -> list[Evaluation] | None:
    if not isinstance(value, list):
        return None
    return [
        Evaluation(
            item_id=str(item.get("item_id", "")),
            item=item.get("item_data"),
            filters=item.get("filters"),
            qualified=item["qualified"] if isinstance(item.get("qualified"), bool) else None,
            reasoning=foreign.text_of(item.get("reasoning")),
        )
        for item in value
        if isinstance(item, Mapping)
    ] or None
