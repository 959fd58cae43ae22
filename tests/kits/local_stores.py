"""Small stores of earlier programs, written as those programs write them."""

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any


def time_machine(path: Path) -> Path:
    """Two decisions, one of them with metadata and an error."""
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE decisions (id TEXT PRIMARY KEY, timestamp INTEGER, input TEXT, "
            "output TEXT, model TEXT, temperature REAL, total_tokens INTEGER, cost REAL, "
            "duration_ms INTEGER)"
        )
        db.execute("CREATE TABLE metadata (decision_id TEXT, key TEXT, value TEXT)")
        rows = [
            ("d1", 1_770_000_000, "How much?", "12 dollars", "gpt-4", 0.7, 31, 0.002, 850),
            ("d2", 1_770_000_100, json.dumps([{"role": "user", "content": "Hi"}]), None, "gpt-4",
             0.0, None, None, 10),
        ]  # fmt: skip
        db.executemany("INSERT INTO decisions VALUES (?,?,?,?,?,?,?,?,?)", rows)
        said = [("d1", "user_id", "ada"), ("d2", "error", "RateLimitError: slow down")]
        db.executemany("INSERT INTO metadata VALUES (?,?,?)", said)
    db.close()
    return path


def decision_trace(path: Path, *, keep_open: bool = False) -> sqlite3.Connection:
    """One trace of two steps, written 5.5 hours east of UTC; the caller closes the connection.

    While it stays open, what was written is only in the `-wal` file.
    """
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute(
        "CREATE TABLE traces (trace_id TEXT PRIMARY KEY, name TEXT, start_time TEXT, "
        "end_time TEXT, duration_ms INTEGER, metadata TEXT, status TEXT, created_at TIMESTAMP)"
    )
    db.execute(
        "CREATE TABLE steps (step_id TEXT PRIMARY KEY, trace_id TEXT, name TEXT, input TEXT, "
        "output TEXT, reasoning TEXT, metadata TEXT, start_time TEXT, end_time TEXT, "
        "duration_ms INTEGER, status TEXT, error TEXT, step_order INTEGER)"
    )
    db.execute(
        "INSERT INTO traces VALUES ('t-1', 'competitors', '2026-01-02T15:04:00.100000', "
        "'2026-01-02T15:04:02', 1900, '{\"shop\": 7}', 'failed', '2026-01-02 09:34:02')"
    )
    judged = {
        "evaluations": [
            {"item_id": "p1", "item_data": {"price": 9}, "filters": [{"name": "price"}],
             "qualified": False, "reasoning": "too cheap"}
        ]
    }  # fmt: skip
    model = {"llm": {"model": "gpt-4o", "tokens_used": 40, "temperature": 0.2}}
    steps = [
        ("s-2", "t-1", "rank", "{}", None, None, json.dumps(model), "2026-01-02T15:04:01",
         "2026-01-02T15:04:02", 1000, "failed", "ValueError: no candidates", 1),
        ("s-1", "t-1", "filter", '{"n": 3}', '{"left": 0}', "all too cheap", json.dumps(judged),
         "2026-01-02T15:04:00.200000", "2026-01-02T15:04:01", 800, "completed", None, 0),
    ]  # fmt: skip
    db.executemany(f"INSERT INTO steps VALUES ({','.join('?' * 13)})", steps)
    db.commit()
    if not keep_open:
        db.close()
    return db


def debug_record(number: int, **changes: Any) -> dict[str, Any]:
    """One of the seventeen-field records of the debug store."""
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "timestamp": f"2026-01-02T03:04:{number:02d}.500000",
        "context_type": "tool",
        "context_id": f"c{number}",
        "context_name": f"call {number}",
        "parent_context": None,
        "request_data": {"q": "é☃"},
        "response_data": {"a": [1, 2]},
        "metadata": {},
        "duration_ms": 250.0,
        "memory_mb": 1.5,
        "cpu_percent": 12.0,
        "status": "success",
        "error": None,
        "code_snapshot": None,
        "code_hash": None,
        "variant_id": None,
        **changes,
    }


