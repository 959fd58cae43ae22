"""No web page, no foreign name and no client without the key gets past the gate."""

import base64
import http.client
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from refinery.server import paths
from refinery.server.config import ServeSettings
from refinery.server.security import is_loopback
from tests.server.serving import Served, serving

pytestmark = pytest.mark.slow

KEY = "key-of-the-collector"
CALLS = [
    ("GET", "/info"),
    ("GET", "/sessions"),
    ("POST", "/runs/batch"),
    ("POST", "/runs/query"),
    ("POST", "/v1/traces"),
    ("PATCH", "/runs/5b8efff7-98f2-4f2a-8c3b-0123456789ab"),
    ("DELETE", "/runs/x/share"),
    ("OPTIONS", "/runs/batch"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = ServeSettings(store="", allowed_hosts=("traces.test",))
    with serving(tmp_path_factory.mktemp("open") / "traces.db", settings) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = ServeSettings(store="", api_key=KEY)
    with serving(tmp_path_factory.mktemp("locked") / "traces.db", settings) as running:
        yield running


def ask(served: Served, method: str, path: str, **headers: str) -> httpx.Response:
    content = b"{}" if method in ("POST", "PATCH") else None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content and "content-type" not in named:
        named["content-type"] = "application/json"
    return httpx.request(method, served.url + path, content=content, headers=named)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "localhost.evil.test",
        "localhost.",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "[::]",
        "192.168.0.1",
        "user@localhost",
        "localhost:80:80",
        "",
    ],
)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_foreign_host_is_refused(served: Served, method: str, path: str, host: str) -> None:
    assert ask(served, method, path, host=host).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_names_of_this_machine_are_taken(served: Served, host: str) -> None:
    assert ask(served, "GET", "/info", host=host).status_code == 200
    assert ask(served, "GET", "/info", host="traces.test").status_code == 200


@pytest.mark.parametrize(
    "page",
    [
        {"origin": "null"},
        {"origin": "https://evil.test"},
        {"origin": "http://localhost:1"},
        {"origin": "http://127.0.0.1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_web_page_is_refused(
    served: Served, method: str, path: str, page: dict[str, str]
) -> None:
    answer = ask(served, method, path, **page)

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""],
)
@pytest.mark.parametrize(
    "path", ["/runs/batch", "/runs", "/feedback", "/v1/traces", "/runs/query"]
)
def test_bodies_a_page_can_send_unasked_are_refused(served: Served, path: str, kind: str) -> None:
    answer = httpx.post(served.url + path, content=b"{}", headers={"content-type": kind})

    assert answer.status_code == 415


def test_two_hosts_are_refused(served: Served) -> None:
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
    connection.putrequest("GET", "/info", skip_host=True)
    connection.putheader("Host", "localhost")
    connection.putheader("Host", "evil.test")
    connection.endheaders()

    assert connection.getresponse().status == 400


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_the_key_nothing_is_answered(locked: Served, method: str, path: str) -> None:
    wrong = base64.b64encode(b"user:wrong").decode()
    for headers in (
        {},
        {"x_api_key": "wrong"},
        {"x_api_key": KEY[:-1]},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {wrong}"},
        {"authorization": "Basic %%%"},
        {"authorization": KEY},
    ):
        answer = ask(locked, method, path, **headers)
        assert answer.status_code == 401
        assert KEY not in answer.text


def test_the_key_is_taken_where_clients_put_it(locked: Served) -> None:
    both = base64.b64encode(f"pk:{KEY}".encode()).decode()
    for headers in (
        {"x_api_key": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"Basic {both}"},
    ):
        assert ask(locked, "GET", "/info", **headers).status_code == 200


def test_answers_are_protected_and_name_no_server(served: Served) -> None:
    for path in ("/info", "/nowhere"):
        headers = ask(served, "GET", path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_pages_about_the_api_are_not_open(served: Served) -> None:
    for path in ("/redoc", "/openapi.json"):
        assert ask(served, "GET", path).status_code == 404
    for path in ("/docs", "/refinery/v1/openapi.json"):
        assert ask(served, "GET", path).status_code == 401


def test_the_store_is_private_to_the_user(tmp_path: Path) -> None:
    with serving(tmp_path / "folder" / "traces.db"):
        for file in (tmp_path / "folder").iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", ""])
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        ("/runs/batch", "/runs/batch"),
        ("/api/runs/batch", "/runs/batch"),
        ("/api/v1/runs/batch", "/runs/batch"),
        ("/v1/runs/batch", "/runs/batch"),
        ("/api/v2/runs/query", "/api/v2/runs/query"),
        ("/v1/traces", "/v1/traces"),
        ("/v1/traces/", "/v1/traces"),
        ("/otel/v1/traces", "/v1/traces"),
        ("/api/v1/otel/v1/traces", "/v1/traces"),
        ("/api/public/otel/v1/logs", "/v1/logs"),
        ("/api/public/some-token/run", "/public/some-token/run"),
        ("/v1/metrics", "/v1/metrics"),
    ],
)
def test_prefixes_of_clients_are_taken_off(sent: str, plain: str) -> None:
    assert paths.plain(sent) == plain
