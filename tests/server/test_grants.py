"""Tokens of users: how they are kept, when they open something, and what they leave behind."""

import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery import clock
from refinery.errors import InputError, NotFoundError
from refinery.server import grants
from refinery.server.grants import DAY_MS, FILE, DamagedGrantsError, Grants, Watched
from tests.kits.traces import run
from tests.server.api import Api, api

NOW_NS = 1_800_000_000 * 10**9


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The time in nanoseconds, to be moved."""
    now = [NOW_NS]
    monkeypatch.setattr(clock, "now_ns", lambda: now[0])
    yield now


def test_the_file_holds_no_token_and_is_the_owners_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    grant, token = Grants(state).add("ada", "shop", "laptop", 3)

    assert re.fullmatch(r"refinery_[A-Za-z0-9_-]{43}", token)
    for file in state.iterdir():
        assert token.encode() not in file.read_bytes()
        assert token.removeprefix("refinery_").encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0, file
    assert Grants(state).all() == [grant]
    assert Watched(lambda: state).find(token) == grant


def test_only_the_whole_token_is_one(tmp_path: Path) -> None:
    grant, token = Grants(tmp_path).add("ada")
    watched = Watched(lambda: tmp_path)

    wrong = (token[:-1], token[1:], token + "x", token.upper(), "", grant.token_id, grant.sha256)
    assert [watched.find(one) for one in (*wrong, "\ud800", "é")] == [None] * 9


def test_a_token_ends_on_time(tmp_path: Path, at: list[int]) -> None:
    grant, token = Grants(tmp_path).add("ada", days=1)
    watched = Watched(lambda: tmp_path)

    assert watched.find(token) == grant
    at[0] += (DAY_MS - 1) * 10**6
    assert watched.find(token) == grant
    at[0] += 10**6
    assert watched.find(token) is None
    assert watched.by_id(grant.token_id) is None
    assert Grants(tmp_path).all() == [grant]


def test_a_revoked_token_is_gone_at_once_and_others_stay(tmp_path: Path) -> None:
    kept = Grants(tmp_path)
    (first, gone), (second, stays) = kept.add("ada"), kept.add("ada")
    watched = Watched(lambda: tmp_path)
    assert watched.find(gone) == first

    assert kept.revoke(first.token_id) == first

    assert watched.find(gone) is None
    assert watched.find(stays) == second
    with pytest.raises(NotFoundError, match="no token"):
        kept.revoke(first.token_id)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version": 2, "tokens": []}',
        b'{"version": 1}',
        b'{"version": 1, "tokens": [{}]}',
        b'{"version": 1, "tokens": ["x"]}',
        b'{"version": 1, "tokens": 7}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_read_opens_nothing(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = Grants(tmp_path).add("ada")
    watched = Watched(lambda: tmp_path)
    assert watched.find(token)
    (tmp_path / FILE).write_bytes(content)

    with caplog.at_level(logging.ERROR):
        assert watched.find(token) is None
    assert watched.is_in_use  # nobody reads everything because the list of tokens broke
    assert "no token of a user opens anything" in caplog.text
    assert token not in caplog.text
    with pytest.raises(DamagedGrantsError):
        Grants(tmp_path).all()
    with pytest.raises(DamagedGrantsError):
        Grants(tmp_path).add("bob")
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("field", ["token_id", "user", "project", "note", "expires_ms", "sha256"])
@pytest.mark.parametrize("value", [None, 7, 1.5, [], {"a": 1}, True, "", "x"])
def test_a_token_with_a_field_of_another_kind_opens_nothing_more(
    tmp_path: Path, field: str, value: object
) -> None:
    """What may be absent may; the rest makes the whole file unreadable, never a wider token."""
    grant, token = Grants(tmp_path).add("ada", "shop", "n", 1)
    document = json.loads((tmp_path / FILE).read_text())
    document["tokens"][0][field] = value
    (tmp_path / FILE).write_text(json.dumps(document))

    found = Watched(lambda: tmp_path).find(token)
    if found is not None:
        assert type(found.user) is str
        assert found.user
        assert found.project is None or type(found.project) is str
        assert field in ("token_id", "user", "project", "note", "expires_ms")
        assert grant.sha256 == found.sha256


@pytest.mark.parametrize("text", ["", "  ", "x" * 501, "a\x00b", "\ud800"])
def test_users_and_projects_that_no_trace_can_have_are_refused(tmp_path: Path, text: str) -> None:
    for user, project in ((text, None), ("ada", text)):
        with pytest.raises(InputError):
            Grants(tmp_path).add(user, project)
    assert not (tmp_path / FILE).exists()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.text(min_size=1), st.none() | st.text(min_size=1)), max_size=5))
def test_any_names_are_kept_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, named: list[tuple[str, str | None]]
) -> None:
    kept = Grants(tmp_path_factory.mktemp("state"))
    made = []
    for user, project in named:
        try:
            made.append(kept.add(user, project)[0])
        except InputError:
            continue
    assert kept.all() == made


def test_there_is_a_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "MAX_TOKENS", 2)
    kept = Grants(tmp_path)
    kept.add("ada")
    kept.add("ada")
    with pytest.raises(InputError, match="2 tokens already"):
        kept.add("ada")


def test_several_at_once_lose_no_token(tmp_path: Path) -> None:
    def add(_: int) -> str:
        return Grants(tmp_path).add("ada")[0].token_id

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(add, range(40)))

    kept = [one.token_id for one in Grants(tmp_path).all()]
    assert sorted(kept) == sorted(made)
    assert len(set(kept)) == 40


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Api]:
    with api(tmp_path) as running:
        running.store.write_runs([run("own", user_id="ada"), run("theirs", user_id="bob")])
        yield running


def entered(asked: Api, token: str) -> tuple[dict[str, str], httpx.Response]:
    """The cookie a browser gets for a token, and the answer it came with."""
    answer = httpx.get(f"{asked.served.url}/ui/", params={"token": token})
    return {"cookie": answer.headers.get("set-cookie", "").partition(";")[0]}, answer


@pytest.mark.slow
def test_a_server_that_runs_takes_new_tokens_and_refuses_revoked_ones(
    asked: Api, tmp_path: Path
) -> None:
    address = f"{asked.served.url}/refinery/v1/traces"
    grant, token = Grants(tmp_path).add("ada")
    headers = {"authorization": f"Bearer {token}"}
    cookie, answer = entered(asked, token)

    assert answer.status_code == 303
    for proof in (headers, cookie):
        listed = httpx.get(address, headers=proof).json()["traces"]
        assert [one["trace_id"] for one in listed] == ["own"]
    Grants(tmp_path).revoke(grant.token_id)
    for proof in (headers, cookie):
        assert httpx.get(address, headers=proof).status_code == 401
        assert httpx.get(f"{asked.served.url}/ui/", headers=proof).status_code == 401
    assert entered(asked, token)[1].status_code == 401
    assert len(asked.get("/traces")["traces"]) == 2


@pytest.mark.slow
def test_a_cookie_is_of_one_token_and_cannot_be_made_into_anothers(
    asked: Api, tmp_path: Path
) -> None:
    (ada, first), (bob, second) = Grants(tmp_path).add("ada"), Grants(tmp_path).add("bob")
    address = f"{asked.served.url}/refinery/v1/session"
    cookie = entered(asked, first)[0]["cookie"]
    owner = entered(asked, asked.token)[0]["cookie"]
    other = entered(asked, second)[0]["cookie"]
    name = owner.partition("=")[0]
    assert len({cookie, owner, other}) == 3
    assert first not in cookie

    forged = [
        cookie.replace(ada.token_id, bob.token_id),
        f"{name}={cookie.rpartition('.')[2]}",
        f"{owner.replace('=', f'={ada.token_id}.')}",
        f"{name}=.{owner.partition('=')[2]}",
        f"{name}={ada.token_id}.",
        f"{name}={ada.token_id}",
        f"{name}={ada.sha256}",
    ]
    for one in forged:
        assert httpx.get(address, headers={"cookie": one}).status_code == 401, one
    scopes = [
        httpx.get(address, headers={"cookie": one}).json()["scope"] for one in (cookie, other)
    ]
    assert [one["user"] for one in scopes] == ["ada", "bob"]
    assert httpx.get(address, headers={"cookie": owner}).json()["scope"] is None


@pytest.mark.slow
def test_a_users_csrf_value_is_no_other_cookies(asked: Api, tmp_path: Path) -> None:
    cookies = [
        entered(asked, token)[0]
        for token in (Grants(tmp_path).add("ada")[1], Grants(tmp_path).add("ada")[1], asked.token)
    ]
    url = f"{asked.served.url}/refinery/v1"
    values = [httpx.get(f"{url}/session", headers=one).json()["csrf"] for one in cookies]
    assert len(set(values)) == 3
    for place, cookie in enumerate(cookies):
        for number, value in enumerate(values):
            answer = httpx.post(
                f"{url}/traces/own/feedback",
                json={"key": "helpful", "score": 1},
                headers={**cookie, "x-refinery-csrf": value},
            )
            assert answer.status_code == (201 if place == number else 403)


@pytest.mark.slow
def test_a_token_opens_the_same_pages_and_leaves_the_address(asked: Api, tmp_path: Path) -> None:
    _, token = Grants(tmp_path).add("ada")
    answer = httpx.get(f"{asked.served.url}/ui/traces/own?token={token}&at=1")

    assert answer.headers["location"] == "/ui/traces/own?at=1"
    assert token not in str(answer.headers)
    headers = {"authorization": f"Bearer {token}"}
    for path in ("/ui/", "/ui/static/app.js", "/docs"):
        assert httpx.get(f"{asked.served.url}{path}", headers=headers).status_code == 200
    for path in ("/refinery/v1/traces", "/docs"):
        assert httpx.get(f"{asked.served.url}{path}?token={token}").status_code == 401
    both = httpx.get(f"{asked.served.url}/ui/?token={token}&token={asked.token}")
    assert ".".join(both.headers["set-cookie"].partition(";")[0].split(".")[1:]) == ""


READING = [
    ("POST", "/runs/query", {"is_root": True}),
    ("POST", "/runs/stats", {}),
    ("GET", "/runs/theirs", None),
    ("GET", "/sessions", None),
    ("GET", "/feedback", None),
    ("POST", "/api/v2/runs/query", {}),
    ("GET", "/public/x/run", None),
    ("GET", "/api/v1/sessions", None),
    ("PUT", "/runs/theirs/share", {}),
]


@pytest.mark.slow
def test_langsmiths_api_reads_everybodys_traces_with_a_key_only_once_users_have_tokens(
    asked: Api, tmp_path: Path
) -> None:
    with httpx.Client(base_url=asked.served.url) as client:

        def statuses(headers: dict[str, str]) -> set[int]:
            return {
                client.request(method, path, json=body, headers=headers).status_code
                for method, path, body in READING
            }

        assert 401 not in statuses({})
        grant, token = Grants(tmp_path).add("ada")
        for headers in (
            {},
            {"authorization": f"Bearer {token}"},
            {"x-api-key": token},
            {"x-api-key": ""},
        ):
            assert statuses(headers) == {401}
        refused = client.post("/runs/query", json={})
        assert "--api-key-file" in refused.text
        assert client.get("/info").status_code == 200
        sent = {"id": "5b8efff7-98f2-4f2a-8c3b-0123456789ab", "name": "n", "run_type": "chain"}
        assert client.post("/runs", json=sent).status_code < 300
        assert client.patch(f"/runs/{sent['id']}", json={"outputs": {}}).status_code < 300
        Grants(tmp_path).revoke(grant.token_id)
        assert 401 not in statuses({})


@pytest.mark.slow
def test_a_key_reads_langsmiths_api_and_a_token_does_not(tmp_path: Path) -> None:
    with api(tmp_path, api_key="the-key") as asked:
        asked.store.write_runs([run("theirs", user_id="bob")])
        _, token = Grants(tmp_path).add("ada")
        url = f"{asked.served.url}/runs/query"
        found = {
            key: httpx.post(url, json={"is_root": True}, headers={"x-api-key": key}).status_code
            for key in ("the-key", token, asked.token)
        }
        assert list(found.values()) == [200, 401, 401]
        headers = {"authorization": "Bearer the-key"}
        assert httpx.get(f"{asked.served.url}/refinery/v1/traces", headers=headers).is_error
