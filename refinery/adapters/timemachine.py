"""TimeMachine's SQLite file: every recorded decision is one model call.

Tables: `decisions` (id, timestamp, input, output, model, temperature, total_tokens, cost,
duration_ms) and `metadata` (decision_id, key, value). A column that is missing or added does no
harm: what has no place of its own is kept in the run's metadata.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path

from refinery.adapters._shared import foreign, sqlite_files
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace, Usage

SOURCE = "timemachine"
_PARAMS = ("temperature", "max_tokens", "top_p")
_PLACED = frozenset(
    {
        "id",
        "timestamp",
        "input",
        "output",
        "model",
        "total_tokens",
        "cost",
        "duration_ms",
        *_PARAMS,
    }
)


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file is a SQLite file with the table `decisions`."""
    if not sqlite_files.is_sqlite(head):
        return False
    return {"id", "input", "output"} <= sqlite_files.columns(path).get("decisions", frozenset())


def read(path: Path) -> Iterator[Trace]:
    """The decisions of a file, each as a trace of one model call, oldest first.

    Raises:
        InputError: the file cannot be read.
        TraceFormatError: it is damaged.
    """
    tables = sqlite_files.columns(path)
    notes: dict[str, dict[str, Json]] = {}
    with sqlite_files.opened(path) as connection:
        if {"decision_id", "key", "value"} <= tables.get("metadata", frozenset()):
            for row in connection.execute("SELECT decision_id, key, value FROM metadata"):
                known = notes.setdefault(str(row["decision_id"]), {})
                known[str(row["key"])] = foreign.json_of(row["value"])
        for row in connection.execute("SELECT * FROM decisions ORDER BY rowid"):
            run = _run(row, notes.get(str(row["id"]), {}))
            yield Trace(run.trace_id, (run,), SOURCE, foreign.text_of(_note(run, "project")))


def _run(row: Mapping[str, Json], notes: dict[str, Json]) -> Run:
    clock = foreign.Clock(UTC, UTC)
    start = clock.ns(row.get("timestamp"))
    run_id = foreign.stable_id(SOURCE, start, row["id"])
    error = foreign.error_of(notes.get("error", row.get("error")))
    total = foreign.count_of(row.get("total_tokens"))
    cost = foreign.cost_of(row.get("cost"))
    params = {name: row[name] for name in _PARAMS if row.get(name) is not None}
    rest = {key: value for key, value in row.items() if key not in _PLACED and value is not None}
    has_ended = row.get("output") is not None or error is not None
    end = start + foreign.milliseconds(row.get("duration_ms")) if start is not None else None
    return foreign.finished(
        Run(
            run_id=run_id,
            trace_id=run_id,
            name=foreign.text_of(notes.get("name")) or "decision",
            kind=RunKind.LLM,
            native_kind="decision",
            start_ns=start,
            end_ns=end if has_ended else None,
            status=_status(has_ended, is_failed=error is not None),
            error=error,
            inputs=_inputs(row.get("input")),
            outputs=_outputs(row.get("output")),
            provider=foreign.text_of(notes.get("provider")),
            model_requested=foreign.text_of(row.get("model")),
            params=params or None,
            usage=Usage(total=total) if total is not None else None,
            cost_usd=cost,
            cost_source="reported" if cost is not None else None,
            session_id=foreign.text_of(notes.get("session_id", notes.get("thread_id"))),
            user_id=foreign.text_of(notes.get("user_id")),
            metadata={**rest, **notes, "original_id": str(row["id"])},
        )
    )


def _status(has_ended: bool, *, is_failed: bool) -> RunStatus:
    if is_failed:
        return RunStatus.ERROR
    return RunStatus.OK if has_ended else RunStatus.RUNNING


def _inputs(value: Json) -> dict[str, Json] | None:
    """What the model was given: messages when the text holds some, else LangChain's prompts."""
    given = foreign.json_of(value)
    if given is None or isinstance(given, Mapping):
        return dict(given) if given is not None else None
    if isinstance(given, list):
        is_prompts = all(isinstance(item, str) for item in given)
        return {"prompts" if is_prompts else "messages": given}
    return {"prompts": [str(given)]}


def _outputs(value: Json) -> dict[str, Json] | None:
    found = foreign.json_of(value)
    if found is None or isinstance(found, Mapping):
        return dict(found) if found is not None else None
    if isinstance(found, list):
        return {"messages": found}
    return {"generations": [[{"text": str(value)}]]}


def _note(run: Run, name: str) -> Json:
    return (run.metadata or {}).get(name)
