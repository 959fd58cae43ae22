"""Version 1 of LangSmith's read API, asked over HTTP."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.adapters._shared.langsmith_tree import project_id, public_id
from refinery.ports import RunFilter
from tests.kits.traces import START_NS, run
from tests.server.reading import NOTES, SHOP, UUIDS, Asked, reading

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with reading(tmp_path_factory.mktemp("served")) as found:
        yield found


def test_runs_are_selected_by_every_key(asked: Asked) -> None:
    one = {"session": [NOTES]}

    assert asked.names(one) == ["last", "ask", "root"]
    assert asked.names(one | {"order": "asc"}) == ["root", "ask", "last"]
    assert asked.names(one | {"is_root": True}) == ["root"]
    assert asked.names(one | {"is_root": False}) == ["last", "ask"]
    assert asked.names(one | {"run_type": "llm"}) == ["ask"]
    assert asked.names(one | {"run_type": "chain"}) == ["last", "root"]
    assert asked.names({"id": [UUIDS[1], UUIDS[5]]}) == ["alone", "ask"]
    assert asked.names({"trace": UUIDS[0], "is_root": False, "session_id": None}) == [
        "last",
        "ask",
    ]
    assert asked.names({"parent_run": UUIDS[0]}) == ["last", "ask"]
    assert asked.names({"session": [SHOP], "error": True}) == ["lookup", "t1"]
    assert len(asked.names({"session": [SHOP], "error": False})) == 14
    assert asked.names({"query": "ho", "trace": UUIDS[0]}) == ["ask"]
    assert asked.names({"reference_example": [UUIDS[0]]}) == []
    assert asked.names({"session": [project_id("absent")]}) == []
    assert asked.names({"session": [project_id("default")]}) == ["alone"]
    assert len(asked.names({"session": [SHOP, NOTES]})) == 19
    assert len(asked.names({"nobody": "knows", "execution_order": 1})) == 20


def test_times_are_half_open(asked: Asked) -> None:
    at = "2026-05-28T20:26:49"  # one second before `root`

    assert asked.names({"start_time": f"{at}.000+00:00"})[-1] == "root"
    assert asked.names({"start_time": "2026-05-28T20:26:49.002Z", "run_type": "chain"}) == [
        "alone",
        "last",
    ]
    assert "root" not in asked.names({"end_time": f"{at}Z"})


def test_filters_ask_the_run_its_root_and_its_tree(asked: Asked) -> None:
    assert asked.names({"filter": 'and(eq(run_type, "llm"), eq(name, "ask"))'}) == ["ask"]
    assert asked.names({"filter": f'eq(trace_id, "{UUIDS[0]}")'}) == ["last", "ask", "root"]
    assert asked.names({"filter": f'in(id, ["{UUIDS[2]}"])'}) == ["last"]
    assert asked.names({"filter": 'eq(thread_id, "th")'}) == ["alone", "root"]
    assert asked.names({"filter": 'and(eq(feedback_key,"score"),eq(feedback_score,1))'}) == ["ask"]
    assert asked.names(
        {"filter": 'eq(run_type, "tool")', "trace_filter": 'eq(status, "error")'}
    ) == ["lookup"]
    assert asked.names({"filter": "eq(is_root, true)", "tree_filter": 'eq(name, "ask")'}) == [
        "root"
    ]
    assert asked.names({"session": [NOTES], "filter": "gt(total_tokens, 14)"}) == ["ask", "root"]
    later = asked.names({"filter": 'gt(start_time, "2026-05-28T20:26:49.001Z")'})
    assert later == ["alone", "last"]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("chosen", ["", 'eq(run_type, "llm")', 'neq(name, "lookup")'])
def test_pages_hold_every_run_once(asked: Asked, limit: int, order: str, chosen: str) -> None:
    body = {"order": order, "filter": chosen}
    whole = asked.names(body)

    assert asked.names(body | {"limit": limit}) == whole
    assert len(whole) == {"": 20, 'eq(run_type, "llm")': 9, 'neq(name, "lookup")': 16}[chosen]


def test_pages_stay_whole_while_runs_come_in(tmp_path: Path) -> None:
    with reading(tmp_path) as asked:
        before = asked.names({"order": "desc"})
        found, cursor, number = [], None, 0
        while True:
            page = asked.post("/runs/query", {"limit": 2, "cursor": cursor})
            found += [item["name"] for item in page["runs"]]
            cursor = page["cursors"]["next"]
            if cursor is None:
                break
            number += 1  # some newer than all, some between, none older than the page
            for at_ms in (20_000 + number, 10_000 - number):
                new = run(f"new{at_ms}", at_ms=at_ms, name="new")
                asked.store.write_runs([new])

        assert [name for name in found if name != "new"] == before


def test_only_the_fields_asked_for_are_answered(asked: Asked) -> None:
    page = asked.post("/runs/query", {"trace": UUIDS[0], "select": ["inputs", "nonsense"]})

    needed = {"id", "name", "run_type", "start_time", "status", "trace_id"}
    assert all(set(item) == needed | {"inputs"} for item in page["runs"])


def test_a_run_is_read_by_its_id_in_any_spelling(asked: Asked) -> None:
    item = asked.get(f"/api/v1/runs/{UUIDS[0].upper()}")

    assert item["name"] == "root"
    assert item["session_id"] == NOTES
    assert item["total_tokens"] == 15
    assert item["child_run_ids"] == [UUIDS[1], UUIDS[2]]
    assert item["feedback_stats"]["label"]["n"] == 1
    assert asked.get(f"/runs/{UUIDS[9]}", 404)["detail"].endswith("not found")


def test_runs_without_uuids_are_found_by_the_uuid_they_are_shown_with(tmp_path: Path) -> None:
    with reading(tmp_path) as asked:
        shown = public_id("t1/2")

        assert asked.get(f"/runs/{shown}")["name"] == "lookup"
        assert asked.names({"trace": public_id("t1"), "run_type": "tool"}) == ["lookup"]
        assert asked.names({"id": [shown]}) == ["lookup"]
        assert asked.names({"parent_run": public_id("t1")}) == ["t1/3", "lookup", "t1/1"]
        asked.get(f"/runs/{public_id('absent')}", 404)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"filter": "foo(a)"}, 400, "position 0"),
        ({"trace_filter": "eq(x, 1)"}, 400, "trace_filter"),
        ({"cursor": "nonsense"}, 400, "cursor"),
        ({"cursor": "W251bGwsIDEsICJhIl0"}, 400, "cursor"),
        ({"limit": "many"}, 422, "limit"),
        ({"limit": 0}, 422, "limit"),
        ({"order": "up"}, 422, "order"),
        ({"run_type": "robot"}, 422, "run_type"),
        ({"start_time": "yesterday"}, 422, "start_time"),
        ({"is_root": "perhaps"}, 422, "is_root"),
        ({"session": [1]}, 422, "session"),
        ([], 422, "object"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(
    asked: Asked, body: object, status: int, reason: str
) -> None:
    assert reason in asked.post("/runs/query", body, status)["detail"]


KEYS = ["session", "id", "trace", "parent_run", "run_type", "is_root", "error", "start_time"]
KEYS += ["filter", "tree_filter", "query", "order", "select", "limit", "cursor", "x"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4) | VALUES)
def test_no_body_makes_the_server_fail(asked: Asked, body: object) -> None:
    for path in ("/runs/query", "/runs/stats", "/api/v2/runs/query", "/api/v2/threads/query"):
        answer = requests.post(asked.url + path, json=_sendable(body), timeout=20)
        assert answer.status_code in (200, 400, 415, 422), answer.text
        assert answer.status_code == 200 or answer.json()["detail"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_make_the_server_fail(asked: Asked, body: bytes) -> None:
    answer = requests.post(
        asked.url + "/runs/query",
        data=body or b"{",
        headers={"content-type": "application/json"},
        timeout=20,
    )
    assert answer.status_code in (200, 400, 422)


def _sendable(value: object) -> object:
    """The value without what JSON has no form for."""
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, dict):
        return {key: _sendable(item) for key, item in value.items()}
    return [_sendable(item) for item in value] if isinstance(value, list) else value


def test_projects_are_listed_by_name_and_in_pages(asked: Asked) -> None:
    everything = asked.get("/sessions")

    assert [item["name"] for item in everything] == ["default", "notes", "shop"]
    assert asked.get("/sessions", name="shop", limit=1)[0]["id"] == SHOP
    assert asked.get("/sessions", name="absent") == []
    assert [one["name"] for one in asked.get("/sessions", offset=1, limit=1)] == ["notes"]
    assert [one["name"] for one in asked.get("/sessions", name_contains="OT")] == ["notes"]
    assert [one["id"] for one in asked.get("/sessions", id=[SHOP])] == [SHOP]
    assert asked.get(f"/sessions/{SHOP}")["name"] == "shop"
    assert "run_count" not in everything[0]
    asked.get(f"/sessions/{UUIDS[0]}", 404)
    asked.get("/sessions", 422, limit=1_000)


def test_a_project_tells_its_statistics(asked: Asked) -> None:
    found = asked.get("/sessions", name="shop", include_stats="true")[0]

    assert (found["run_count"], found["total_tokens"], found["error_rate"]) == (4, 120, 0.25)


def test_statistics_count_each_token_once(asked: Asked) -> None:
    whole = asked.post("/runs/stats", {"session": [SHOP]})
    calls = asked.post("/runs/stats", {"session": [SHOP], "run_type": "llm"})

    assert (whole["run_count"], whole["total_tokens"]) == (16, 120)
    assert (calls["run_count"], calls["total_tokens"]) == (8, 120)
    assert whole["error_rate"] == 2 / 16
    assert asked.post("/runs/stats", {"session": [UUIDS[0]]})["run_count"] == 0


def test_a_project_can_be_made_before_any_trace(tmp_path: Path) -> None:
    with reading(tmp_path) as asked:
        body = {
            "name": "fresh",
            "id": UUIDS[3],
            "description": "d",
            "extra": {"metadata": {"a": 1}},
        }
        made = asked.post("/sessions", body)

        assert asked.post("/sessions", {"name": "fresh"})["id"] == made["id"]
        assert asked.get("/sessions", name="fresh")[0]["description"] == "d"
        assert asked.get("/sessions", metadata='{"a": 1}')[0]["name"] == "fresh"
        changed = requests.patch(
            f"{asked.url}/sessions/{made['id']}", json={"description": "new"}, timeout=20
        )
        assert changed.json()["description"] == "new"
        assert changed.json()["extra"] == {"metadata": {"a": 1}}
        asked.post("/sessions", {"name": ""}, 422)


def test_feedback_is_read_by_run_key_source_and_id(asked: Asked) -> None:
    of_run = asked.get("/feedback", run=UUIDS[1])
    of_root = asked.get("/feedback", run=[UUIDS[0]])

    assert [(one["key"], one["score"], one["run_id"]) for one in of_run] == [
        ("score", 1.0, UUIDS[1])
    ]
    assert [(one["key"], one["run_id"]) for one in of_root] == [("label", UUIDS[0])]
    assert len(asked.get("/feedback")) == 2
    assert len(asked.get("/feedback", key="label", source="app")) == 1
    assert asked.get("/feedback", key="label", source="model") == []
    assert [one["key"] for one in asked.get("/feedback", offset=1)] == ["label"]
    assert asked.get("/feedback", session=SHOP) == []
    assert asked.get(f"/feedback/{UUIDS[7]}")["key"] == "score"
    asked.get(f"/feedback/{UUIDS[9]}", 404)


def test_a_shared_run_shows_itself_and_what_is_below(tmp_path: Path) -> None:
    with reading(tmp_path) as asked:
        assert asked.get(f"/runs/{UUIDS[0]}/share") is None
        token = requests.put(
            f"{asked.url}/runs/{UUIDS[0]}/share", json={"share_token": UUIDS[9]}, timeout=20
        ).json()["share_token"]

        assert token == UUIDS[9]
        assert asked.get(f"/runs/{UUIDS[0]}/share")["share_token"] == token
        assert asked.get(f"/public/{token}/run")["name"] == "root"
        assert asked.get(f"/public/{token}/run/{UUIDS[1]}")["name"] == "ask"
        asked.get(f"/public/{token}/run/{UUIDS[5]}", 404)
        shown = asked.post(f"/public/{token}/runs/query", {})["runs"]
        assert [item["name"] for item in shown] == ["root", "ask", "last"]
        taken = requests.put(
            f"{asked.url}/runs/{UUIDS[5]}/share", json={"share_token": token}, timeout=20
        )
        assert taken.status_code == 409
        assert requests.delete(f"{asked.url}/runs/{UUIDS[0]}/share", timeout=20).ok
        asked.get(f"/public/{token}/run", 404)
        own = asked.post(f"/api/v2/runs/{UUIDS[1]}/share", {})["share_token"]
        shown = asked.post(f"/public/{own}/runs/query", {})["runs"]
        assert [item["name"] for item in shown] == ["ask"]


def test_shares_and_projects_are_no_traces_and_no_feedback(tmp_path: Path) -> None:
    with reading(tmp_path) as asked:
        traces = asked.store.stats()["traces"]
        asked.post("/sessions", {"name": "fresh"})
        asked.post(f"/api/v2/runs/{UUIDS[0]}/share", {})

        assert asked.store.stats()["traces"] == traces
        assert len(asked.get("/feedback")) == 2


def test_an_attachment_is_handed_out_to_be_saved_only(tmp_path: Path) -> None:
    with reading(tmp_path) as asked:
        reference = asked.store.put_blob(b"<script>alert(1)</script>", UUIDS[5])
        entry = {"name": "a/ü.html", "mime_type": "text/html", "reference": reference}
        old = asked.store.find_runs(RunFilter(run_ids=[UUIDS[5]])).runs[0].run
        asked.store.write_runs(
            [run(UUIDS[5], name=old.name, attachments=[entry, {"name": "lost"}])]
        )

        item = asked.get(f"/runs/{UUIDS[5]}")
        assert list(item["s3_urls"]) == ["attachment.a/ü.html"]
        link = item["s3_urls"]["attachment.a/ü.html"]
        answer = requests.get(link["presigned_url"], timeout=20)

        assert (answer.content, link["mime_type"]) == (b"<script>alert(1)</script>", "text/html")
        assert answer.headers["x-content-type-options"].startswith("nosniff")
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert (
            requests.get(f"{asked.url}/runs/{UUIDS[5]}/attachments/lost", timeout=20).status_code
            == 404
        )


def test_settings_name_the_one_workspace(asked: Asked) -> None:
    found = asked.get("/settings")

    assert found["display_name"] == "Refinery"
    assert found["created_at"] == "2026-05-28T20:26:40+00:00"
    assert START_NS // 10**9 == 1_780_000_000


def test_many_readers_at_once_get_the_same_answer(asked: Asked) -> None:
    answers: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(asked.names({"limit": 3})))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)
