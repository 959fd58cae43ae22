import hashlib
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.adapters import abstractllm, debugstore, decisiontracex, timemachine
from refinery.errors import InputError, RefineryError, TraceFormatError
from refinery.model.messages import messages_out
from refinery.model.trace import RunKind, RunStatus, Trace
from tests.kits import local_stores


def ns(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1e9)  # type: ignore[misc, arg-type]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_decision_is_one_model_call(tmp_path: Path) -> None:
    path = local_stores.time_machine(tmp_path / "timemachine.db")

    first, second = timemachine.read(path)

    run = first.runs[0]
    assert (run.kind, run.status, run.user_id) == (RunKind.LLM, RunStatus.OK, "ada")
    assert run.start_ns == 1_770_000_000 * 10**9
    assert run.duration_ms == 850
    assert run.inputs == {"prompts": ["How much?"]}
    assert run.model_requested == "gpt-4"
    assert run.params == {"temperature": 0.7}
    assert run.usage is not None
    assert run.usage.total == 31
    assert str(run.cost_usd) == "0.002"
    assert second.runs[0].inputs == {"messages": [{"role": "user", "content": "Hi"}]}
    assert second.runs[0].error is not None
    assert second.runs[0].error.type == "RateLimitError"


def test_a_decision_without_an_output_is_still_running(tmp_path: Path) -> None:
    path = local_stores.time_machine(tmp_path / "timemachine.db")
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM metadata")
    db.close()

    *_, last = timemachine.read(path)

    assert last.status is RunStatus.RUNNING


@pytest.mark.parametrize("stamp", [1_770_000_000, 1_770_000_000_000, 1_770_000_000_000_000])
def test_times_are_read_in_seconds_milliseconds_and_microseconds(
    tmp_path: Path, stamp: int
) -> None:
    path = local_stores.time_machine(tmp_path / "timemachine.db")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE decisions SET timestamp = ?", (stamp,))
    db.close()

    assert next(timemachine.read(path)).runs[0].start_ns == 1_770_000_000 * 10**9


def test_steps_keep_their_reasoning_evaluations_and_order(tmp_path: Path) -> None:
    local_stores.decision_trace(tmp_path / "traces.db")

    (trace,) = decisiontracex.read(tmp_path / "traces.db")

    root, filtered, ranked = trace.runs
    assert (root.name, root.status, root.parent_id) == ("competitors", RunStatus.ERROR, None)
    assert filtered.kind is RunKind.STEP
    assert filtered.reasoning == "all too cheap"
    assert filtered.evaluations is not None
    assert filtered.evaluations[0].qualified is False
    assert filtered.evaluations[0].item == {"price": 9}
    assert ranked.error is not None
    assert (ranked.error.type, ranked.error.message) == ("ValueError", "no candidates")
    assert ranked.usage is not None
    assert ranked.usage.total == 40
    assert ranked.params == {"temperature": 0.2}
    assert {run.parent_id for run in trace.runs[1:]} == {root.run_id}


def test_the_zone_of_naive_times_is_drawn_from_the_database_clock(tmp_path: Path) -> None:
    local_stores.decision_trace(tmp_path / "traces.db")

    (trace,) = decisiontracex.read(tmp_path / "traces.db")

    root = trace.runs[0]
    assert root.end_ns == ns(2026, 1, 2, 9, 34, 2)
    assert root.metadata is not None
    assert "UTC+05:30" in root.metadata["refinery"]["assumed_timezone"]


def test_a_zone_that_is_given_wins(tmp_path: Path) -> None:
    local_stores.decision_trace(tmp_path / "traces.db")

    (trace,) = decisiontracex.read(tmp_path / "traces.db", timezone(timedelta(hours=1)))

    assert trace.runs[0].end_ns == ns(2026, 1, 2, 14, 4, 2)
    assert "refinery" not in (trace.runs[0].metadata or {})