def debug_store(folder: Path, records: list[dict[str, Any]], name: str = "session_1") -> Path:
    """An LMDB environment holding records, and an empty DuckDB file beside it."""
    import duckdb
    import lmdb
    import msgpack

    path = folder / f"{name}.lmdb"
    with lmdb.open(str(path), map_size=1 << 24, max_dbs=10) as environment:
        held = environment.open_db(b"records")
        environment.open_db(b"pending_sync")
        with environment.begin(write=True) as transaction:
            for record in records:
                packed = msgpack.packb(record, use_bin_type=True)
                transaction.put(record["id"].encode(), packed, db=held)
    with duckdb.connect(str(folder / f"{name}.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE records (id VARCHAR, timestamp TIMESTAMP, context_type VARCHAR, "
            "context_id VARCHAR, context_name VARCHAR, parent_context VARCHAR, "
            "request_data JSON, response_data JSON, metadata JSON, duration_ms DOUBLE, "
            "memory_mb DOUBLE, cpu_percent DOUBLE, status VARCHAR, error VARCHAR, "
            "code_snapshot VARCHAR, code_hash VARCHAR, variant_id VARCHAR)"
        )
        if records:
            row = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in records[0].items()}
            marks = ",".join("?" * len(row))
            connection.execute(f"INSERT INTO records VALUES ({marks})", list(row.values()))
    return path


def observability(path: Path) -> Path:
    """The SQLite form of AbstractLLM's store: one interaction with a failed cycle."""
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE interactions (interaction_id TEXT PRIMARY KEY, context_verbatim TEXT, "
            "facts_extracted TEXT, metadata TEXT, created_at TIMESTAMP)"
        )
        db.execute(
            "CREATE TABLE react_cycles (react_id TEXT PRIMARY KEY, interaction_id TEXT, "
            "scratchpad TEXT, steps TEXT, observations TEXT, final_response TEXT, "
            "success BOOLEAN, created_at TIMESTAMP)"
        )
        db.execute(
            "INSERT INTO interactions VALUES ('i1', ?, '[\"a fact\"]', '{\"model\": \"m\"}', "
            "'2026-01-02 03:04:05')",
            (gzip.compress("the context ☃".encode()),),
        )
        steps = [{"name": "search", "arguments": '{"q": 1}', "result": "boom", "success": False}]
        db.execute(
            "INSERT INTO react_cycles VALUES ('r1', 'i1', ?, ?, '[]', 'done', 0, "
            "'2026-01-02 03:04:05')",
            (gzip.compress(b'{"thought": "look it up"}'), json.dumps(steps)),
        )
    db.close()
    return path


def lance(folder: Path) -> Path:
    """The LanceDB form: one user, one session, one interaction with a cycle of one step."""
    from datetime import datetime

    import lancedb
    import pyarrow as pa

    database = lancedb.connect(str(folder))
    when = datetime(2026, 1, 2, 3, 4, 5)  # naive, as the program writes it
    vector = pa.list_(pa.float32(), 3)
    tables: dict[str, tuple[dict[str, Any], dict[str, pa.DataType]]] = {
        "users": ({"user_id": "u1", "username": "ada", "created_at": when, "metadata": "{}"}, {}),
        "sessions": (
            {"session_id": "s1", "user_id": "u1", "provider": "ollama", "model": "qwen",
             "temperature": 0.5, "max_tokens": 100, "seed": 1, "system_prompt": "be brief"},
            {},
        ),
        "interactions": (
            {"interaction_id": "i1", "session_id": "s1", "user_id": "u1", "timestamp": when,
             "query": "Zürich?", "response": "yes", "context_verbatim": "ctx",
             "context_embedding": [0.1, 0.2, 0.3], "facts_extracted": ["f"],
             "token_usage": {"completion_tokens": 2, "prompt_tokens": 5, "total_tokens": 7},
             "duration_ms": 120, "metadata": {"model": ""}},
            {"context_embedding": vector},
        ),
        "react_cycles": (
            {"react_id": "r1", "interaction_id": "i1", "timestamp": when, "scratchpad": "{}",
             "scratchpad_embedding": [0.1, 0.2, 0.3], "success": True,
             "steps": [{"name": "tool", "arguments": "{}", "result": "r", "success": True}],
             "metadata": {"total_reasoning_time": 0.5}},
            {"scratchpad_embedding": vector},
        ),
    }  # fmt: skip
    for name, (row, types) in tables.items():
        inferred = pa.Table.from_pylist([row])
        schema = pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in inferred.schema])
        database.create_table(name, pa.Table.from_pylist([row], schema=schema))
    return folder
