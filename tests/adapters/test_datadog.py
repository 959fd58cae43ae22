"""Datadog LLM Observability, in the shapes its reference documents."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from refinery.adapters import datadog, langfuse, mlflow, phoenix
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.trace import RunKind, RunStatus, Usage
from tests.adapters.mutating import mutated, reads_or_says_why
from tests.adapters.remote_samples import FAILED, TRACE, datadog_llm, datadog_span
from tests.fakes.trace_servers import Datadog, JsonServer

ERROR = {
    "status": "error",
    "metadata": {"error.type": "builtins.ValueError", "error.message": "no such city"},
}


def page(*spans: dict[str, Any]) -> dict[str, Any]:
    data = [{"id": "x", "type": "span", "attributes": span} for span in spans]
    return {"data": data, "meta": {"page": {}}}


def write(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "page.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@contextmanager
def serving(server: Datadog, monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonServer]:
    monkeypatch.setenv("DD_API_KEY", "api")
    monkeypatch.setenv("DD_APP_KEY", "app")
    with JsonServer(server).running() as running:
        yield running


def test_a_page_of_spans_becomes_a_trace(tmp_path: Path) -> None:
    path = write(tmp_path, page(datadog_llm(), datadog_span()))
    assert datadog.recognise(path.read_bytes(), path)
    others = (langfuse, mlflow, phoenix)
    assert not any(other.recognise(path.read_bytes(), path) for other in others)

    ((trace, said),) = datadog.read_labelled(path)

    root, call = trace.runs
    assert (trace.source, trace.project, root.parent_id) == ("datadog", "shop", None)
    assert (root.kind, root.native_kind, call.kind) == (RunKind.CHAIN, "workflow", RunKind.LLM)
    assert call.parent_id == root.run_id
    assert (root.inputs, root.outputs) == ({"question": "Weather in Paris?"}, "Sunny")
    assert call.inputs == {"messages": [{"role": "user", "content": "Weather?"}]}
    assert (root.session_id, root.user_id) == ("s-1", "u-1")
    assert root.duration_ms == 2500
    assert call.usage == Usage(input=36, output=5, total=41)
    assert (call.provider, call.model_requested) == ("openai", "gpt-4o")
    assert call.params == {"temperature": 0.2}
    (feedback,) = said
    assert (feedback.key, feedback.score, feedback.value) == ("tone", 0.9, "pass")
    assert (feedback.run_id, feedback.comment) == (call.run_id, "friendly")


def test_an_error_is_found_where_the_sdk_puts_it(tmp_path: Path) -> None:
    told = datadog_span(FAILED, error={"type": "a.B", "message": "m"}, status="error")
    path = write(tmp_path, page(datadog_span(**ERROR), told))

    one, two = datadog.read(path)

    assert one.status is RunStatus.ERROR
    assert (one.root.error.type, one.root.error.message) == ("ValueError", "no such city")
    assert (two.root.error.type, two.root.error.message) == ("B", "m")


@pytest.mark.parametrize(
    ("document", "words"),
    [({"data": []}, "holds no spans"), (page({"name": "x"}), "without `trace_id`")],
)
def test_what_is_wrong_is_named(document: Any, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, document)

    with pytest.raises(TraceFormatError, match=words) as caught:
        list(datadog.read(path))

    assert str(path) in str(caught.value)
    assert caught.value.hint


@given(content=mutated(page(datadog_llm(), datadog_span(**ERROR))))
def test_spoilt_files_are_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "datadog.json"

    reads_or_says_why(datadog.read_labelled, path, content)


def test_a_trace_is_fetched_over_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    more = [datadog_span(span=str(number), parent_id="101") for number in range(200, 205)]
    spans = [datadog_span(), datadog_llm(), *more, datadog_span(FAILED)]
    with serving(Datadog(spans), monkeypatch) as server, datadog.connect(server.url) as service:
        trace, said = service.fetch_trace(TRACE)

    assert (len(trace.runs), len(said)) == (7, 1)
    asked = server.requests[0]
    assert asked.headers["content-type"] == "application/vnd.api+json"
    assert {"from", "to"} <= set(asked.body["data"]["attributes"]["filter"])


def test_failed_traces_of_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = [
        datadog_span(),
        datadog_span(FAILED, "1"),
        datadog_span(FAILED, "2", parent_id="1", **ERROR),
        datadog_span("other", ml_app="other", **ERROR),
    ]
    with serving(Datadog(spans), monkeypatch) as server, datadog.connect(server.url) as service:
        failed = list(service.fetch_traces("shop"))
        everything = list(service.fetch_traces(only_failed=False))
        one = list(service.fetch_traces(only_failed=False, limit=1))

    assert [len(trace.runs) for trace, _ in failed] == [2]
    assert (len(everything), len(one)) == (3, 1)


def test_what_is_not_there_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Datadog([]), monkeypatch) as server,
        datadog.connect(server.url) as service,
        pytest.raises(NotFoundError, match=TRACE),
    ):
        service.fetch_trace(TRACE)


def test_keys_are_needed_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsError, match="no keys"):
        datadog.connect()
    with serving(Datadog([]), monkeypatch) as server:
        monkeypatch.setenv("DD_APP_KEY", "wrong")
        with (
            datadog.connect(server.url) as service,
            pytest.raises(CredentialsError, match="refused") as caught,
        ):
            service.fetch_trace(TRACE)
    assert "DD_APP_KEY" in caught.value.hint


def test_keys_of_one_site_are_not_sent_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_SITE", "datadoghq.eu")
    american = f"https://app.datadoghq.com/llm/traces?trace_id={TRACE}"

    with pytest.raises(InputError, match="not the site") as caught:
        datadog.connect(reference=american)
    with pytest.raises(InputError, match="not the site"):
        datadog.connect(reference="https://datadoghq.com.evil.example/llm/traces")

    assert "DD_SITE=datadoghq.com" in caught.value.hint
    assert datadog.owns(american)
