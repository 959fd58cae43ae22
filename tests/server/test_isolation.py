"""A user's token opens that user's traces: others might as well not be there."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from refinery.server.api.assembly import RESOURCES
from refinery.server.api.confinement import is_confined
from tests.kits.traces import run
from tests.server.api import Api, api
from tests.server.several_users import CANARY, WORDS, ada, conversations, write

pytestmark = pytest.mark.slow

OPEN = {
    ("GET", "/session"),
    ("GET", "/projects"),
    ("GET", "/users"),
    ("GET", "/sessions"),
    ("GET", "/diff"),
    ("GET", "/performance"),
    ("GET", "/search"),
    ("GET", "/traces"),
    ("GET", "/traces/{trace_id:path}"),
    ("GET", "/traces/{trace_id:path}/search"),
    ("GET", "/traces/{trace_id:path}/runs/{run_id:path}"),
    ("GET", "/traces/{trace_id:path}/runs/{run_id:path}/payload/{name}"),
    ("POST", "/traces/{trace_id:path}/feedback"),
}
"""All that a user's token opens; whatever is added to the API is refused until it stands here."""


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that holds everybody's traces."""
    with api(tmp_path_factory.mktemp("everybody")) as running:
        write(running.store, conversations())
        yield running


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that holds Ada's traces and nothing else."""
    with api(tmp_path_factory.mktemp("alone")) as running:
        write(running.store, [one for one in conversations() if one.is_adas])
        yield running


def questions(ids: Sequence[str]) -> list[str]:
    """Everything that can be read, in many ways."""
    asked = ["/projects", "/users", "/sessions", "/users?limit=1", "/traces?limit=500"]
    for query in (
        "status=failed",
        "status=error",
        "label=fail",
        "session=shared%20session",
        "project=shop",
        "project=canary%20project",
        "user=ada",
        "name=agent",
        "name=canary",
        "source=test",
        "q=lamp",
        "q=lamp%20hotel",
        "q=canary",
        "since=1780000100000&until=1780000200000",
    ):
        asked.append(f"/traces?{query}&limit=500")
    for by in ("fused", "text", "meaning"):
        for words in (*WORDS[:2], "canary", "canary17", ""):
            asked += [f"/search?by={by}&q={words}&limit={limit}" for limit in (3, 200)]
    asked += [
        f"/search?q=lamp&{query}"
        for query in ("user=ada", "session=shared%20session", "project=desk", "kind=llm")
    ]
    asked += ["/search?q=lamp&status=failed", "/search?q=lamp&from=1780000100000"]
    for group in ("name", "project", "model"):
        asked += [f"/performance?group={group}", f"/performance?group={group}&project=shop"]
        asked.append(f"/performance?group={group}&since=1780000100000")
    for one in ids:
        asked += [f"/traces/{one}", f"/traces/{one}/search?q=a", f"/diff?left={one}&right={one}"]
        asked += [f"/traces/{one}/runs/{quote(run_id, safe='')}" for run_id in (one, f"{one}/1")]
        asked.append(f"/traces/{one}/runs/{one}/payload/inputs")
    return asked


def test_every_answer_is_as_if_others_were_not_there(everybody: Api, alone: Api) -> None:
    """The strongest that can be said: what others have changes no byte of any answer."""
    among, single = ada(everybody), ada(alone)
    own = sorted(one.runs[0].trace_id for one in conversations() if one.is_adas)
    assert len(own) == 40
    hits = 0
    for question in questions(own[:4]):
        here, there = among.get(question), single.get(question)
        assert CANARY not in here.text.replace(quote(CANARY), "") or "q=canary" in question
        assert (here.status_code, _comparable(here)) == (
            there.status_code,
            _comparable(there),
        ), question
        assert here.status_code == 200, question
        hits += own[0] in here.text
    assert hits > 15
    everything = everybody.get("/traces", limit=500)["traces"]
    assert len(everything) == 300


def _comparable(answer: httpx.Response) -> Any:
    """The answer without how far the index was filled in time."""
    document = answer.json()
    if isinstance(document, dict):
        document.pop("notes", None)
    return document


