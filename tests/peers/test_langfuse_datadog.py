"""The vendors' own clients read the loopback servers our adapters are tested against."""

import json
from pathlib import Path

import pytest

from refinery.adapters import datadog, langfuse
from refinery.adapters._shared import remote
from tests.adapters.remote_samples import (
    CHILD,
    TRACE,
    datadog_llm,
    datadog_span,
    generation,
    observation,
    score,
)
from tests.fakes.trace_servers import Datadog, JsonServer, Langfuse
from tests.peers.services.environments import python_of, run

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.timeout(900)]


def test_langfuse_reads_what_we_read(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = python_of("langfuse", tmp_path_factory.getbasetemp())
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-1")
    more = [observation(span=f"{n:016x}", parentObservationId=CHILD) for n in range(1, 5)]
    whole = {"projectId": "p-1", "environment": "default", "createdAt": "2026-01-02T04:00:00Z"}
    said = {**score(), **whole, "updatedAt": "2026-01-02T04:00:00Z"}
    with JsonServer(Langfuse([observation(), generation(), *more], [said])).running() as server:
        told = json.loads(
            run(python, "read_langfuse.py", tmp_path, LANGFUSE_URL=server.url, TRACE=TRACE)
        )
        with langfuse.connect(server.url) as service:
            trace, feedback = service.fetch_trace(TRACE)

    ids = {remote.run_id_of("langfuse", TRACE, span) for span, _, _ in told["observations"]}
    assert {item.run_id for item in trace.runs} == ids
    assert [[item.key, item.score] for item in feedback] == told["scores"]


def test_datadog_reads_what_we_read(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = python_of("datadog", tmp_path_factory.getbasetemp())
    monkeypatch.setenv("DD_API_KEY", "api")
    monkeypatch.setenv("DD_APP_KEY", "app")
    spans = [datadog_span(), datadog_llm()]
    with JsonServer(Datadog(spans, page=100)).running() as server:
        told = json.loads(
            run(python, "read_datadog.py", tmp_path, DATADOG_URL=server.url, TRACE=TRACE)
        )
        with datadog.connect(server.url) as service:
            trace, _ = service.fetch_trace(TRACE)

    by_id = {item.run_id: item for item in trace.runs}
    assert len(by_id) == len(told) == 2
    for span, kind, status, start_ns, duration in told:
        found = by_id[remote.run_id_of("datadog", TRACE, span)]
        assert (found.native_kind, found.status, found.start_ns) == (kind, status, start_ns)
        assert found.end_ns == start_ns + int(duration)
