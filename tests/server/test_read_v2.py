"""Version 2 of LangSmith's read API, asked over HTTP."""

from collections.abc import Iterator

import pytest

from refinery.adapters._shared.langsmith_tree import public_id
from tests.server.reading import NOTES, SHOP, UUIDS, Asked, reading

pytestmark = pytest.mark.slow
NAME = ["NAME"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with reading(tmp_path_factory.mktemp("served")) as found:
        yield found


def names(asked: Asked, **body: object) -> list[str]:
    return [item["name"] for item in asked.items({"selects": NAME, **body})]


def test_runs_are_selected_by_every_key(asked: Asked) -> None:
    assert names(asked, project_ids=[NOTES]) == ["last", "ask", "root"]
    assert names(asked, project_ids=[NOTES], is_root=True) == ["root"]
    assert names(asked, trace_id=UUIDS[0], run_type="LLM") == ["ask"]
    assert names(asked, ids=[UUIDS[5], UUIDS[2]]) == ["alone", "last"]
    assert names(asked, project_ids=[SHOP], has_error=True) == ["lookup", "t1"]
    assert names(asked, filter='eq(name, "ask")', trace_filter='has(tags, "beta")') == ["ask"]
    assert names(asked, is_root=True, tree_filter='eq(name, "last")') == ["root"]
    assert names(asked, min_start_time="2026-05-28T20:26:50Z") == ["alone"]
    assert names(asked, project_ids=[NOTES], max_start_time="2026-05-28T20:26:49.002Z") == [
        "ask",
        "root",
    ]


@pytest.mark.parametrize("size", [1, 4, 1_000])
def test_pages_hold_every_run_once_and_no_age_is_hidden(asked: Asked, size: int) -> None:
    found = asked.items({"page_size": size})

    assert len({item["id"] for item in found}) == len(found) == 20
    assert all(set(item) == {"id"} for item in found)


def test_a_page_has_at_most_a_thousand_runs(asked: Asked) -> None:
    assert "page_size" in asked.post("/api/v2/runs/query", {"page_size": 1_001}, 422)["detail"]


def test_a_run_is_read_with_the_fields_asked_for(asked: Asked) -> None:
    wanted = ["NAME", "RUN_TYPE", "STATUS", "PARENT_RUN_IDS", "IS_ROOT", "METADATA", "THREAD_ID"]
    wanted += ["TOTAL_TOKENS", "PROMPT_TOKEN_DETAILS", "LATENCY_SECONDS", "PROJECT_ID"]
    item = asked.get(f"/api/v2/runs/{UUIDS[1]}", selects=wanted, project_id=NOTES)

    assert item["name"] == "ask"
    assert (item["run_type"], item["status"]) == ("LLM", "SUCCESS")
    assert item["parent_run_ids"] == [UUIDS[0]]
    assert item["is_root"] is False
    assert (item["total_tokens"], item["prompt_token_details"]) == (15, {"raw": {}})
    assert item["latency_seconds"] == 0.005
    assert item["project_id"] == NOTES
    assert set(item) == {name.lower() for name in wanted}
    assert asked.get(f"/api/v2/runs/{UUIDS[1]}") == {"id": UUIDS[1]}
    asked.get(f"/api/v2/runs/{UUIDS[1]}", 404, project_id=SHOP)
    asked.get(f"/api/v2/runs/{UUIDS[9]}", 404)


def test_a_run_says_where_it_is_and_whether_it_is_shared(asked: Asked) -> None:
    url = asked.get(f"/api/v2/runs/{UUIDS[1]}/url", project_id=NOTES, trace_id=UUIDS[0])["url"]
    assert url.startswith(asked.url)
    assert url.endswith(f"/projects/p/{NOTES}/r/{UUIDS[1]}")

    path = f"/api/v2/runs/{UUIDS[0]}"
    assert asked.get(path, selects="SHARE_URL")["share_url"] is None
    token = asked.post(f"{path}/share", {"trace_id": UUIDS[0], "session_id": NOTES})["share_token"]
    assert asked.get(path, selects="SHARE_URL")["share_url"] == f"{asked.url}/public/{token}/r"

    listed = asked.post(f"/api/v2/public/{token}/runs/query", {"selects": ["NAME"]})["items"]
    assert [item["name"] for item in listed] == ["root", "ask", "last"]
    one = asked.get(f"/api/v2/public/{token}/run/{UUIDS[2]}", selects=["NAME", "INPUTS"])
    assert one == {"name": "last", "inputs": {}}
    asked.get(f"/api/v2/public/{UUIDS[9]}/run/{UUIDS[2]}", 404)


def test_the_runs_of_a_trace_come_at_once_in_order_of_start(asked: Asked) -> None:
    found = asked.get(f"/api/v2/traces/{UUIDS[0]}/runs", selects="NAME", project_id=NOTES)
    models = asked.get(
        f"/api/v2/traces/{UUIDS[0]}/runs", selects="ID", filter='eq(run_type,"llm")'
    )

    assert [item["name"] for item in found["items"]] == ["root", "ask", "last"]
    assert models["items"] == [{"id": UUIDS[1]}]
    elsewhere = asked.get(f"/api/v2/traces/{UUIDS[0]}/runs", selects="NAME", project_id=SHOP)
    assert elsewhere["items"] == []
    other = asked.get(f"/api/v2/traces/{public_id('t1')}/runs", selects="NAME")
    assert [item["name"] for item in other["items"]] == ["t1", "t1/1", "lookup", "t1/3"]


def test_traces_are_listed_with_their_sums(asked: Asked) -> None:
    body = {"project_id": SHOP, "selects": ["NAME", "TOTAL_TOKENS"], "page_size": 3}
    found = asked.items(body, "/api/v2/traces/query")

    assert [item["root_run"]["name"] for item in found] == ["t3", "t2", "t1", "t0"]
    assert found[0]["trace_aggregates"] == {"total_tokens": 30}
    failed = asked.items(body | {"tree_filter": 'eq(status, "error")'}, "/api/v2/traces/query")
    assert [item["root_run"]["name"] for item in failed] == ["t1"]
    known = asked.items(body | {"trace_ids": [public_id("t0")]}, "/api/v2/traces/query")
    assert [item["root_run"]["name"] for item in known] == ["t0"]


def test_threads_gather_traces_by_their_thread_id(asked: Asked) -> None:
    every = asked.items({}, "/api/v2/threads/query")
    notes = asked.items({"project_id": NOTES}, "/api/v2/threads/query")

    assert [(one["thread_id"], one["count"]) for one in every] == [("th", 2)]
    assert [(one["count"], one["total_tokens"]) for one in notes] == [(1, 15)]
    assert notes[0]["first_trace_id"] == notes[0]["last_trace_id"] == UUIDS[0]
    page = asked.get("/api/v2/threads/th/traces", selects=["NAME", "TURN_NUMBER"])
    assert [(one["name"], one["turn_number"]) for one in page["items"]] == [
        ("alone", 2),
        ("root", 1),
    ]
    stats = asked.get("/api/v2/threads/th/stats", session_id=NOTES, selects=["TURNS"])
    assert stats == {"turns": 1}
    asked.get("/api/v2/threads/absent/stats", 404)
    assert "cursor" in asked.post("/api/v2/threads/query", {"cursor": "x"}, 400)["detail"]