def test_what_is_only_in_the_log_is_read_and_nothing_is_written(tmp_path: Path) -> None:
    writer = local_stores.decision_trace(tmp_path / "traces.db", keep_open=True)
    copied = tmp_path / "copy"
    copied.mkdir()
    for suffix in ("", "-wal"):
        shutil.copyfile(tmp_path / f"traces.db{suffix}", copied / f"traces.db{suffix}")
    writer.close()
    before = contents(copied)

    (trace,) = decisiontracex.read(copied / "traces.db")

    assert len(trace.runs) == 3
    assert contents(copied) == before


def test_debug_records_become_a_tree_by_their_contexts(tmp_path: Path) -> None:
    records = [
        local_stores.debug_record(9, context_type="workflow", context_id="w", duration_ms=8000),
        local_stores.debug_record(
            3, parent_context="w", status="error", error="timeout", code_snapshot="def f(): pass"
        ),
        local_stores.debug_record(4, parent_context="gone", status="retry"),
    ]
    path = local_stores.debug_store(tmp_path, records)

    traces = {trace.root.name: trace for trace in debugstore.read(path) if trace.root}

    assert set(traces) == {"call 9", "call 4"}
    root, child = traces["call 9"].runs
    assert (root.layer, root.kind, root.session_id) == ("workflow", RunKind.CHAIN, "session_1")
    assert child.parent_id == root.run_id
    assert child.end_ns == ns(2026, 1, 2, 3, 4, 3) + 500_000_000
    assert child.duration_ms == 250
    assert child.status is RunStatus.ERROR
    assert child.metrics == {"wall_ms": 250.0, "rss_bytes": 1572864.0, "cpu_percent": 12.0}
    assert child.code is not None
    assert child.code.variant == hashlib.sha256(b"def f(): pass").hexdigest()
    assert child.inputs == {"q": "é☃"}
    assert traces["call 4"].status is RunStatus.UNKNOWN


def test_contexts_in_a_circle_end_somewhere(tmp_path: Path) -> None:
    records = [
        local_stores.debug_record(1, parent_context="c2"),
        local_stores.debug_record(2, parent_context="c1"),
    ]
    path = local_stores.debug_store(tmp_path, records)

    (trace,) = debugstore.read(path)

    assert len(trace.runs) == 2
    assert sum(run.parent_id is None for run in trace.runs) == 1


def test_lmdb_is_the_truth_whichever_file_is_named(tmp_path: Path) -> None:
    records = [local_stores.debug_record(number) for number in range(1, 6)]
    path = local_stores.debug_store(tmp_path, records)
    duckdb_file = path.with_suffix(".duckdb")
    before = contents(tmp_path)

    counts = [len(list(debugstore.read(given))) for given in (path, duckdb_file, tmp_path)]

    assert counts == [5, 5, 5]
    assert contents(tmp_path) == before
    shutil.rmtree(path)
    assert len(list(debugstore.read(duckdb_file))) == 1


def test_packed_interactions_are_unpacked(tmp_path: Path) -> None:
    path = local_stores.observability(tmp_path / "observability.db")

    (trace,) = abstractllm.read(path)

    root, cycle, tool = trace.runs
    assert root.inputs == {"context_verbatim": "the context ☃"}
    assert root.outputs == {"response": "done"}
    assert root.start_ns == ns(2026, 1, 2, 3, 4, 5)
    assert root.status is RunStatus.ERROR
    assert cycle.reasoning == "look it up"
    assert (tool.kind, tool.parent_id, tool.inputs) == (RunKind.TOOL, cycle.run_id, {"q": 1})
    assert tool.error is not None
    assert tool.error.message == "boom"


