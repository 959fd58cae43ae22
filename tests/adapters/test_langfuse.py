"""Langfuse: exports of its web page, pages of its API, and the API itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.adapters import jsonl, langfuse, mlflow, phoenix
from refinery.adapters._shared.otel.spans import run_uuid, trace_uuid
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.trace import RunKind, RunStatus, Usage
from tests.adapters.mutating import mutated, reads_or_says_why
from tests.adapters.remote_samples import (
    CHILD,
    FAILED,
    ROOT,
    TRACE,
    generation,
    langfuse_export,
    observation,
    score,
)
from tests.fakes.trace_servers import JsonServer, Langfuse


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(langfuse_export(), indent=1), encoding="utf-8")
    return path


def write(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@contextmanager
def serving(project: Langfuse, monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonServer]:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-1")
    with JsonServer(project).running() as server:
        monkeypatch.setenv("LANGFUSE_HOST", server.url)
        yield server


def test_an_export_is_recognised_by_nobody_else(export: Path) -> None:
    head = export.read_bytes()

    assert langfuse.recognise(head, export)
    assert not any(other.recognise(head, export) for other in (jsonl, mlflow, phoenix))


def test_every_observation_becomes_a_run(export: Path) -> None:
    ((trace, _),) = langfuse.read_labelled(export)

    root, call = trace.runs
    assert (trace.trace_id, trace.source, trace.project) == (trace_uuid(TRACE), "langfuse", "p-1")
    assert (root.run_id, root.parent_id) == (run_uuid(TRACE, ROOT), None)
    assert (call.run_id, call.parent_id) == (run_uuid(TRACE, CHILD), root.run_id)
    assert (root.kind, call.kind) == (RunKind.CHAIN, RunKind.LLM)
    assert (root.session_id, root.user_id, root.tags) == ("s-1", "u-1", ["blue"])
    assert root.duration_ms == 2500
    assert root.metadata["langfuse"]["id"] == ROOT
    assert root.metadata["langfuse"]["trace"] == {"name": "weather", "release": "v7"}


def test_the_root_takes_what_went_in_and_out_of_the_trace(export: Path) -> None:
    (trace,) = langfuse.read(export)

    assert trace.root.inputs == {"question": "Weather in Paris?"}
    assert trace.root.outputs == "Sunny"


def test_a_generation_tells_of_its_model(export: Path) -> None:
    (trace,) = langfuse.read(export)

    call = trace.runs[1]
    assert call.usage == Usage(input=36, output=5, total=41, cache_read=16)
    assert (call.cost_usd, call.cost_source) == (Decimal("0.003"), "reported")
    assert (call.model_responded, call.params) == ("gpt-4o", {"temperature": 0.2})
    assert call.first_token_ns == call.start_ns + 500_000_000
    assert call.metadata["langfuse"]["promptName"] == "weather-prompt"
    assert call.inputs == [{"role": "user", "content": "Weather in Paris?"}]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"input": 60, "output": 15, "total": 75, "input_cache_read": 16}, (60, 15, 16, None)),
        ({"input": 44, "output": 15, "total": 75, "input_cache_read": 16}, (60, 15, 16, None)),
        ({"input": 6, "output": 9, "total": 20, "output_reasoning": 5}, (6, 14, None, 5)),
        ({"input": 6, "output": 9, "completion_details.reasoning": 5}, (6, 9, None, 5)),
        ({"input": 1, "output": 2, "total": 33, "cache_read_input_tokens": 30}, (31, 2, 30, None)),
    ],
)
def test_cached_tokens_count_as_read_whatever_the_integration(
    told: dict[str, int], expected: tuple[int | None, ...], tmp_path: Path
) -> None:
    path = write(tmp_path, [generation(usageDetails=told)])

    (trace,) = langfuse.read(path)

    usage = trace.runs[0].usage
    assert (usage.input, usage.output, usage.cache_read, usage.reasoning) == expected


def test_zero_counts_of_what_nobody_counted_are_unknown(tmp_path: Path) -> None:
    path = write(
        tmp_path, [generation(usageDetails={}, costDetails={}, inputUsage=0, totalCost=0)]
    )

    (trace,) = langfuse.read(path)

    assert (trace.runs[0].usage, trace.runs[0].cost_usd) == (None, None)


def test_an_error_has_its_type_and_message(tmp_path: Path) -> None:
    said = {"level": "ERROR", "statusMessage": "ValueError: no such city", "output": None}
    path = write(tmp_path, [observation(**said)])

    (trace,) = langfuse.read(path)

    assert trace.status is RunStatus.ERROR
    assert (trace.root.error.type, trace.root.error.message) == ("ValueError", "no such city")


def test_a_score_becomes_feedback_never_part_of_a_run(export: Path) -> None:
    ((trace, said),) = langfuse.read_labelled(export)

    (feedback,) = said
    assert (feedback.key, feedback.value, feedback.score) == ("tone", "friendly", None)
    assert (feedback.run_id, feedback.source) == (trace.runs[1].run_id, "human")
    assert "friendly" not in repr(trace.runs)


def test_ids_that_are_not_opentelemetrys_stay_unique(tmp_path: Path) -> None:
    first = observation("trace-1", "obs")
    second = observation("trace-2", "obs")
    uuid = "0d6c73e1-be16-436d-a905-b4108912fa93"
    path = write(
        tmp_path, [first, second, observation("trace-2", uuid, parentObservationId="obs")]
    )

    one, two = langfuse.read(path)

    assert one.runs[0].run_id != two.runs[0].run_id
    assert two.runs[1].run_id == uuid
    assert two.runs[1].parent_id == two.runs[0].run_id


def test_an_event_ends_as_it_begins_and_an_open_span_is_running(tmp_path: Path) -> None:
    event = observation(span="e", type="EVENT", endTime=None, output=None)
    running = observation(span="r", endTime=None, output=None)
    path = write(tmp_path, [event, running])

    (trace,) = langfuse.read(path)

    by_kind = {run.native_kind: run for run in trace.runs}
    assert by_kind["EVENT"].end_ns == by_kind["EVENT"].start_ns
    assert by_kind["SPAN"].status is RunStatus.RUNNING


def test_a_trace_without_observations_is_one_run(tmp_path: Path) -> None:
    path = write(tmp_path, {**langfuse_export(), "observations": []})

    (trace,) = langfuse.read(path)

    assert [run.run_id for run in trace.runs] == [trace_uuid(TRACE)]
    assert trace.root.outputs == "Sunny"


def test_secrets_in_json_in_json_are_taken_out(tmp_path: Path) -> None:
    path = write(tmp_path, [observation(input='{"password": "hunter22", "user": "me"}')])

    (trace,) = langfuse.read(path)

    assert "hunter22" not in repr(trace)
    assert trace.root.inputs["user"] == "me"


def test_lines_lists_and_pages_are_read_alike(tmp_path: Path) -> None:
    items = [observation(), generation()]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    page = write(tmp_path, {"data": items, "meta": {"cursor": "x"}})

    assert list(langfuse.read(lines)) == list(langfuse.read(page))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"trace": {"id": "t", "projectId": "p"}, "observations": [{"name": "x"}]},
            "without `id`",
        ),
        ([observation(), 5], "no object"),
        ({"x": 1}, "neither a trace nor"),
        ({"trace": {"id": "t"}, "observations": [observation()]}, "is of trace"),
    ],
)
def test_what_is_wrong_is_named(document: Any, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, document)

    with pytest.raises(TraceFormatError, match=words) as caught:
        list(langfuse.read(path))

    assert str(path) in str(caught.value)


@given(content=mutated(langfuse_export()) | mutated([observation(), generation()]))
def test_spoilt_files_are_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "langfuse.json"

    reads_or_says_why(langfuse.read_labelled, path, content)


@given(head=st.binary(max_size=200))
def test_recognising_never_fails(head: bytes) -> None:
    langfuse.recognise(b'{"trace": {' + head, Path("x.json"))


def test_a_trace_is_fetched_whole_from_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [generation(), *(observation(span=f"{n:016x}") for n in range(1, 6)), observation()]
    other = observation(FAILED, CHILD)
    with serving(Langfuse([*many, other], [score()]), monkeypatch) as server:
        url = f"{server.url}/project/p-1/traces/{TRACE}?observation={CHILD}"
        with langfuse.connect(reference=url) as service:
            trace, said = service.fetch_trace(url)

    assert len(trace.runs) == 7
    assert trace.runs[0].metadata["note"] == "n" * 300
    assert (said[0].score, said[0].comment, said[0].source) == (0.5, "half right", "llm")
    asked = next(r for r in server.requests if r.path.endswith("observations"))
    assert "io" in asked.one("fields")
    assert asked.one("parseIoAsJson") is None


def test_file_and_api_give_the_same_runs(monkeypatch: pytest.MonkeyPatch, export: Path) -> None:
    (from_file,) = langfuse.read(export)
    with (
        serving(Langfuse([observation(), generation()]), monkeypatch),
        langfuse.connect() as service,
    ):
        fetched, _ = service.fetch_trace(TRACE)

    assert [run.run_id for run in fetched.runs] == [run.run_id for run in from_file.runs]
    assert fetched.runs[1].usage == from_file.runs[1].usage
    assert fetched.root.inputs == from_file.root.inputs


def test_an_older_server_is_asked_the_old_way(monkeypatch: pytest.MonkeyPatch) -> None:
    export = langfuse_export()
    whole = {**export["trace"], "observations": export["observations"]}
    bare = {key: value for key, value in export["trace"].items() if key != "scores"}
    failed = [observation(FAILED, level="ERROR")]
    traces = [whole, {**bare, "id": FAILED, "observations": failed}]
    project = Langfuse([*export["observations"], *failed], traces=traces, versions=(1,))
    with serving(project, monkeypatch), langfuse.connect() as service:
        one, said = service.fetch_trace(TRACE)
        broken = list(service.fetch_traces())
        everything = list(service.fetch_traces(only_failed=False))

    assert (len(one.runs), len(said)) == (2, 1)
    assert [trace.trace_id for trace, _ in broken] == [trace_uuid(FAILED)]
    assert len(everything) == 2


def test_failed_traces_are_listed_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [observation(FAILED, f"{n:016x}", level="ERROR") for n in range(1, 6)]
    with (
        serving(Langfuse([observation(), *failed]), monkeypatch) as server,
        langfuse.connect() as service,
    ):
        found = list(service.fetch_traces("shop", since_ns=0, until_ns=10**18))
        everything = list(service.fetch_traces(only_failed=False, limit=1))

    assert [(trace.trace_id, len(trace.runs)) for trace, _ in found] == [(trace_uuid(FAILED), 5)]
    assert len(everything) == 1
    asked = next(r for r in server.requests if r.one("level"))
    assert asked.one("fromStartTime") == "1970-01-01T00:00:00Z"


def test_keys_of_another_project_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Langfuse([]), monkeypatch),
        langfuse.connect() as service,
        pytest.raises(InputError, match="not for the project 'other'") as caught,
    ):
        list(service.fetch_traces("other"))

    assert "shop" in caught.value.hint


def test_what_is_not_there_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Langfuse([]), monkeypatch), langfuse.connect() as service:
        with pytest.raises(NotFoundError, match=TRACE):
            service.fetch_trace(TRACE)
        assert list(service.fetch_traces()) == []


def test_without_keys_nothing_is_asked() -> None:
    with pytest.raises(CredentialsError, match="no keys"):
        langfuse.connect("http://127.0.0.1:1")


def test_keys_of_one_server_are_not_sent_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_HOST", "https://langfuse.example")
    cloud = f"https://cloud.langfuse.com/project/p/traces/{TRACE}"

    with pytest.raises(InputError, match="where the keys are for"):
        langfuse.connect(reference=cloud)
    assert langfuse.owns(cloud)
    assert langfuse.owns("https://langfuse.example/project/p/traces/x")
    assert not langfuse.owns("https://cloud.langfuse.com.evil.example/project/p/traces/x")
