"""Traces, runs, searches, labels and figures over the API."""

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinery.model.codec import encode
from refinery.model.trace import Evaluation, Run, RunKind, RunStatus, Usage
from refinery.model.verdict import Change
from refinery.safety.ledger import Ledger
from refinery.workflows import search, search_document
from refinery.workflows.wiring import Workspace, load_settings
from tests.kits.traces import START_NS, llm, run, sample, trace
from tests.server.api import Api, api

pytestmark = pytest.mark.slow

START_MS = START_NS // 10**6


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Thirty traces, a second apart; the last is `t29`."""
    with api(tmp_path_factory.mktemp("api")) as running:
        for number in range(30):
            failed = "boom" if number % 3 == 0 else None
            made = sample(f"t{number}", failed=failed, at_ms=number * 1_000)
            root = replace(made.runs[0], user_id=f"u{number % 2}", session_id=f"s{number % 5}")
            project = "shop" if number < 20 else "bank"
            running.store.write_runs([root, *made.runs[1:]], source="test", project=project)
        yield running


def ids(document: dict[str, Any]) -> list[str]:
    return [one["trace_id"] for one in document["traces"]]


def all_pages(asked: Api, **query: Any) -> list[str]:
    found, cursor = [], None
    while True:
        page = asked.get("/traces", **query, **({"cursor": cursor} if cursor else {}))
        found += ids(page)
        cursor = page["next"]
        if cursor is None:
            return found


def test_pages_neither_overlap_nor_skip(asked: Api) -> None:
    newest_first = [f"t{number}" for number in range(29, -1, -1)]

    for limit in (1, 7, 30, 500):
        assert all_pages(asked, limit=limit) == newest_first


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"status": "failed"}, 10),
        ({"status": "ok"}, 20),
        ({"project": "bank"}, 10),
        ({"user": "u1"}, 15),
        ({"session": "s3"}, 6),
        ({"source": "test"}, 30),
        ({"source": "other"}, 0),
        ({"name": "T1"}, 11),
        ({"q": "boom"}, 10),
        ({"q": "boom price"}, 10),  # words of one trace may stand in several of its runs
        ({"q": "price", "project": "shop", "status": "failed", "user": "u0"}, 4),
        ({"since": START_MS + 25_000}, 5),
        ({"until": START_MS + 5_000}, 5),
        ({"since": "2026-05-28", "until": "2026-05-29"}, 30),
        ({"since": "1d"}, 0),
        ({"label": "fail"}, 0),
    ],
    ids=str,
)
def test_traces_are_filtered(asked: Api, query: dict[str, Any], count: int) -> None:
    assert len(all_pages(asked, limit=4, **query)) == count


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": "many"},
        {"cursor": "x"},
        {"cursor": "AAAA"},
        {"since": "yesterday"},
        {"since": "9" * 40},
        {"unknown": "1"},
        {"q": "x" * 3_000},
    ],
    ids=lambda query: str(query)[:40],
)
def test_what_cannot_be_asked_is_said(asked: Api, query: dict[str, Any]) -> None:
    answer = asked.client.get("/traces", params=query)

    assert answer.status_code in (400, 422)
    assert set(answer.json()["error"]) == {"code", "message", "hint"}


def test_a_line_says_what_the_list_shows(asked: Api) -> None:
    line = asked.get("/traces", status="failed", limit=1)["traces"][0]

    assert line == {
        "trace_id": "t27",
        "name": "t27",
        "status": "error",
        "label": None,
        "project": "bank",
        "source": "test",
        "session_id": "s2",
        "user_id": "u1",
        "start_ms": START_MS + 27_000.0,
        "end_ms": START_MS + 27_005.0,
        "duration_ms": 5.0,
        "runs": 4,
        "errors": 2,
        "tokens": 30,
        "cost_usd": None,
        "is_complete": True,
        "root_input": "question: price?",
        "root_output": None,
    }


def test_a_trace_is_a_tree_without_payloads(asked: Api) -> None:
    document = asked.get("/traces/t1")

    assert document["trace"]["trace_id"] == "t1"
    assert [(row["run_id"], row["depth"], row["order"]) for row in document["runs"]] == [
        ("t1", 0, 0),
        ("t1/1", 1, 1),
        ("t1/2", 1, 2),
        ("t1/3", 1, 3),
    ]
    assert document["findings"] == []
    assert "price?" not in json.dumps(document["runs"])


def test_a_run_is_shown_whole(asked: Api) -> None:
    document = asked.get("/traces/t1/runs/t1%2F1")

    assert document["run_id"] == "t1/1"
    assert document["messages_in"][0]["text"] == "price?"
    assert document["messages_out"][0]["role"] == "assistant"
    assert document["usage"]["input"] == 10
    assert document["tokens"] == 15
    assert asked.client.get("/traces/t1/runs/t1%2F1/payload/inputs").json() == {
        "messages": [{"role": "user", "content": "price?"}]
    }
    assert asked.status("GET", "/traces/t2/runs/t1%2F1") == 404
    assert asked.status("GET", "/traces/t1/runs/t1%2F1/payload/usage") == 404


def test_names_come_with_counts_the_latest_first(asked: Api) -> None:
    projects = asked.get("/projects")["projects"]
    users = asked.get("/users")["users"]

    assert [(one["name"], one["traces"], one["errors"]) for one in projects] == [
        ("bank", 10, 3),
        ("shop", 20, 7),
    ]
    assert [(one["name"], one["traces"]) for one in users] == [("u1", 15), ("u0", 15)]
    assert [one["name"] for one in asked.get("/sessions", limit=2)["sessions"]] == ["s4", "s3"]


def test_text_is_found_in_all_traces_and_in_one(asked: Api) -> None:
    found = asked.get("/search", q="boom", by="text")["results"]

    assert len(found) == 10
    assert {one["why"][0]["snippet"] for one in found} == {"boom"}
    narrow = {"user": "u1", "from": START_MS + 20_000, "to": START_MS + 29_000, "kind": "agent"}
    expected = {"t27", "t25", "t23", "t21"}
    assert {one["trace_id"] for one in asked.get("/search", q="price", **narrow)["results"]} == (
        expected
    )
    latest = [one["trace_id"] for one in asked.get("/search", **narrow)["results"]]
    assert latest == ["t27", "t25", "t23", "t21"]
    assert asked.get("/traces/t3/search", q="BOOM")["hits"] == [
        {"run_id": "t3", "where": "error.message", "snippet": "boom"},
        {"run_id": "t3/2", "where": "error.message", "snippet": "boom"},
    ]


def test_the_api_finds_what_the_command_line_finds(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        for number, words in enumerate(
            ("refund for a lamp", "opening hours", "a lamp was broken")
        ):
            made = sample(f"t{number}", at_ms=number * 1_000)
            root = replace(made.runs[0], inputs={"question": words})
            asked.store.write_runs([root, *made.runs[1:]], source="test")
        workspace = Workspace(load_settings(), asked.store, tmp_path)
        for by in ("fused", "text", "meaning"):
            ways = search.Ways(by_text=by != "meaning", by_meaning=by != "text")
            expected = search.search(workspace, search.Query(text="broken lamp"), ways=ways)

            found = asked.get("/search", q="broken lamp", by=by)

            assert found == {
                **{"schema_version": 1, "query": "broken lamp"},
                **json.loads(json.dumps(search_document.document(expected))),
            }
            assert found["results"][0]["trace_id"] == "t2"
        assert asked.get("/session")["has_meaning"] is search.is_installed()


def test_two_traces_are_compared(asked: Api) -> None:
    assert asked.get("/diff", left="t1", right="t2")["counts"]["changed"] > 0
    assert asked.get("/diff", left="t1", right="t1")["same"] is True
    assert asked.status("GET", "/diff?left=t1&right=none") == 404


@pytest.mark.parametrize("group", ["name", "project", "model"])
def test_figures_add_up(asked: Api, group: str) -> None:
    document = asked.get("/performance", group=group, until=START_MS + 60_000)
    total = document["total"]["count"]

    assert total == (60 if group == "model" else 30)
    assert sum(one["count"] for one in document["groups"]) == total
    assert sum(one["count"] for one in document["buckets"]) == total
    assert document["total"]["p50_ms"] == 5.0
    assert document["is_cut"] is False


@pytest.mark.parametrize("group", ["name", "model"])
def test_made_up_times_are_no_durations(tmp_path: Path, group: str) -> None:
    with api(tmp_path) as asked:
        asked.store.write_runs(sample("t").runs, source="messages")

        total = asked.get("/performance", group=group)["total"]

        assert total["count"] > 0
        assert total["p50_ms"] is None


def test_a_trace_that_a_change_refers_to_is_not_deleted(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        asked.store.write_runs(sample("t").runs)
        made = Change("fix-1", "c0ffee", "t", "title", ("a.py",), "main", 1)
        Ledger(tmp_path / "ledger.jsonl").append("approved", {"change": encode(made)})

        refused = asked.client.delete("/traces/t")

        assert refused.status_code == 409
        assert "needed by a change" in refused.json()["error"]["message"]
        assert asked.get("/traces/t")["trace"]["trace_id"] == "t"


def test_opinions_are_kept_and_a_deleted_trace_is_gone(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        asked.store.write_runs(sample("t").runs)
        said = {"outcome": "fail", "expectation": "29 EUR"}
        asked.post("/traces/t/label", said, 201)
        asked.post("/traces/t/feedback", {"key": "tone", "score": 0.5, "run_id": "t/1"}, 201)

        assert asked.get("/traces", status="failed")["traces"][0]["label"] == "fail"
        assert asked.get("/traces/t")["trace"]["label"] == "fail"
        (feedback,) = asked.get("/traces/t/runs/t%2F1")["feedback"]
        assert (feedback["key"], feedback["score"]) == ("tone", 0.5)
        assert asked.status("POST", "/traces/t/label", json={"outcome": "maybe"}) == 422
        for wrong in ({"key": ""}, {"key": "k", "run_id": "none"}, {"key": "k", "more": 1}):
            assert asked.status("POST", "/traces/t/feedback", json=wrong) in (404, 422)

        assert asked.client.delete("/traces/t").json()["deleted"] == 1
        for path in ("/traces/t", "/traces/t/runs/t%2F1", "/traces/t/search?q=x"):
            assert asked.status("GET", path) == 404
        gone = asked.client.get("/traces/t").json()["error"]
        assert gone["code"] == "not_found"
        assert asked.status("DELETE", "/traces/t") == 404
        assert asked.get("/traces")["traces"] == []


def test_an_empty_store_has_empty_answers(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        assert asked.get("/traces") == {"schema_version": 1, "traces": [], "next": None}
        assert asked.get("/search", q="x")["results"] == []
        assert asked.get("/performance")["total"]["count"] == 0
        assert asked.get("/changes")["changes"] == []
        assert asked.get("/jobs")["jobs"] == []
        session = asked.get("/session")
        assert session["has_model"] is False
        assert len(session["csrf"]) == 64


def test_a_running_trace_is_shown_and_grows(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        root = Run("t", "t", "agent", RunKind.AGENT, start_ns=START_NS, status=RunStatus.RUNNING)
        asked.store.write_runs([root])
        line = asked.get("/traces", status="running")["traces"][0]
        assert (line["is_complete"], line["end_ms"], line["runs"]) == (False, None, 1)

        asked.store.write_runs([llm("t/1", "t", "price?", "29 EUR")])
        assert asked.get("/traces")["traces"][0]["tokens"] == 15
        done = replace(root, end_ns=START_NS + 10**9, status=RunStatus.OK, outputs="29 EUR")
        asked.store.write_runs([done])
        line = asked.get("/traces")["traces"][0]
        assert (line["is_complete"], line["duration_ms"]) == (True, 1000.0)
        assert line["root_output"] == "29 EUR"


def test_5000_runs_are_answered_small(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        text = "x" * 400
        children = [
            run(
                f"t/{number}",
                "llm",
                "t",
                at_ms=number,
                failed=text if number % 2 else None,
                model_requested="a-model-with-a-long-name-2026-01-01",
                usage=Usage(100, 10, 110),
                inputs={"text": text},
            )
            for number in range(4_999)
        ]
        asked.store.write_runs([run("t", "agent"), *children])

        answer = asked.client.get("/traces/t")

        assert len(answer.json()["runs"]) == 5_000
        assert len(answer.content) < 4 * 2**20
        assert asked.get("/traces")["traces"][0]["tokens"] == 4_999 * 110


def test_10_mb_are_cut_out_and_read_on_demand(tmp_path: Path) -> None:
    with api(tmp_path) as asked:
        large = {"messages": [{"role": "user", "content": "word " * 2_000_000}]}
        asked.store.write_runs([run("t", "llm", inputs=large, outputs={"text": "short"})])

        answer = asked.client.get("/traces/t/runs/t")
        assert len(answer.content) < 1_000_000
        cut = answer.json()["inputs"]["$cut"]
        assert cut["bytes"] > 10_000_000
        assert answer.json()["outputs"] == {"text": "short"}
        whole = asked.client.get(f"{asked.served.url}{cut['href']}")
        assert whole.json() == large
        assert whole.headers["content-disposition"].startswith("attachment")
        assert len(asked.client.get("/traces").content) < 10_000
        assert len(asked.get("/traces/t/search", q="word word")["hits"]) == 1
    gc.collect()


HOSTILE = [
    {"deep": json.loads("[" * 150 + "]" * 150)},
    {"large": 10**300},
    {"surrogate": "\ud800"},
    {"nul": "\x00\x1b[31m"},
    {"float": float("inf"), "nan": float("nan")},
    {"messages": [{"role": {"no": "text"}, "content": [{"type": 7}]}]},
    {"messages": [[[]], None, 3, {"content": None, "tool_calls": "x"}]},
    "<script>alert(1)</script>",
    {"": {"": ""}},
    [None] * 1_000,
    {"choices": [{"finish_reason": {"a": 1}, "message": None}]},
    {"documents": [{"page_content": "x", "metadata": {"score": "high", "date": [1]}}]},
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("kind", ["llm", "retriever"])
def test_whatever_was_recorded_can_be_shown(asked: Api, value: Any, kind: str) -> None:
    name = f"hostile-{kind}"
    made = run(
        name,
        kind,
        name=str(value)[:50].encode("utf-8", "replace").decode(),
        inputs=value,
        outputs=value,
        metadata={"value": value},
        tags=["<b>"],
        evaluations=[Evaluation("x", value, value, None, "why")],
        at_ms=-5_000_000,
        user_id="<img src=x onerror=alert(1)>",
    )
    try:
        asked.store.write_runs(trace(made).runs)

        for path in (f"/traces/{name}", f"/traces/{name}/runs/{name}", "/traces", "/users"):
            answer = asked.client.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "application/json"
            json.loads(answer.content, parse_constant=pytest.fail)
        assert asked.status("GET", f"/traces/{name}/runs/{name}/payload/inputs") == 200
        assert asked.status("GET", f"/traces/{name}/search?q=x") == 200
    finally:
        asked.store.delete_traces([name])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"outcome"', b"\xff\xfe", b"[" * 100_000, b'"x"']
)
def test_broken_json_is_refused_with_a_reason(asked: Api, body: bytes) -> None:
    for path in ("/traces/t1/label", "/traces/t1/feedback", "/jobs"):
        answer = asked.client.post(
            path, content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_too_large_is_refused(asked: Api, is_told: bool) -> None:
    body = b'{"key": "' + b"x" * 9_000_000 + b'"}'
    answer = asked.client.post(
        "/traces/t1/feedback",
        content=body if is_told else iter([body[:3_000_000]] * 3),
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
