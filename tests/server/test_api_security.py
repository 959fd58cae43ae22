"""No endpoint of the API and no page answers without the token, or to a foreign page or name."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from refinery.server.answers import PAGE_POLICY
from tests.kits.traces import sample
from tests.server.api import Api, api

pytestmark = pytest.mark.slow

PAGES = ["/ui", "/ui/", "/ui/traces/t", "/ui/static/app.js", "/docs"]
FOREIGN_PAGES = [
    {"origin": "https://evil.test"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]
FOREIGN_HOSTS = ["evil.test", "localhost.evil.test", "127.0.0.1.nip.io", "0.0.0.0", ""]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("api")) as running:
        running.store.write_runs(sample("t", failed="boom").runs)
        yield running


def operations(asked: Api) -> list[tuple[str, str]]:
    """Method and path of every operation the description names."""
    spec = asked.client.get("/openapi.json").json()
    found = [
        (method.upper(), "/refinery/v1" + re.sub(r"\{[^}]+\}", "t", path))
        for path, operations in spec["paths"].items()
        for method in operations
    ]
    assert len(found) >= 25
    return [*found, ("GET", "/refinery/v1/openapi.json")]


def statuses(asked: Api, headers: dict[str, str], *more: str) -> dict[tuple[str, str], int]:
    """What every operation answers, and what further pages do."""
    wanted = [*operations(asked), *(("GET", path) for path in more)]

    async def ask_all() -> list[int]:
        async with httpx.AsyncClient(base_url=asked.served.url, timeout=30) as client:
            answers = [
                client.request(
                    method, path, headers=headers, **({} if method == "GET" else {"json": {}})
                )
                for method, path in wanted
            ]
            return [answer.status_code for answer in await asyncio.gather(*answers)]

    return dict(zip(wanted, asyncio.run(ask_all()), strict=True))


def cookie(asked: Api) -> dict[str, str]:
    """The cookie a browser gets for the token."""
    answer = httpx.get(f"{asked.served.url}/ui/", params={"token": asked.token})
    assert answer.status_code == 303
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Basic dG9rZW46dG9rZW4="},
        {"cookie": "refinery-0=x; refinery=x"},
        {"x-api-key": "x"},
    ],
    ids=str,
)
def test_without_the_token_nothing_is_answered(asked: Api, headers: dict[str, str]) -> None:
    assert set(statuses(asked, headers, *PAGES).values()) == {401}


@pytest.mark.parametrize("page", FOREIGN_PAGES, ids=str)
def test_pages_of_other_origins_are_refused_even_with_the_token(
    asked: Api, page: dict[str, str]
) -> None:
    for proof in ({"authorization": f"Bearer {asked.token}"}, cookie(asked)):
        found = statuses(asked, {**proof, **page}, *PAGES, "/", "/health")

        assert set(found.values()) == {403}


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_foreign_names_are_refused_even_with_the_token(asked: Api, host: str) -> None:
    headers = {"authorization": f"Bearer {asked.token}", "host": host}

    assert set(statuses(asked, headers, *PAGES, "/", "/health").values()) <= {400, 403}


def test_with_the_token_the_same_requests_are_answered(asked: Api) -> None:
    """The control: what is refused above is refused for the reason given, not for another."""
    found = statuses(asked, {"authorization": f"Bearer {asked.token}"}, *PAGES, "/", "/health")

    assert not {401, 403} & set(found.values())
    assert found["GET", "/ui/traces/t"] == 200


def test_changes_by_cookie_need_the_csrf_value(asked: Api) -> None:
    given = cookie(asked)
    csrf = httpx.get(f"{asked.served.url}/refinery/v1/session", headers=given).json()["csrf"]
    changing = {key for key in operations(asked) if key[0] != "GET"}
    assert len(changing) >= 10

    for headers in (given, {**given, "x-refinery-csrf": "wrong"}):
        found = statuses(asked, headers)
        assert {found[key] for key in changing} == {403}
        assert 403 not in {status for key, status in found.items() if key not in changing}
    asked.store.write_runs(sample("t").runs)
    found = statuses(asked, {**given, "x-refinery-csrf": csrf})
    assert 403 not in found.values()
    asked.store.write_runs(sample("t").runs)


def test_the_token_leaves_the_address_and_the_cookie_stays_with_us(asked: Api) -> None:
    address = f"{asked.served.url}/ui/traces/t?token={asked.token}&at=1"
    answer = httpx.get(address)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui/traces/t?at=1"
    cookies = answer.headers.get_list("set-cookie")
    assert {re.search(r"Path=(\S+?);", one)[1] for one in cookies} == {  # type: ignore[index]  # each has one
        "/refinery/v1",
        "/ui",
        "/docs",
    }
    for one in cookies:
        assert "HttpOnly" in one
        assert "SameSite=strict" in one
        assert asked.token not in one
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["wrong", "", "x" * 5_000, "%00", "%FF", "a&token=b"])
def test_a_wrong_token_opens_nothing(asked: Api, given: str) -> None:
    answer = httpx.get(f"{asked.served.url}/ui/?token={given}")

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_token_in_an_address_opens_pages_only(asked: Api) -> None:
    for path in ("/refinery/v1/traces", "/docs"):
        assert httpx.get(f"{asked.served.url}{path}?token={asked.token}").status_code == 401
    head = httpx.head(f"{asked.served.url}/ui/?token={asked.token}")
    assert head.status_code == 401


def test_no_address_leads_the_browser_elsewhere(asked: Api) -> None:
    for path in ("/ui//evil.test", "/ui/%2F%2Fevil.test", "/ui/\\evil.test"):
        answer = httpx.get(f"{asked.served.url}{path}?token={asked.token}")
        assert answer.status_code == 303
        assert re.match(r"/ui/[^?]*$", answer.headers["location"])


def test_a_value_that_opens_once_does_not_open_twice(tmp_path: Path) -> None:
    with api(tmp_path, opens_once="once-and-no-more") as asked:
        address = f"{asked.served.url}/ui/?token=once-and-no-more"
        assert httpx.get(address).status_code == 303
        assert httpx.get(address).status_code == 401


def test_cookies_of_another_start_open_nothing(asked: Api, tmp_path: Path) -> None:
    name = next(iter(cookie(asked)["cookie"].split("=")))
    with api(tmp_path) as other:
        value = cookie(other)["cookie"].partition("=")[2]
    headers = {"cookie": f"{name}={value}"}
    assert httpx.get(f"{asked.served.url}/refinery/v1/session", headers=headers).status_code == 401


def test_pages_run_only_their_own_files(asked: Api) -> None:
    for path in PAGES[1:]:
        answer = asked.client.get(f"{asked.served.url}{path}")
        assert answer.status_code == 200, path
        assert answer.headers.get_list("content-security-policy") == [PAGE_POLICY]
        assert answer.headers["x-content-type-options"] == "nosniff"
    shell = asked.client.get(f"{asked.served.url}/ui/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=|https?://", shell)


@pytest.mark.parametrize(
    "path",
    [
        "../answers.py",
        "..%2f..%2fanswers.py",
        "%2e%2e/%2e%2e/answers.py",
        "/etc/passwd",
        "vendor",
        "",
        "app.js%00.css",
        "nothing.js",
    ],
)
def test_only_files_of_the_pages_are_served(asked: Api, path: str) -> None:
    answer = asked.client.get(f"{asked.served.url}/ui/static/{path}")

    assert answer.status_code in (404, 200)
    if answer.status_code == 200:  # the client itself resolved the dots: it is the shell then
        assert answer.text.startswith("<!doctype html>")


def test_answers_let_no_other_origin_read_them(asked: Api) -> None:
    answers: list[Any] = [
        asked.client.get("/traces"),
        asked.client.options("/traces"),
        asked.client.get("/nowhere"),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
def test_bodies_a_page_can_send_unasked_are_refused(asked: Api, kind: str) -> None:
    given = {**cookie(asked), "content-type": kind}
    csrf = httpx.get(f"{asked.served.url}/refinery/v1/session", headers=given).json()["csrf"]
    answer = httpx.post(
        f"{asked.served.url}/refinery/v1/traces/t/label",
        content=b'{"outcome": "pass"}',
        headers={**given, "x-refinery-csrf": csrf},
    )

    assert answer.status_code == 415


def test_what_was_recorded_holds_no_key_of_a_request(asked: Api) -> None:
    """Headers of clients, tokens among them, are never part of what is kept."""
    secret = "a-key-a-client-sends"
    run = {"id": "5b8efff7-98f2-4f2a-8c3b-0123456789ab", "name": "n", "run_type": "chain"}
    answer = httpx.post(
        f"{asked.served.url}/runs",
        json={**run, "start_time": "2026-01-01T00:00:00Z", "inputs": {}},
        headers={"x-api-key": secret, "authorization": f"Bearer {secret}"},
    )
    assert answer.status_code in (200, 202)
    folder = Path(asked.served.app.state.settings.home)

    for file in folder.iterdir():
        if file.is_file():
            assert secret.encode() not in file.read_bytes()
            assert asked.token.encode() not in file.read_bytes()
            assert file.stat().st_mode & 0o077 == 0, file
