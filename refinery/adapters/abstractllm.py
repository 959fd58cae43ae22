"""AbstractLLM's observability store: interactions with their ReAct cycles.

Two forms are read: the LanceDB folder (tables users, sessions, interactions, react_cycles) and its
SQLite predecessor `observability.db` (interactions and react_cycles; texts packed with gzip). An
interaction is a trace: an agent run; the model call inside it, when its tokens are known; a chain
run for each ReAct cycle; a tool run for each step of a cycle. Times of the LanceDB form are naive
and local to the program that wrote them; those of the SQLite form are UTC.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from pathlib import Path

from refinery.adapters._shared import foreign, native, sqlite_files
from refinery.errors import InputError
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace, Usage

SOURCE = "abstractllm"
NEEDS_TIMEZONE = True
MAX_UNPACKED = 64 << 20
"""Most one packed text may unfold to, in bytes."""
Record = Mapping[str, Json]


@dataclass(slots=True)
class _Tables:
    """The rows of a store, by what they are looked up with."""

    clock: foreign.Clock
    interactions: list[Record] = field(default_factory=list)
    users: dict[str, Record] = field(default_factory=dict)
    sessions: dict[str, Record] = field(default_factory=dict)
    cycles: dict[str, list[Record]] = field(default_factory=dict)
    """By the interaction they belong to."""


def recognise(head: bytes, path: Path) -> bool:
    """Whether it is a folder with `interactions.lance`, or a SQLite file with both tables."""
    if path.is_dir():
        return _lance(path) is not None
    if not sqlite_files.is_sqlite(head):
        return False
    tables = sqlite_files.columns(path)
    return "react_cycles" in tables and "context_verbatim" in tables.get("interactions", ())


def read(path: Path, timezone: tzinfo | None = None) -> Iterator[Trace]:
    """The interactions of a store as traces, in its order.

    Args:
        path: the LanceDB folder (or the one that holds `lancedb`), or the SQLite file.
        timezone: zone of naive times; None: this machine's.

    Raises:
        InputError: there is no such store at the path.
        PluginError: lancedb is missing.
        TraceFormatError: the store cannot be read.
    """
    tables = _from_lance(path, timezone) if path.is_dir() else _from_sqlite(path)
    for row in tables.interactions:
        yield _trace(row, tables)


def _lance(path: Path) -> Path | None:
    places = (path, path / "lancedb")
    return next((place for place in places if (place / "interactions.lance").is_dir()), None)


def _from_lance(path: Path, timezone: tzinfo | None) -> _Tables:
    folder = _lance(path)
    if folder is None:
        raise InputError(
            f"{path} holds no table interactions.lance", hint="give the folder `lancedb`"
        )
    tables = _Tables(foreign.Clock(timezone, foreign.local_zone()))
    for name, row in native.rows("lance", folder):
        _place(tables, name, row)
    return tables


def _from_sqlite(path: Path) -> _Tables:
    tables = _Tables(foreign.Clock(UTC, UTC))
    with sqlite_files.opened(path) as connection:
        for name in ("interactions", "react_cycles"):
            rows = connection.execute(f"SELECT * FROM {name} ORDER BY rowid")  # noqa: S608  # our own names
            for row in rows:
                _place(tables, name, {k: _unpacked(v) for k, v in row.items()})
    return tables


def _place(tables: _Tables, name: str, row: Record) -> None:
    if name == "interactions":
        tables.interactions.append(row)
    elif name == "react_cycles":
        tables.cycles.setdefault(str(row.get("interaction_id")), []).append(row)
    elif name == "users":
        tables.users[str(row.get("user_id"))] = row
    else:
        tables.sessions[str(row.get("session_id"))] = row


def _unpacked(value: Json) -> Json:
    """Text of a gzip blob; what is none stays, as text when it is bytes."""
    if not isinstance(value, bytes):
        return value
    unfolding = zlib.decompressobj(wbits=31)
    with suppress(zlib.error):
        value = unfolding.decompress(value, MAX_UNPACKED)
    return value.decode("utf-8", "replace")


def _trace(row: Record, tables: _Tables) -> Trace:
    start = tables.clock.ns(row.get("timestamp", row.get("created_at")))
    when = row.get("timestamp", row.get("created_at"))
    trace_id = foreign.stable_id(SOURCE, when, row.get("interaction_id"))
    end = start + foreign.milliseconds(row.get("duration_ms")) if start is not None else None
    user = tables.users.get(str(row.get("user_id")), {})
    session = tables.sessions.get(str(row.get("session_id")), {})
    cycles = tables.cycles.get(str(row.get("interaction_id")), [])
    children = [*_model_call(row, session, trace_id)]
    for cycle in cycles:
        children += _cycle(cycle, trace_id, tables.clock)
    context = foreign.json_of(row.get("context_verbatim"))
    root = Run(
        run_id=trace_id,
        trace_id=trace_id,
        name="interaction",
        kind=RunKind.AGENT,
        native_kind="interaction",
        start_ns=start,
        end_ns=end,
        status=RunStatus.ERROR if any(_has_failed(c) for c in cycles) else RunStatus.OK,
        inputs={"query": row["query"]} if "query" in row else {"context_verbatim": context},
        outputs=_answer(row, cycles),
        session_id=foreign.text_of(row.get("session_id")),
        user_id=foreign.text_of(user.get("username")) or foreign.text_of(row.get("user_id")),
        metadata=_metadata(row, user, session),
    )
    placed = [_placed_in_time(child, start, end) for child in children]
    runs = (foreign.finished(root, tables.clock), *map(foreign.finished, placed))
    return Trace(trace_id, runs, SOURCE)


def _answer(row: Record, cycles: Sequence[Record]) -> dict[str, Json] | None:
    said = [row.get("response"), *(cycle.get("final_response") for cycle in reversed(cycles))]
    return foreign.object_of(next((text for text in said if text), None), "response")


def _has_failed(cycle: Record) -> bool:
    return cycle.get("success") in (False, 0)


def _metadata(row: Record, user: Record, session: Record) -> dict[str, Json]:
    """What has no field of its own: facts, the row's metadata, settings of the session."""
    about = foreign.object_of(foreign.json_of(row.get("metadata")), "metadata") or {}
    kept = {
        **{key: value for key, value in about.items() if value not in (None, "")},
        "facts": foreign.json_of(row.get("facts_extracted")),
        "context_verbatim": row.get("context_verbatim") if "query" in row else None,
        "session": {k: v for k, v in session.items() if v not in (None, "", "{}")},
        "user": {k: v for k, v in user.items() if v not in (None, "", "{}")},
        "original_id": str(row.get("interaction_id")),
    }
    return {key: value for key, value in kept.items() if value not in (None, {}, [])}