@pytest.mark.slow
def test_interactions_of_a_lance_store_keep_user_session_and_tokens(tmp_path: Path) -> None:
    folder = local_stores.lance(tmp_path / "lancedb")
    before = contents(tmp_path)

    (trace,) = abstractllm.read(tmp_path, timezone(timedelta(hours=2)))

    assert abstractllm.recognise(b"", folder)
    assert contents(tmp_path) == before
    root, call, cycle, tool = trace.runs
    assert (root.user_id, root.session_id, root.kind) == ("ada", "s1", RunKind.AGENT)
    assert root.start_ns == ns(2026, 1, 2, 1, 4, 5)
    assert root.inputs == {"query": "Zürich?"}
    assert call.usage is not None
    assert (call.usage.input, call.usage.output, call.usage.total) == (5, 2, 7)
    assert (call.provider, call.model_requested) == ("ollama", "qwen")
    assert messages_out(call)[0].text == "yes"
    assert cycle.duration_ms == 500
    assert tool.name == "tool"


def test_each_store_is_recognised_by_its_own_adapter_only(tmp_path: Path) -> None:
    local_stores.decision_trace(tmp_path / "steps.db")
    paths = {
        timemachine: local_stores.time_machine(tmp_path / "decisions.db"),
        decisiontracex: tmp_path / "steps.db",
        abstractllm: local_stores.observability(tmp_path / "observability.db"),
    }
    for owner, path in paths.items():
        head = path.read_bytes()[:65536]
        claims = [adapter for adapter in paths if adapter.recognise(head, path)]
        assert claims == [owner]
    assert not debugstore.recognise(b"", tmp_path)


def test_ids_are_the_same_each_time_and_differ_between_stores(tmp_path: Path) -> None:
    path = local_stores.time_machine(tmp_path / "timemachine.db")
    other = local_stores.time_machine(tmp_path / "other.db")
    with sqlite3.connect(other) as db:
        db.execute("UPDATE decisions SET timestamp = timestamp + 1")
    db.close()

    once, again, elsewhere = (ids(timemachine.read(p)) for p in (path, path, other))

    assert once == again
    assert not set(once) & set(elsewhere)


def ids(traces: object) -> list[str]:
    return [trace.trace_id for trace in traces if isinstance(trace, Trace)]  # type: ignore[attr-defined]


def test_a_missing_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(TraceFormatError, match="cannot be read as a lmdb store"):
        list(debugstore.read(tmp_path / "gone.lmdb"))
    with pytest.raises(InputError, match=r"interactions\.lance"):
        list(abstractllm.read(tmp_path))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 40_000), noise=st.binary(min_size=1, max_size=200), cut=st.booleans())
@pytest.mark.parametrize("name", ["timemachine", "decisiontracex", "abstractllm"])
def test_damaged_databases_are_refused_or_read(
    name: str, at: int, noise: bytes, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "store.db"
    if name == "timemachine":
        local_stores.time_machine(path)
    elif name == "decisiontracex":
        local_stores.decision_trace(path)
    else:
        local_stores.observability(path)
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] if cut else whole[:at] + noise + whole[at + len(noise) :])
    adapter = {m.SOURCE: m for m in (timemachine, decisiontracex, abstractllm)}[name]
    try:
        adapter.recognise(path.read_bytes()[:65536], path)
        traces = list(adapter.read(path))
    except RefineryError as error:
        assert error.hint
    else:
        assert all(run.run_id and run.trace_id for trace in traces for run in trace.runs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_damaged_lmdb_files_cost_the_child_only(tmp_path: Path, seed: int) -> None:
    path = local_stores.debug_store(tmp_path, [local_stores.debug_record(n) for n in range(9)])
    file = path / "data.mdb"
    damaged = bytearray(file.read_bytes())
    for step in range(0, len(damaged), 64):
        damaged[(step * 7 + seed * 13) % len(damaged)] ^= 0xFF
    file.write_bytes(bytes(damaged[: len(damaged) >> (seed % 3)]))

    try:
        traces = list(debugstore.read(path))
    except TraceFormatError as error:
        assert error.hint
    else:
        assert all(trace.runs for trace in traces)
