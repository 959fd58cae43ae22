"""Phoenix: every shape its API and its client write, and the API itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from refinery.adapters import langfuse, mlflow, phoenix
from refinery.adapters._shared.otel.spans import run_uuid, trace_uuid
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.trace import RunKind, RunStatus, Trace
from tests.adapters.mutating import mutated, reads_or_says_why
from tests.adapters.remote_samples import (
    CHILD,
    FAILED,
    ROOT,
    STACK,
    TRACE,
    annotation,
    otlp_value,
    phoenix_failure,
    phoenix_llm,
    phoenix_span,
)
from tests.fakes.trace_servers import JsonServer, Phoenix, Reply

SPANS = [phoenix_failure(), phoenix_llm(), phoenix_span()]


def write(tmp_path: Path, document: Any, name: str = "spans.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def otlpv1(span: dict[str, Any]) -> dict[str, Any]:
    """The same span as `/spans/otlpv1` writes it, times with the error of a double."""
    attributes = {"openinference.span.kind": span["span_kind"], **span["attributes"]}
    codes = {"OK": 1, "ERROR": 2}
    return {
        "attributes": [{"key": k, "value": otlp_value(v)} for k, v in attributes.items()],
        "start_time_unix_nano": _double(span["start_time"]),
        "end_time_unix_nano": _double(span["end_time"]),
        "events": [
            {
                "name": event["name"],
                "time_unix_nano": _double(event["timestamp"]),
                "attributes": [
                    {"key": k, "value": otlp_value(v)} for k, v in event["attributes"].items()
                ],
            }
            for event in span["events"]
        ],
        "name": span["name"],
        "kind": "SPAN_KIND_INTERNAL",
        "links": None,
        "parent_span_id": span["parent_id"],
        "span_id": span["context"]["span_id"],
        "trace_id": span["context"]["trace_id"],
        "status": {"code": codes[span["status_code"]], "message": span["status_message"]},
    }


def _double(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e9)


def row(span: dict[str, Any]) -> dict[str, Any]:
    """The same span as a row of `get_spans_dataframe`, with columns of other spans empty."""
    columns: dict[str, Any] = {"attributes.llm.token_count.prompt": None, "attributes.x": None}
    messages = {}
    for name, value in span["attributes"].items():
        if name.startswith("llm.input_messages.0."):
            messages[name.removeprefix("llm.input_messages.0.")] = value
        elif name.startswith("metadata."):
            columns["attributes.metadata"] = {name.removeprefix("metadata."): value}
        else:
            columns[f"attributes.{name}"] = float(value) if isinstance(value, int) else value
    if messages:
        columns["attributes.llm.input_messages"] = [messages]
    return {
        **{k: span[k] for k in ("name", "span_kind", "parent_id", "start_time", "end_time")},
        **{k: span[k] for k in ("status_code", "status_message", "events")},
        "context.span_id": span["context"]["span_id"],
        "context.trace_id": span["context"]["trace_id"],
        **columns,
    }


def read(path: Path) -> list[Trace]:
    assert phoenix.recognise(path.read_bytes(), path)
    assert not any(other.recognise(path.read_bytes(), path) for other in (langfuse, mlflow))
    return list(phoenix.read(path))


def test_a_page_of_spans_becomes_traces(tmp_path: Path) -> None:
    failed, trace = read(write(tmp_path, {"data": SPANS, "next_cursor": None}))

    root, call = trace.runs
    assert (trace.trace_id, trace.source) == (trace_uuid(TRACE), "phoenix")
    assert (root.run_id, call.parent_id) == (run_uuid(TRACE, ROOT), run_uuid(TRACE, ROOT))
    assert (root.kind, call.kind) == (RunKind.AGENT, RunKind.LLM)
    assert (root.inputs, root.outputs, root.session_id) == ("Weather in Paris?", "Sunny", "s-1")
    assert (call.usage.total, call.model_responded) == (41, "gpt-4o")
    assert root.start_ns % 10**9 == 1_000
    assert failed.status is RunStatus.ERROR
    assert (failed.root.error.type, failed.root.error.stack) == ("ValueError", STACK)


def test_every_shape_of_a_span_gives_the_same_run(tmp_path: Path) -> None:
    pages = read(write(tmp_path, {"data": SPANS}))
    typed = read(write(tmp_path, {"data": [otlpv1(span) for span in SPANS]}, "otlp.json"))
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(json.dumps(row(span)) for span in SPANS), encoding="utf-8")

    assert typed == pages
    assert read(lines) == pages


def test_a_table_is_read_from_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [row(span) for span in SPANS]
    for entry in rows:
        for side in ("start_time", "end_time"):
            entry[side] = datetime.fromisoformat(entry[side]).astimezone(UTC)
    path = tmp_path / "spans.parquet"
    parquet.write_table(arrow.Table.from_pylist(_even(rows)), path)

    assert read(path) == read(write(tmp_path, {"data": SPANS}))

    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceFormatError, match="damaged"):
        list(phoenix.read(path))


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for entry in rows for name in entry)
    return [{name: entry.get(name) for name in names} for entry in rows]


def test_times_of_a_table_may_be_numbers(tmp_path: Path) -> None:
    entry = {**row(phoenix_span()), "start_time": 1767323045000, "end_time": 1767323047.5}

    (trace,) = read(write(tmp_path, entry))

    assert trace.root.start_ns == 1767323045_000_000_000
    assert trace.root.duration_ms == 2500


def test_a_list_of_traces_has_bare_runs_and_spoils_no_others(tmp_path: Path) -> None:
    bare = {
        k: v for k, v in phoenix_failure().items() if k not in ("attributes", "events", "context")
    }
    item = {
        "trace_id": FAILED,
        "token_count_prompt": 0,
        "spans": [{**bare, "span_id": ROOT, "status_message": None}],
    }

    (trace,) = read(write(tmp_path, {"data": [item]}))

    assert trace.root.run_id == run_uuid(FAILED, ROOT)
    assert (trace.status, trace.root.error) == (RunStatus.ERROR, None)


def test_annotations_find_their_spans_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path, {"data": SPANS})
    write(tmp_path, {"unrelated": True}, "a.json")
    path = write(tmp_path, {"data": [annotation()]}, "annotations.json")
    assert phoenix.recognise(path.read_bytes(), path)

    ((trace, said),) = phoenix.read_labelled(path)

    (feedback,) = said
    assert (trace.trace_id, len(trace.runs)) == (trace_uuid(TRACE), 2)
    assert (feedback.run_id, feedback.key, feedback.score) == (
        run_uuid(TRACE, CHILD),
        "correctness",
        1.0,
    )
    assert (feedback.value, feedback.comment, feedback.source) == ("correct", "fine", "human")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"data": [annotation()]}, "no spans they could belong to"),
        ({"data": [{"id": "x", "name": "shop"}]}, "holds no spans"),
        ({"data": [phoenix_span(context={})]}, "without `trace_id`"),
        (5, "holds no spans"),
    ],
)
def test_what_is_wrong_is_named(document: Any, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, document)

    with pytest.raises(TraceFormatError, match=words) as caught:
        list(phoenix.read(path))

    assert str(path) in str(caught.value)
    assert caught.value.hint


@given(
    content=mutated({"data": SPANS})
    | mutated({"data": [otlpv1(span) for span in SPANS]})
    | mutated(row(SPANS[0]))
)
def test_spoilt_files_are_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "phoenix.json"

    reads_or_says_why(phoenix.read_labelled, path, content)


@contextmanager
def serving(server: Phoenix, monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonServer]:
    with JsonServer(server).running() as running:
        monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", f"{running.url}/v1/traces")
        monkeypatch.setenv("PHOENIX_API_KEY", "sesame")
        yield running


def test_a_trace_is_found_in_whichever_project(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Phoenix(SPANS, [annotation()]), monkeypatch) as server,
        phoenix.connect() as service,
    ):
        trace, said = service.fetch_trace(TRACE)
        again, _ = service.fetch_trace(f"{server.url}/projects/UDI=/traces/{TRACE}")

    assert (trace.project, len(trace.runs), len(said)) == ("shop", 2, 1)
    assert again == trace
    assert {r.headers["authorization"] for r in server.requests} == {"Bearer sesame"}


@pytest.mark.parametrize("knows_filters", [True, False])
def test_failed_traces_and_all_of_them(
    knows_filters: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Phoenix(SPANS, knows_filters=knows_filters)
    with serving(server, monkeypatch), phoenix.connect() as service:
        failed = list(service.fetch_traces("shop"))
        everything = list(service.fetch_traces("shop", only_failed=False))
        one = list(service.fetch_traces("shop", only_failed=False, limit=1))
        none = list(service.fetch_traces())

    assert [trace.trace_id for trace, _ in failed] == [trace_uuid(FAILED)]
    assert [len(trace.runs) for trace, _ in everything] == [1, 2]
    assert (len(one), none) == (1, [])


def test_file_and_api_give_the_same_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, from_file = read(write(tmp_path, {"data": SPANS}))
    with serving(Phoenix(SPANS), monkeypatch), phoenix.connect() as service:
        fetched, _ = service.fetch_trace(TRACE)

    assert fetched.runs == from_file.runs


def test_what_is_not_there_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Phoenix(SPANS), monkeypatch), phoenix.connect() as service:
        with pytest.raises(NotFoundError, match="no trace"):
            service.fetch_trace("f" * 32)
        with pytest.raises(NotFoundError, match="no project 'other'"):
            list(service.fetch_traces("other"))
        with pytest.raises(InputError, match="no trace id"):
            service.fetch_trace("nonsense")


def test_a_refused_key_is_told() -> None:
    with (
        JsonServer(lambda _: Reply(401, {})).running() as server,
        phoenix.connect(server.url) as service,
        pytest.raises(CredentialsError) as caught,
    ):
        service.fetch_trace(TRACE)

    assert "PHOENIX_API_KEY" in caught.value.hint


def test_addresses_of_phoenix_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert phoenix.owns("http://localhost:6006/projects/x/traces/y")
    assert phoenix.owns("https://app.phoenix.arize.com/s/me/projects/x/traces/y")
    assert not phoenix.owns("http://localhost:6007/projects/x")

    monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", "http://phoenix.example/v1/traces")
    assert phoenix.owns("http://phoenix.example/projects/x")
