"""The LangSmith adapter, through the real SDK, against a LangSmith-shaped server on loopback."""

import asyncio
import json
import socket
import stat
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from refinery import clock
from refinery.adapters._shared import langsmith_address as address
from refinery.adapters._shared.file_cache import FileCache
from refinery.adapters._shared.langsmith_runs import to_run
from refinery.adapters.langsmith import LangSmithAdapter
from refinery.errors import CredentialsError, InputError, NotFoundError, TraceFormatError
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import RunError, RunKind, RunStatus, Usage
from tests.fakes.langsmith_server import PROJECT_ID, LangSmithServer

SHARE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
ERROR = (
    "ValueError('no lamp')Traceback (most recent call last):\n"
    '  File "/srv/agent.py", line 3, in price\n    raise ValueError("no lamp")\n'
    "ValueError: no lamp"
)


def remote_runs(
    days_ago: float = 5, calls: int = 3, error: str | None = ERROR, project: str = PROJECT_ID
) -> list[dict[str, Any]]:
    """A trace as version 1 writes it: a root chain and model calls below it."""
    start = datetime.now(tz=UTC) - timedelta(days=days_ago)
    root = _remote(start, None, "agent", "chain", project)
    root |= {"error": error, "status": "error" if error else "success", "inputs": {"q": "price?"}}
    root["total_tokens"] = 7 * calls
    runs = [root]
    for number in range(calls):
        run = _remote(start + timedelta(milliseconds=number + 1), root, "model", "llm", project)
        run["inputs"] = {"messages": [[_dumped("HumanMessage", content=f"call {number}")]]}
        message = _dumped(
            "AIMessage",
            content="29",
            usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            response_metadata={"model_name": "m-1"},
        )
        run["outputs"] = {"generations": [[{"text": "29", "message": message}]]}
        run["extra"]["metadata"] |= {"ls_provider": "openai", "ls_model_name": "m"}
        runs.append(run)
    return runs