def test_pages_of_the_list_hold_all_of_ones_own_and_nothing_else(
    everybody: Api, alone: Api
) -> None:
    client = ada(everybody)
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/traces?limit=7&cursor={cursor}").json()
        assert CANARY not in json.dumps(page)
        seen += [one["trace_id"] for one in page["traces"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [one["trace_id"] for one in alone.get("/traces", limit=500)["traces"]]
    assert len(seen) == 40


def test_cursors_of_the_owner_open_no_page_of_others(everybody: Api) -> None:
    client = ada(everybody)
    cursor: str | None = ""
    while cursor is not None:
        whole = everybody.get("/traces", limit=50, cursor=cursor)
        mine = client.get(f"/traces?limit=50&cursor={cursor}")
        assert CANARY not in mine.text
        assert all(one["user_id"] == "ada" for one in mine.json()["traces"])
        cursor = whole["next"]


def test_a_cursor_does_not_tell_whether_another_has_a_trace(everybody: Api) -> None:
    """Two traces of one moment, one of them another's: the page begins the same for any id."""
    store = everybody.store
    at = {"at_ms": -5_000}
    store.write_runs([run("zz-own", user_id="ada", **at), run("zz-canary", user_id="bob", **at)])
    store.write_runs([run("zz-later", user_id="ada", **at)])
    try:
        client = ada(everybody)
        start_ns = store.get_run("zz-canary").run.start_ns  # type: ignore[union-attr]  # written
        answers = [
            client.get(f"/traces?cursor={_cursor(start_ns, one)}").text
            for one in ("zz-canary", "zz-nothing")
        ]
        assert answers[0] == answers[1]
        assert "zz-later" in answers[0]
    finally:
        store.delete_traces(["zz-own", "zz-canary", "zz-later"])


def _cursor(start_ns: int | None, trace_id: str) -> str:
    return base64.urlsafe_b64encode(f"{start_ns}.{trace_id}".encode()).decode().rstrip("=")


def asking_for(trace_id: str, own: str) -> list[tuple[str, str, Any]]:
    """Every way to name a trace, or a run of it, that is another's or does not exist."""
    of = f"/traces/{trace_id}"
    inner = quote(f"{trace_id}/1", safe="")
    said = {"key": "helpful", "score": 1}
    return [
        ("GET", of, None),
        ("GET", f"{of}/search?q=a", None),
        ("GET", f"{of}/runs/{trace_id}", None),
        ("GET", f"{of}/runs/{inner}", None),
        ("GET", f"{of}/runs/{inner}/payload/inputs", None),
        ("GET", f"/traces/{own}/runs/{inner}", None),
        ("GET", f"/traces/{own}/runs/{inner}/payload/outputs", None),
        ("GET", f"/diff?left={trace_id}&right={own}", None),
        ("GET", f"/diff?left={own}&right={trace_id}", None),
        ("POST", f"{of}/feedback", said),
        ("POST", f"{of}/feedback", {**said, "run_id": f"{trace_id}/1"}),
        ("POST", f"/traces/{own}/feedback", {**said, "run_id": f"{trace_id}/1"}),
        ("POST", f"{of}/label", {"outcome": "pass"}),
        ("DELETE", of, None),
        ("POST", "/jobs", {"kind": "diagnose", "trace_id": trace_id, "options": {}}),
        ("POST", "/guide", {"trace_id": trace_id}),
    ]


def test_what_is_anothers_answers_as_what_does_not_exist(everybody: Api) -> None:
    client = ada(everybody)
    own = next(one.runs[0].trace_id for one in conversations() if one.is_adas)
    others = [one.runs[0] for one in conversations() if not one.is_adas]
    assert {one.user_id for one in others} >= {"bob", "ada", None}
    for root in others[:15]:
        unknown = "x" * len(root.trace_id)
        for theirs, none in zip(
            asking_for(root.trace_id, own), asking_for(unknown, own), strict=True
        ):
            found, missing = (
                client.request(method, path, **({} if body is None else {"json": body}))
                for method, path, body in (theirs, none)
            )
            assert found.status_code == missing.status_code, theirs
            assert found.status_code in (403, 404), theirs
            assert found.text.replace(root.trace_id, unknown) == missing.text
            told = {name: found.headers[name] for name in found.headers if name != "date"}
            assert told == {name: missing.headers[name] for name in told}
    assert everybody.get(f"/traces/{others[0].trace_id}")["trace"]["trace_id"]


def operations() -> list[tuple[str, str, APIRoute]]:
    """Every operation there is, asked of the routers themselves."""
    found = [
        (method, route.path, route)
        for resource in RESOURCES
        for route in resource.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    ]
    assert len(found) > 30
    return found


def test_every_operation_is_confined_or_refused(everybody: Api) -> None:
    """A new one is refused until it reads through what the token opens, and stands in `OPEN`."""
    confined = {(method, path) for method, path, route in operations() if is_confined(route)}
    assert confined == OPEN
    described = everybody.client.get("/openapi.json").json()["paths"]
    plain = {(method, re.sub(r":path\}", "}", path)) for method, path, _ in operations()}
    told = {(method.upper(), path) for path, known in described.items() for method in known}
    assert plain == told

    client = ada(everybody)
    for method, path, _ in operations():
        if (method, path) in OPEN:
            continue
        answer = client.request(method, re.sub(r"\{[^}]+\}", "own-0004", path), json={})
        assert answer.status_code == 403, (method, path)
        assert answer.json()["error"]["hint"]
        assert CANARY not in answer.text
    assert client.get("/openapi.json").status_code == 200
    for path in ("/nowhere", "/", "//traces", "/Traces"):
        assert client.get(path).status_code in (404, 405), path


def test_naming_another_user_or_project_is_refused(everybody: Api) -> None:
    client, narrow = ada(everybody), ada(everybody, project="shop")

    for path in ("/traces?user=bob", "/search?q=lamp&user=bob", "/search?user=nobody-at-all"):
        answer = client.get(path)
        assert answer.status_code == 403, path
        assert "leave the user out" in answer.text
    for path in ("/traces", "/search", "/performance"):
        assert narrow.get(f"{path}?project=desk").status_code == 403
        assert narrow.get(f"{path}?project=shop").status_code == 200


def test_a_project_narrows_it_further(everybody: Api) -> None:
    client = ada(everybody, project="shop")
    wanted = {
        one.runs[0].trace_id for one in conversations() if one.is_adas and one.project == "shop"
    }
    others = [one.runs[0].trace_id for one in conversations() if one.is_adas][:12]
    assert 0 < len(wanted) < 40

    listed = client.get("/traces?limit=500").json()["traces"]
    assert {one["trace_id"] for one in listed} == wanted
    assert [one["name"] for one in client.get("/projects").json()["projects"]] == ["shop"]
    assert client.get("/users").json()["users"][0]["traces"] == len(wanted)
    assert client.get("/performance").json()["total"]["count"] == len(wanted)
    assert client.get("/performance?group=model").json()["total"]["count"] == len(wanted)
    found = {one["trace_id"] for one in client.get("/search?q=lamp&limit=200").json()["results"]}
    assert found
    assert found <= wanted
    for one in others:
        expected = 200 if one in wanted else 404
        assert client.get(f"/traces/{one}").status_code == expected
        assert client.get(f"/traces/{one}/runs/{one}").status_code == expected


def test_a_trace_that_names_another_later_is_gone_from_then_on(everybody: Api) -> None:
    client, store = ada(everybody), everybody.store
    store.write_runs([run("own-mixed", user_id="ada", at_ms=10)])
    try:
        assert client.get("/traces/own-mixed").status_code == 200
        store.write_runs([run("own-mixed/1", parent="own-mixed", user_id="bob", at_ms=11)])

        assert client.get("/traces/own-mixed").status_code == 404
        assert "own-mixed" not in client.get("/traces?limit=500").text
        assert "own-mixed" not in client.get("/performance").text
    finally:
        store.delete_traces(["own-mixed"])


def test_feedback_on_ones_own_trace_is_kept_and_a_label_is_not(everybody: Api) -> None:
    client = ada(everybody)
    own = next(one.runs[0].trace_id for one in conversations() if one.is_adas)
    label = everybody.get(f"/traces/{own}")["trace"]["label"]

    said = client.post(f"/traces/{own}/feedback", json={"key": "helpful", "score": 0})
    assert said.status_code == 201
    for key in ("label", "Label"):
        body = {"key": key, "value": {"outcome": "pass"}}
        expected = 403 if key == "label" else 201
        assert client.post(f"/traces/{own}/feedback", json=body).status_code == expected
    assert everybody.get(f"/traces/{own}")["trace"]["label"] == label
    kept = [one.key for one in everybody.store.get_feedback(own) if one.created_ns]
    assert sorted(kept) == ["Label", "helpful"]


def test_what_a_diagnosis_found_stays_with_the_owner(everybody: Api) -> None:
    """It may compare with other traces and cite them."""
    own = next(
        one.runs[0] for one in conversations() if one.is_adas and one.runs[0].error is not None
    ).trace_id
    assert everybody.ended(everybody.order("diagnose", own))["state"] == "done"

    assert everybody.get(f"/traces/{own}")["findings"]
    assert ada(everybody).get(f"/traces/{own}").json()["findings"] == []


def test_the_session_tells_whose_token_it_is_and_nothing_of_the_machine(everybody: Api) -> None:
    told = ada(everybody, project="shop", days=2).get("/session").json()

    assert told["scope"]["user"] == "ada"
    assert told["scope"]["project"] == "shop"
    assert told["scope"]["expires_ms"] > 0
    assert (told["store"], told["repository"], told["has_model"]) == ("", None, False)
    assert everybody.get("/session")["scope"] is None
    assert everybody.get("/session")["store"]


def test_what_is_wrong_with_the_server_is_told_to_the_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reasons name places of the machine, and may name traces of others."""
    with api(tmp_path) as asked:
        asked.store.write_runs([run("own", user_id="ada")])
        client = ada(asked)
        monkeypatch.setenv("REFINERY_REPLAY__REPEATS", "many")
        answers = [one.get("/search?q=lamp") for one in (client, asked.client)]
        assert [one.status_code for one in answers] == [400, 400]
        assert ["REFINERY_" in one.text for one in answers] == [False, True]
        monkeypatch.delenv("REFINERY_REPLAY__REPEATS")

        asked.store.close()
        answers = [one.get("/traces/own") for one in (client, asked.client)]
        assert [one.status_code for one in answers] == [503, 503]
        assert [str(tmp_path) in one.text for one in answers] == [False, True]
