"""MLflow: both encodings of its traces, and the REST API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from refinery.adapters import jsonl, langfuse, messages, mlflow, phoenix
from refinery.adapters._shared.otel.spans import run_uuid, trace_uuid
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.trace import RunKind, RunStatus, Usage
from tests.adapters.mutating import mutated, reads_or_says_why
from tests.adapters.remote_samples import (
    CHILD,
    FAILED,
    ROOT,
    TRACE,
    mlflow_file,
    mlflow_info,
    mlflow_rest,
)
from tests.fakes.trace_servers import JsonServer, Mlflow

OTHERS = (jsonl, langfuse, messages, phoenix)
TABLE_ROW = {
    "trace_id": f"tr-{TRACE}",
    "trace": json.dumps(mlflow_file()),
    "state": "OK",
    "spans": "[]",
    "assessments": [],
}


def write(tmp_path: Path, document: Any, name: str = "trace.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_file_of_the_client_becomes_a_trace(tmp_path: Path) -> None:
    path = write(tmp_path, mlflow_file())

    ((trace, said),) = mlflow.read_labelled(path)

    root, call = trace.runs
    assert (trace.trace_id, trace.source) == (trace_uuid(TRACE), "mlflow")
    assert (root.run_id, call.run_id) == (run_uuid(TRACE, ROOT), run_uuid(TRACE, CHILD))
    assert (root.kind, call.kind) == (RunKind.AGENT, RunKind.LLM)
    assert root.inputs == {"question": "Weather in Paris?"}
    assert root.outputs == "123"
    assert root.start_ns == 1767323045_000_000_123
    assert (root.session_id, root.user_id, root.tags) == ("s-1", "u-1", ["team:blue"])
    assert root.metadata["mlflow"]["trace_id"] == f"tr-{TRACE}"
    assert call.usage == Usage(input=36, output=5, total=41)
    assert call.cost_usd == Decimal("0.003")
    judged, wanted = said
    assert (judged.key, judged.score, judged.source) == ("correct", 1.0, "llm")
    assert (wanted.correction, wanted.source) == ({"weather": "Sunny"}, "human")


@pytest.mark.parametrize(
    "document",
    [
        {"trace": mlflow_rest()},
        {"traces": [mlflow_rest()]},
        TABLE_ROW,
        [mlflow_file()],
    ],
)
def test_both_encodings_in_every_shape_give_the_same(document: Any, tmp_path: Path) -> None:
    path = write(tmp_path, document, "other.json")
    assert mlflow.recognise(path.read_bytes(), path)
    assert not any(other.recognise(path.read_bytes(), path) for other in OTHERS)

    assert list(mlflow.read_labelled(path)) == list(
        mlflow.read_labelled(write(tmp_path, mlflow_file()))
    )


def test_the_answer_of_a_search_stands_for_its_traces(tmp_path: Path) -> None:
    failed = mlflow_info(FAILED, state="ERROR", assessments=[])
    path = write(tmp_path, {"traces": [mlflow_info(), failed], "next_page_token": "x"})
    assert mlflow.recognise(path.read_bytes(), path)

    (one, said), (two, _) = mlflow.read_labelled(path)

    assert (one.trace_id, len(one.runs), len(said)) == (trace_uuid(TRACE), 1, 2)
    assert one.root.metadata["mlflow"]["is_summary"]
    assert one.root.inputs == {"question": "Weather in Paris?"}
    assert one.root.duration_ms == 2500
    assert two.status is RunStatus.ERROR


def test_a_summary_sorts_after_the_spans_it_stood_for(tmp_path: Path) -> None:
    (summary,) = mlflow.read(write(tmp_path, {"traces": [mlflow_info()]}))
    (whole,) = mlflow.read(write(tmp_path, mlflow_file(), "whole.json"))

    assert summary.root.start_ns > whole.root.start_ns
    assert summary.root.start_ns // 10**6 == whole.root.start_ns // 10**6
    assert summary.root.run_id not in {run.run_id for run in whole.runs}


def test_files_of_version_2_are_read(tmp_path: Path) -> None:
    span = {
        "name": "agent",
        "context": {"span_id": f"0x{ROOT}", "trace_id": f"0x{TRACE}"},
        "parent_id": None,
        "start_time": 1767323045_000_000_000,
        "end_time": 1767323046_000_000_000,
        "status_code": "ERROR",
        "status_message": "ValueError('no such city')",
        "attributes": {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"city": "X"}'},
        "events": [],
    }
    info = {
        "request_id": "9f3c",
        "experiment_id": "7",
        "timestamp_ms": 1767323045000,
        "execution_time_ms": 1000,
        "status": "ERROR",
        "request_metadata": {"mlflow.trace.session": "s-1"},
        "tags": {},
    }
    path = write(tmp_path, {"info": info, "data": {"spans": [span]}})
    assert mlflow.recognise(path.read_bytes(), path)

    (trace,) = mlflow.read(path)

    assert trace.root.run_id == run_uuid(TRACE, ROOT)
    assert (trace.root.kind, trace.status) == (RunKind.TOOL, RunStatus.ERROR)
    assert (trace.root.inputs, trace.root.session_id) == ({"city": "X"}, "s-1")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"x": 1}, "not a trace"),
        ({"traces": []}, "holds no traces"),
        ({"trace_info": mlflow_info(), "spans": [{"name": "n"}]}, "has no ids"),
        (
            {"trace_info": {}, "spans": [*mlflow_rest()["spans"], *mlflow_rest(FAILED)["spans"]]},
            "several traces",
        ),
    ],
)
def test_what_is_wrong_is_named(document: Any, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, document)

    with pytest.raises(TraceFormatError, match=words) as caught:
        list(mlflow.read(path))

    assert str(path) in str(caught.value)
    assert caught.value.hint


@given(
    content=mutated(mlflow_file())
    | mutated({"trace": mlflow_rest()})
    | mutated({"traces": [mlflow_info()]})
    | mutated(TABLE_ROW)
)
def test_spoilt_files_are_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mlflow.json"

    reads_or_says_why(mlflow.read_labelled, path, content)


@contextmanager
def serving(server: Mlflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonServer]:
    with JsonServer(server).running() as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        yield running


def test_a_trace_is_fetched_with_the_name_of_its_experiment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (from_file,) = mlflow.read(write(tmp_path, mlflow_file()))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "sesame")
    with (
        serving(Mlflow([mlflow_rest()], token="sesame"), monkeypatch) as server,
        mlflow.connect() as service,
    ):
        trace, said = service.fetch_trace(TRACE)
        page = f"{server.url}/#/experiments/7?selectedEvaluationId=tr-{TRACE}"
        again, _ = service.fetch_trace(page)

    assert (trace.project, trace.runs, len(said)) == ("shop", from_file.runs, 2)
    assert again == trace


def test_failed_traces_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{number:032x}" for number in range(1, 6)]
    traces = [mlflow_rest(name, assessments=[]) for name in ids]
    failed = mlflow_rest(FAILED, "STATUS_CODE_ERROR", state="ERROR")
    with serving(Mlflow([*traces, failed]), monkeypatch) as server, mlflow.connect() as service:
        broken = list(service.fetch_traces("shop", since_ns=5 * 10**6, until_ns=10**18))
        everything = list(service.fetch_traces("7", only_failed=False))
        two = list(service.fetch_traces("shop", only_failed=False, limit=2))

    assert [trace.trace_id for trace, _ in broken] == [trace_uuid(FAILED)]
    assert (len(everything), len(two)) == (6, 2)
    asked = next(r.body for r in server.requests if r.path.endswith("/search"))
    assert "attributes.timestamp_ms >= 5 AND" in asked["filter"]


def test_what_is_not_there_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Mlflow([]), monkeypatch), mlflow.connect() as service:
        with pytest.raises(NotFoundError, match=f"no trace tr-{TRACE}"):
            service.fetch_trace(TRACE)
        with pytest.raises(NotFoundError, match="no experiment 'other'"):
            list(service.fetch_traces("other"))


def test_a_refused_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Mlflow([], token="sesame"), monkeypatch),
        mlflow.connect() as service,
        pytest.raises(CredentialsError) as caught,
    ):
        service.fetch_trace(TRACE)

    assert "MLFLOW_TRACKING_TOKEN" in caught.value.hint


def test_a_store_that_is_no_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")

    with pytest.raises(InputError, match="no web address") as caught:
        mlflow.connect()

    assert "mlflow server" in caught.value.hint