def _dumped(name: str, **kwargs: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


def _remote(
    start: datetime, parent: dict[str, Any] | None, name: str, kind: str, project: str
) -> dict[str, Any]:
    run_id = str(uuid.uuid4())
    own = start.strftime("%Y%m%dT%H%M%S%fZ") + run_id
    return {
        "id": run_id,
        "trace_id": parent["id"] if parent else run_id,
        "parent_run_id": parent["id"] if parent else None,
        "session_id": project,
        "name": name,
        "run_type": kind,
        "start_time": start.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "end_time": (start + timedelta(seconds=2)).replace(tzinfo=None).isoformat(),
        "status": "success",
        "error": None,
        "inputs": {},
        "outputs": None,
        "extra": {"metadata": {"thread_id": "th"}},
        "dotted_order": f"{parent['dotted_order']}.{own}" if parent else own,
        "tags": ["seq:1"],
    }


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Starts a server and answers it with an adapter for it."""
    with ExitStack() as stack:

        def begin(
            runs: list[dict[str, Any]], **behaviour: Any
        ) -> tuple[LangSmithServer, LangSmithAdapter]:
            server = stack.enter_context(LangSmithServer(runs, **behaviour).running())
            monkeypatch.setenv("LANGSMITH_ENDPOINT", server.url)
            adapter = stack.enter_context(LangSmithAdapter(tmp_path / "cache"))
            return server, adapter

        yield begin


VERSIONS = pytest.mark.parametrize("versions", [(2,), (1,), (1, 2)])


@VERSIONS
def test_a_whole_trace_is_fetched_by_the_id_of_any_run(start: Any, versions: Any) -> None:
    runs = remote_runs()
    _, adapter = start(runs, versions=versions)

    trace = adapter.fetch_trace(runs[2]["id"])

    assert [run.run_id for run in trace.runs] == [run["id"] for run in runs]
    assert {run.parent_id for run in trace.runs[1:]} == {runs[0]["id"]}
    assert (trace.source, trace.status) == ("langsmith", RunStatus.ERROR)
    assert trace.is_complete
    assert trace.root.inputs == {"q": "price?"}
    assert trace.root.session_id == "th"
    assert messages_in(trace.runs[1])[0].text == "call 0"
    assert messages_out(trace.runs[1])[0].text == "29"


@VERSIONS
def test_more_runs_than_a_page_holds_come_whole(start: Any, versions: Any) -> None:
    runs = remote_runs(calls=230)
    server, adapter = start(runs, versions=versions)

    assert len(adapter.fetch_trace(runs[0]["id"]).runs) == 231
    assert len([q for q in server.queries() if "cursor" in q[1]]) == 2


def test_version_2_is_asked_first_with_fields_and_times(start: Any) -> None:
    runs = remote_runs(days_ago=400)
    server, adapter = start(runs)

    adapter.fetch_trace(runs[0]["id"])

    paths = [path for path, _ in server.queries()]
    bodies = [body for _, body in server.queries()]
    assert set(paths) == {"/api/v2/runs/query"}
    assert all("INPUTS" in body["selects"] for body in bodies[1:])
    assert all(body["min_start_time"].startswith("2000") for body in bodies)


def test_version_1_is_asked_when_there_is_no_other(start: Any) -> None:
    runs = remote_runs()
    server, adapter = start(runs, versions=(1,))

    adapter.fetch_trace(runs[0]["id"])

    assert [path for path, _ in server.queries()] == [
        "/api/v2/runs/query",
        "/runs/query",
        "/runs/query",
    ]


@VERSIONS
def test_failed_traces_are_listed_without_payloads_and_loaded_later(
    start: Any, versions: Any
) -> None:
    old, new = remote_runs(days_ago=3), remote_runs(days_ago=2)
    fine, ancient = remote_runs(error=None), remote_runs(days_ago=30)
    server, adapter = start(old + new + fine + ancient, versions=versions)
    since_ns = clock.now_ns() - 7 * 86_400 * 10**9

    found = adapter.fetch_failed_traces("default", since_ns=since_ns)

    assert [item.root.run_id for item in found] == [new[0]["id"], old[0]["id"]]
    assert found[0].root.inputs is None
    assert found[0].root.error.message == "no lamp"
    asked = len(server.requests)
    trace = found[0].load()
    assert len(server.requests) > asked
    assert trace.root.inputs == {"q": "price?"}
    assert (len(trace.runs), trace.project) == (4, "default")


def test_the_time_range_and_the_limit_hold(start: Any) -> None:
    runs = [run for days in (1, 2, 3, 4) for run in remote_runs(days_ago=days, calls=0)]
    _, adapter = start(runs)
    day = 86_400 * 10**9
    now = clock.now_ns()

    window = adapter.fetch_failed_traces(
        since_ns=now - int(3.5 * day), until_ns=now - int(1.5 * day)
    )

    assert [item.root.run_id for item in window] == [runs[1]["id"], runs[2]["id"]]
    assert len(adapter.fetch_failed_traces(limit=3)) == 3


@VERSIONS
def test_a_hierarchy_has_all_runs_and_no_payloads(start: Any, versions: Any) -> None:
    runs = remote_runs()
    _, adapter = start(runs, versions=versions)

    tree = adapter.fetch_trace_hierarchy(runs[0]["id"])

    assert len(tree.runs) == 4
    assert {str(run.inputs) for run in tree.runs} == {"None"}


@VERSIONS
def test_addresses_of_pages_name_traces(start: Any, versions: Any) -> None:
    runs = remote_runs()
    server, adapter = start(runs, versions=versions, shared={SHARE: runs[0]["id"]})
    base = f"{server.url}/o/{uuid.uuid4()}/projects/p/{PROJECT_ID}"

    by_run = adapter.fetch_trace(f"{base}/r/{runs[2]['id']}?trace_id={runs[0]['id']}")
    shared = adapter.fetch_trace(f"{server.url}/public/{SHARE}/r")

    assert len(by_run.runs) == len(shared.runs) == 4
    assert shared.runs[1].inputs == by_run.runs[1].inputs


@pytest.mark.slow
@VERSIONS
def test_a_service_that_asks_to_wait_is_waited_for(start: Any, versions: Any) -> None:
    runs = remote_runs()
    server, adapter = start(runs, versions=versions, first_answers=[(429, {"Retry-After": "1"})])
    before = clock.monotonic_s()

    trace = adapter.fetch_trace(runs[0]["id"], "default")

    assert len(trace.runs) == 4
    assert clock.monotonic_s() - before >= 1
    assert server.first_answers == []


def test_an_answer_is_kept_for_15_minutes(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = remote_runs()
    server, adapter = start(runs)
    adapter.fetch_trace(runs[0]["id"])
    asked = len(server.queries())

    adapter.fetch_trace(runs[0]["id"])
    assert len(server.queries()) == asked

    later_ns = clock.now_ns() + 15 * 60 * 10**9
    monkeypatch.setattr(clock, "now_ns", lambda: later_ns)
    adapter.fetch_trace(runs[0]["id"])
    assert len(server.queries()) == 2 * asked


def test_another_key_does_not_see_what_the_cache_holds(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = remote_runs()
    monkeypatch.setenv("LANGSMITH_API_KEY", "right")
    server, adapter = start(runs, key="right")
    adapter.fetch_trace(runs[0]["id"], PROJECT_ID)
    asked = len(server.queries())
    monkeypatch.setenv("LANGSMITH_API_KEY", "wrong")

    with (
        LangSmithAdapter(tmp_path / "cache") as other,
        pytest.raises(CredentialsError, match="refused"),
    ):
        other.fetch_trace(runs[0]["id"], PROJECT_ID)

    assert len(server.queries()) > asked


def test_the_cache_is_private_and_holds_no_secrets(start: Any, tmp_path: Path) -> None:
    runs = remote_runs()
    runs[0]["inputs"] = {"password": "hunter22"}
    _, adapter = start(runs)

    trace = adapter.fetch_trace(runs[0]["id"])

    files = list((tmp_path / "cache").iterdir())
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert "hunter22" not in "".join(file.read_text() for file in files) + str(trace)


@pytest.mark.parametrize("versions", [(2,), (1,)])
@pytest.mark.parametrize("key", [None, "wrong"])
def test_a_missing_or_wrong_key_is_said(
    start: Any, monkeypatch: pytest.MonkeyPatch, versions: Any, key: str | None
) -> None:
    if key:
        monkeypatch.setenv("LANGSMITH_API_KEY", key)
    runs = remote_runs()
    _, adapter = start(runs, versions=versions, key="right")

    with pytest.raises(CredentialsError) as caught:
        adapter.fetch_trace(runs[0]["id"])

    assert "LANGSMITH_API_KEY" in caught.value.hint


@VERSIONS
def test_what_is_not_there_is_said(start: Any, versions: Any) -> None:
    _, adapter = start(remote_runs(), versions=versions, shared={})

    with pytest.raises(NotFoundError):
        adapter.fetch_trace(str(uuid.uuid4()))
    with pytest.raises(NotFoundError):
        adapter.fetch_failed_traces("no such project")


def test_a_service_that_cannot_be_reached_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("LANGSMITH_ENDPOINT", f"http://127.0.0.1:{port}")

    with (
        LangSmithAdapter(tmp_path) as adapter,
        pytest.raises(InputError, match="cannot be reached") as caught,
    ):
        adapter.fetch_trace(str(uuid.uuid4()), PROJECT_ID)

    assert "LANGSMITH_ENDPOINT" in caught.value.hint


def test_it_works_inside_a_running_event_loop(start: Any) -> None:
    runs = remote_runs()
    _, adapter = start(runs)

    async def inside() -> int:
        return len(adapter.fetch_trace(runs[0]["id"]).runs)

    assert asyncio.run(inside()) == 4


RUN = "0c2a5a6e-8ff0-4f6f-9a3e-1f1f1f1f1f1f"
TRACE = "1c2a5a6e-8ff0-4f6f-9a3e-1f1f1f1f1f1f"
PAGE = f"https://smith.langchain.com/o/{SHARE}/projects/p/{PROJECT_ID}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RUN, address.Reference(RUN)),
        (RUN.upper(), address.Reference(RUN)),
        (
            f"{PAGE}/r/{RUN}?trace_id={TRACE}&start_time=x",
            address.Reference(RUN, TRACE, PROJECT_ID, host="smith.langchain.com"),
        ),
        (
            f"{PAGE}?peek={RUN}",
            address.Reference(RUN, None, PROJECT_ID, host="smith.langchain.com"),
        ),
        (
            f"https://eu.smith.langchain.com/public/{SHARE}/r/{RUN}",
            address.Reference(RUN, share_token=SHARE, host="eu.smith.langchain.com"),
        ),
        (
            f"https://smith.langchain.com/public/{SHARE}/r",
            address.Reference(share_token=SHARE, host="smith.langchain.com"),
        ),
    ],
)
def test_references_are_read(text: str, expected: address.Reference) -> None:
    assert address.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latest",
        "file:///etc/passwd",
        "https://smith.langchain.com/",
        f"{PAGE}/r/../../etc",
        f"{PAGE}/r/not-a-uuid",
        PAGE,
        "https://smith.langchain.com/public/../r",
        "https://[bad/o/x",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no LangSmith run"):
        address.parse(text)


@pytest.mark.parametrize(
    ("host", "configured", "expected"),
    [
        (None, None, None),
        (None, "http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("smith.langchain.com", None, "https://api.smith.langchain.com"),
        ("eu.smith.langchain.com", None, "https://eu.api.smith.langchain.com"),
        (
            "smith.langchain.com",
            "https://api.smith.langchain.com",
            "https://api.smith.langchain.com",
        ),
        ("ls.example.com:8443", "https://ls.example.com/api/v1", "https://ls.example.com/api/v1"),
    ],
)
def test_the_service_of_an_address_is_known(
    host: str | None, configured: str | None, expected: str | None
) -> None:
    assert address.endpoint(address.Reference(RUN, host=host), configured) == expected


@pytest.mark.parametrize("configured", [None, "https://api.smith.langchain.com"])
@pytest.mark.parametrize("host", ["evil.example", "smith.langchain.com.evil.example"])
def test_no_key_goes_to_a_host_nobody_configured(host: str, configured: str | None) -> None:
    with pytest.raises(InputError, match=host):
        address.endpoint(address.Reference(RUN, host=host), configured)


def test_every_field_of_a_run_is_taken_over() -> None:
    run = to_run(
        {
            "id": RUN,
            "trace_id": TRACE,
            "parent_run_ids": [TRACE],
            "name": "ChatModel",
            "run_type": "LLM",
            "status": "SUCCESS",
            "start_time": "2026-11-21T06:41:36.367923Z",
            "end_time": 1795243297000,
            "first_token_time": "2026-11-21T06:41:36.5+00:00",
            "inputs": {"messages": []},
            "outputs": {"usage_metadata": {"input_tokens": 1}},
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_token_details": {"raw": {"cache_read": 4, "cache_creation": 1}},
            "completion_token_details": {"reasoning": 2},
            "total_cost": 0.00012,
            "tags": ["a", 5],
            "events": [{"name": "start"}],
            "extra": {
                "metadata": {"ls_temperature": 0.5, "session_id": "s", "user_id": 7},
                "invocation_params": {"model": "gpt", "tools": [{"name": "t"}], "seed": 1},
            },
            "attachments": {"a.png": "https://storage.example/a.png?signature=1"},
        }
    )

    assert run.kind is RunKind.LLM
    assert (run.parent_id, run.native_kind, run.status) == (TRACE, "llm", RunStatus.OK)
    assert run.start_ns == 1_795_243_296_367_923_000
    assert run.end_ns == 1_795_243_297_000_000_000
    assert run.first_token_ns == 1_795_243_296_500_000_000
    assert run.usage == Usage(10, 5, 15, 4, 1, 2)
    assert (run.cost_usd, run.cost_source) == (Decimal("0.00012"), "reported")
    assert run.params == {"temperature": 0.5, "model": "gpt", "seed": 1}
    assert (run.model_requested, run.tools) == ("gpt", [{"name": "t"}])
    assert (run.session_id, run.user_id, run.tags) == ("s", "7", ["a"])
    assert run.attachments == [{"name": "a.png", "fetched": False}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ERROR, RunError("ValueError", "no lamp", ERROR.removeprefix("ValueError('no lamp')"))),
        ("openai.RateLimitError('slow down')", RunError("RateLimitError", "slow down")),
        ("plain words", RunError("", "plain words")),
        ("Exploded: badly", RunError("", "Exploded: badly")),
        ("KeyError('a', 'b')", RunError("KeyError", "'a', 'b'")),
    ],
)
def test_errors_are_split_at_the_traceback(text: str, expected: RunError) -> None:
    assert to_run({"id": RUN, "trace_id": RUN, "error": text}).error == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, RunStatus.RUNNING),
        ({"status": "pending"}, RunStatus.RUNNING),
        ({"end_time": "2026-01-01T00:00:00"}, RunStatus.OK),
        ({"status": "SUCCESS"}, RunStatus.OK),
        ({"error": "x"}, RunStatus.ERROR),
        ({"status": "error", "error": "GraphInterrupt((Interrupt(),))"}, RunStatus.CANCELLED),
        ({"error": "GeneratorExit()Traceback (most recent call last):"}, RunStatus.CANCELLED),
    ],
)
def test_states_are_told_apart(fields: dict[str, Any], expected: RunStatus) -> None:
    assert to_run({"id": RUN, "trace_id": RUN, **fields}).status is expected


def test_totals_of_parents_are_not_their_usage() -> None:
    assert (
        to_run({"id": RUN, "trace_id": RUN, "run_type": "chain", "total_tokens": 9}).usage is None
    )


def test_payloads_kept_elsewhere_are_said_to_be_missing() -> None:
    url = {"ROOT": {"presigned_url": "https://storage.example/x"}}
    run = to_run({"id": RUN, "trace_id": RUN, "inputs": {}, "inputs_s3_urls": url})

    assert run.metadata == {"refinery_left_out": ["inputs"]}


@pytest.mark.parametrize(
    "item",
    [
        {"id": RUN, "trace_id": RUN, "extra": 5, "tags": [], "outputs": [], "run_type": 7},
        {"id": RUN, "trace_id": RUN, "outputs": {"generations": [[[[]]]]}, "run_type": "llm"},
        {"id": RUN, "trace_id": RUN, "start_time": "soon", "end_time": 1e300, "total_cost": "x"},
        {"id": RUN, "trace_id": RUN, "dotted_order": "....", "parent_run_ids": [None]},
        {"id": RUN, "trace_id": RUN, "total_cost": "NaN", "run_type": "llm", "total_tokens": "9"},
    ],
)
def test_odd_answers_are_taken_as_far_as_they_go(item: dict[str, Any]) -> None:
    run = to_run(item)

    assert run.run_id == RUN
    assert run.cost_usd is None


@pytest.mark.parametrize("item", [{}, {"id": RUN}, {"id": 5, "trace_id": RUN}])
def test_a_run_without_ids_is_refused(item: dict[str, Any]) -> None:
    with pytest.raises(TraceFormatError):
        to_run(item)


def test_a_damaged_cache_is_no_error(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 60)
    cache.put("question", [1])
    assert cache.get("question") == [1]

    for content in ("{", "[]", json.dumps({"question": "other"}), "[" * 100_000):
        next(tmp_path.glob("*.json")).write_text(content)
        assert cache.get("question") is None


def test_old_answers_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FileCache(tmp_path, 60)
    cache.put("old", 1)
    later_ns = clock.now_ns() + 3600 * 10**9
    monkeypatch.setattr(clock, "now_ns", lambda: later_ns)

    cache.put("new", 2)

    assert cache.get("old") is None
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    FileCache(blocked / "cache", 60).put("question", 1)

    assert FileCache(blocked / "cache", 60).get("question") is None