def _model_call(row: Record, session: Record, trace_id: str) -> Iterator[Run]:
    """The model call of an interaction, when its tokens are known."""
    told = row.get("token_usage")
    tokens: Record = told if isinstance(told, Mapping) else {}
    usage = Usage(
        input=foreign.count_of(tokens.get("prompt_tokens")),
        output=foreign.count_of(tokens.get("completion_tokens")),
        total=foreign.count_of(tokens.get("total_tokens")),
    )
    if not usage.total:
        return
    about = foreign.object_of(foreign.json_of(row.get("metadata")), "metadata") or {}
    params = {
        name: session[name]
        for name in ("temperature", "max_tokens", "seed")
        if session.get(name) is not None
    }
    system = foreign.text_of(session.get("system_prompt"))
    asked = [{"role": "user", "content": row.get("query")}]
    yield Run(
        run_id=foreign.stable_id(SOURCE, trace_id, "model call"),
        trace_id=trace_id,
        parent_id=trace_id,
        name="model call",
        kind=RunKind.LLM,
        native_kind="interaction",
        status=RunStatus.OK,
        inputs={"messages": [{"role": "system", "content": system}, *asked] if system else asked},
        outputs={"messages": [{"role": "assistant", "content": row.get("response")}]},
        provider=_first(tokens.get("provider"), about.get("provider"), session.get("provider")),
        model_requested=_first(tokens.get("model"), about.get("model"), session.get("model")),
        params=params or None,
        usage=usage,
    )


def _first(*values: Json) -> str | None:
    return next((text for value in values if (text := foreign.text_of(value))), None)


def _cycle(row: Record, trace_id: str, clock: foreign.Clock) -> Iterator[Run]:
    """A ReAct cycle and the tools it used."""
    run_id = foreign.stable_id(SOURCE, trace_id, row.get("react_id"))
    start = clock.ns(row.get("timestamp", row.get("created_at")))
    scratchpad = foreign.json_of(row.get("scratchpad"))
    about = foreign.object_of(foreign.json_of(row.get("metadata")), "metadata") or {}
    seconds = foreign.number_of(about.get("total_reasoning_time")) or 0.0
    outputs = {
        "final_response": row.get("final_response"),
        "observations": foreign.json_of(row.get("observations")),
    }
    yield Run(
        run_id=run_id,
        trace_id=trace_id,
        parent_id=trace_id,
        name="react cycle",
        kind=RunKind.CHAIN,
        native_kind="react_cycle",
        start_ns=start,
        end_ns=start + foreign.milliseconds(seconds * 1000) if start is not None else None,
        status=RunStatus.ERROR if _has_failed(row) else RunStatus.OK,
        inputs={"scratchpad": scratchpad} if scratchpad is not None else None,
        outputs={key: value for key, value in outputs.items() if value is not None} or None,
        reasoning=_thought(scratchpad),
        metadata={**about, "original_id": str(row.get("react_id"))},
    )
    steps = foreign.json_of(row.get("steps"))
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, Mapping):
            yield _tool(step, run_id, trace_id, number)


def _thought(scratchpad: Json) -> str | None:
    said = scratchpad.get("thought") if isinstance(scratchpad, Mapping) else None
    return foreign.text_of(said)


def _tool(step: Record, parent_id: str, trace_id: str, number: int) -> Run:
    is_failed = step.get("success") is False
    rest = {k: v for k, v in step.items() if k not in ("name", "arguments", "result", "success")}
    return Run(
        run_id=foreign.stable_id(SOURCE, parent_id, f"step {number}"),
        trace_id=trace_id,
        parent_id=parent_id,
        name=foreign.text_of(step.get("name")) or "tool",
        kind=RunKind.TOOL,
        native_kind="react_step",
        status=RunStatus.ERROR if is_failed else RunStatus.OK,
        error=foreign.error_of(step.get("result") or "failed") if is_failed else None,
        inputs=foreign.object_of(foreign.json_of(step.get("arguments")), "input"),
        outputs={"output": foreign.json_of(step["result"])} if "result" in step else None,
        metadata={"position": number, **rest},
    )


def _placed_in_time(run: Run, start: int | None, end: int | None) -> Run:
    """The run with the times of its interaction where the source gives it none."""
    if run.start_ns is not None:
        return run
    return replace(run, start_ns=start, end_ns=end)
