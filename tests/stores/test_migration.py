"""A file made by the released version 1 opens, and keeps everything."""

import json
import sqlite3
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from refinery.model.codec import encode, encode_run
from refinery.model.trace import Feedback, Run, RunStatus
from refinery.ports import RunFilter, TraceFilter
from refinery.stores.sqlite import SqliteStore
from tests.kits.store_contract import EVERYTHING, opening
from tests.kits.traces import run, sample

VERSION_1 = (
    """CREATE TABLE traces (
            trace_id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL,
            runs INTEGER NOT NULL, errors INTEGER NOT NULL, start_ns INTEGER, end_ns INTEGER,
            source TEXT NOT NULL, project TEXT, session_id TEXT, user_id TEXT,
            total_tokens INTEGER, label TEXT)""",
    "CREATE INDEX traces_by_start ON traces (start_ns DESC)",
    "CREATE INDEX traces_by_status ON traces (status, start_ns DESC)",
    "CREATE INDEX traces_by_label ON traces (label, start_ns DESC) WHERE label IS NOT NULL",
    "CREATE INDEX traces_by_session ON traces (session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX traces_by_user ON traces (user_id) WHERE user_id IS NOT NULL",
    """CREATE TABLE runs (
            number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, trace_id TEXT NOT NULL,
            parent_id TEXT, name TEXT, kind TEXT, status TEXT, start_ns INTEGER, end_ns INTEGER,
            tokens INTEGER, session_id TEXT, user_id TEXT, codec INTEGER NOT NULL,
            body BLOB NOT NULL)""",
    "CREATE INDEX runs_by_trace ON runs (trace_id)",
    "CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'unicode61')",
    """CREATE TABLE feedback (
            feedback_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, run_id TEXT, key TEXT NOT NULL,
            created_ns INTEGER NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX feedback_by_trace ON feedback (trace_id, created_ns)",
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_ns INTEGER NOT NULL)",
    "INSERT INTO schema_version VALUES (1, 0)",
    "PRAGMA application_id = 1380339289",
    "PRAGMA journal_mode = WAL",
)
"""As version 0.1.0 made it."""

PACKING = (lambda body: body, zlib.compress, zstandard.ZstdCompressor(level=3).compress)
HUGE = replace(run("h", inputs={"big": 10**40}), start_ns=None, end_ns=None)
WHOLE = sample("t", failed="no stock")
JUDGED = Feedback("f", "t", "label", value={"outcome": "fail"}, created_ns=3)


def _row(run_: Run, codec: int) -> tuple[object, ...]:
    encoded = encode_run(run_)
    body = json.dumps(encoded, ensure_ascii=False, separators=(",", ":")).encode()
    names = ["run_id", "trace_id", "parent_id", "name", "kind", "status", "start_ns", "end_ns"]
    tokens = (encoded.get("usage") or {}).get("total")
    columns = [encoded.get(name) for name in names]
    return (*columns, tokens, run_.session_id, run_.user_id, codec, PACKING[codec](body))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 1 with three traces, every codec and feedback."""
    file = tmp_path / "traces.db"
    with sqlite3.connect(file) as old:
        for statement in VERSION_1:
            old.execute(statement)
        for number, run_ in enumerate([*WHOLE.runs, EVERYTHING, HUGE]):
            row = _row(run_, number % 3)
            old.execute(f"INSERT INTO runs VALUES (NULL, {', '.join('?' * 13)})", row)
            old.execute("INSERT INTO texts (text) VALUES (?)", (run_.name,))
        for trace_id, status, runs, errors, start_ns, project, label in (
            ("t", "error", 4, 2, WHOLE.runs[0].start_ns, "shop", "fail"),
            ("full", "error", 1, 1, EVERYTHING.start_ns, None, None),
            ("h", "ok", 1, 0, None, None, None),
        ):
            old.execute(
                "INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?, NULL, 'langchain', ?, NULL, NULL, "
                "30, ?)",
                (trace_id, trace_id, status, runs, errors, start_ns, project, label),
            )
        old.execute(
            "INSERT INTO feedback VALUES ('f', 't', NULL, 'label', 3, ?)",
            (json.dumps(encode(JUDGED)),),
        )
    old.close()
    return file


def test_everything_of_a_version_1_file_is_kept(path: Path) -> None:
    for _ in range(2):
        with SqliteStore(path) as store:
            assert store.stats()["schema_version"] == 2
            assert (store.stats()["traces"], store.stats()["runs"]) == (3, 6)
            trace = store.get_trace("t")
            assert trace == replace(WHOLE, source="langchain", project="shop")
            assert store.get_trace("full").runs == (EVERYTHING,)
            assert store.get_trace("h").runs == (HUGE,)
            assert store.get_feedback("t") == [JUDGED]
            listed = store.list_traces(TraceFilter(label="fail"))
            assert [(s.trace_id, s.runs, s.project) for s in listed] == [("t", 4, "shop")]


def test_old_runs_are_searched_paged_and_deleted(path: Path) -> None:
    with SqliteStore(path) as store:
        assert [s.trace_id for s in store.list_traces(TraceFilter(text="lamp"))] == ["t"]
        assert len(store.find_runs(RunFilter(project="shop")).runs) == 4

        store.delete_traces(["t"])

        assert store.list_traces(TraceFilter(text="lamp")) == []
        assert store.stats()["runs"] == 2
        assert store.get_trace("full").runs == (EVERYTHING,)


def test_old_runs_join_with_new_views(path: Path) -> None:
    late = run("t/4", "tool", "t", at_ms=9, inputs={"item": "shade"})
    with SqliteStore(path) as store:
        assert store.write_runs([*map(opening, WHOLE.runs), late], source="other") == 1

        trace = store.get_trace("t")
        summary = store.list_traces(TraceFilter(project="shop"))[0]

    assert trace.runs == (*WHOLE.runs, late)
    assert trace.source == "langchain"
    assert (summary.runs, summary.errors, summary.total_tokens) == (5, 2, 30)
    assert summary.status is RunStatus.ERROR


def test_a_migration_that_is_interrupted_leaves_version_1(path: Path) -> None:
    """The file cannot grow: nothing of the migration stays."""
    before = path.stat().st_size
    with sqlite3.connect(path) as old:
        pages = old.execute("PRAGMA page_count").fetchone()[0]
    old.close()

    class Small(sqlite3.Connection):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            self.execute(f"PRAGMA max_page_count = {pages + 1}")

    real = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "factory": Small}))
        with pytest.raises(Exception, match="full"):
            SqliteStore(path)

    with sqlite3.connect(path) as old:
        assert old.execute("SELECT max(version) FROM schema_version").fetchone() == (1,)
        assert old.execute("SELECT count(*) FROM runs").fetchone() == (6,)
    old.close()
    assert path.stat().st_size == before
    with SqliteStore(path) as store:
        assert store.get_trace("t").runs == WHOLE.runs
