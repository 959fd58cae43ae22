"""Asking a service: keys stay, answers are bounded, refusals are explained."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from refinery.adapters._shared import http
from refinery.adapters._shared.http import Address, NoSuchRouteError, Service
from refinery.errors import CredentialsError, InputError
from tests.fakes.trace_servers import JsonServer, Reply, Request

KEY = {"authorization": "Bearer sesame"}


@contextmanager
def asking(
    answer: Callable[[Request], Reply],
) -> Iterator[tuple[Service, JsonServer, list[float]]]:
    waits: list[float] = []
    with JsonServer(answer).running() as server:
        service = Service(Address(server.url, "Test", KEY, keys="TEST_KEY"), sleep=waits.append)
        try:
            yield service, server, waits
        finally:
            service.close()


def test_an_answer_is_json_and_the_question_carries_the_key() -> None:
    with asking(lambda _: Reply(200, {"a": 1})) as (service, server, _):
        assert service.get("/x", {"q": "é&=", "left_out": None}) == {"a": 1}

    (request,) = server.requests
    assert (request.path, request.query) == ("/x", {"q": ["é&="]})
    assert request.headers["authorization"] == "Bearer sesame"


def test_a_busy_service_is_asked_again_when_it_says() -> None:
    replies = iter([Reply(429, {}, {"retry-after": "7"}), Reply(503, {}), Reply(200, [1])])
    with asking(lambda _: next(replies)) as (service, _, waits):
        assert service.get("/x") == [1]

    assert waits == [7.0, 2.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("600", 30.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", 1.0), ("-5", 0.0)],
)
def test_odd_wishes_to_wait_are_bounded(value: str, seconds: float) -> None:
    replies = iter([Reply(429, {}, {"retry-after": value}), Reply(200, [])])
    with asking(lambda _: next(replies)) as (service, _, waits):
        service.get("/x")

    assert waits == [seconds]


@pytest.mark.parametrize(
    ("status", "kind", "words", "asked"),
    [
        (401, CredentialsError, "refused the key", 1),
        (403, CredentialsError, "refused the key", 1),
        (404, NoSuchRouteError, "nothing there", 1),
        (400, InputError, "no such field", 1),
        (429, InputError, "asks to wait", 4),
        (500, InputError, "out of order", 4),
    ],
)
def test_refusals_are_explained(status: int, kind: type, words: str, asked: int) -> None:
    with asking(lambda _: Reply(status, {"message": "no such field"})) as (service, server, _):
        with pytest.raises(kind, match=words) as caught:
            service.get("/x")

        assert len(server.requests) == asked
    assert str(status) in str(caught.value)
    assert caught.value.hint
    assert "sesame" not in str(caught.value) + caught.value.hint


def test_a_missing_key_is_named() -> None:
    with (
        asking(lambda _: Reply(401, {})) as (service, _, _),
        pytest.raises(CredentialsError) as caught,
    ):
        service.get("/x")

    assert "TEST_KEY" in caught.value.hint


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><html>Sign in</html>", b"  <HTML>", b"oops", b"[" * 100_000]
)
def test_what_is_no_json_is_said(body: bytes) -> None:
    with (
        asking(lambda _: Reply(200, body)) as (service, _, _),
        pytest.raises(InputError, match=r"web page|cannot be read") as caught,
    ):
        service.get("/x")

    assert caught.value.hint


def test_a_packed_bomb_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 2**20)
    bomb = gzip.compress(b"0" * 30 * 2**20)
    with (
        asking(lambda _: Reply(200, bomb, {"content-encoding": "gzip"})) as (service, _, _),
        pytest.raises(InputError, match="more than 1 MB"),
    ):
        service.get("/x")


def test_a_damaged_body_is_said() -> None:
    with (
        asking(lambda _: Reply(200, b"no gzip", {"content-encoding": "gzip"})) as (service, _, _),
        pytest.raises(InputError, match="damaged"),
    ):
        service.get("/x")


def test_keys_do_not_follow_a_redirect_to_another_place() -> None:
    with JsonServer(lambda _: Reply(200, {"stolen": True})).running() as thief:
        away = Reply(302, {}, {"location": f"{thief.url}/x"})
        with (
            asking(lambda _: away) as (service, _, _),
            pytest.raises(InputError, match="redirects") as caught,
        ):
            service.get("/x")

    assert thief.requests == []
    assert thief.url in str(caught.value)


def test_a_redirect_that_stays_is_followed_but_not_for_ever() -> None:
    def answer(request: Request) -> Reply:
        if request.path == "/here":
            return Reply(307, {}, {"location": "/there?a=1"})
        if request.path == "/round":
            return Reply(302, {}, {"location": "/round"})
        return Reply(200, request.query)

    with asking(answer) as (service, _, _):
        assert service.get("/here", {"b": 2}) == {"a": ["1"]}
        with pytest.raises(InputError, match="redirect after another"):
            service.get("/round")


def test_nobody_there_and_nobody_answering_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with JsonServer(lambda _: Reply(200, {})).running() as gone:
        url = gone.url
    silent = Service(Address(url, "Test"))
    with pytest.raises(InputError, match="cannot be reached"):
        silent.get("/x")
    silent.close()

    monkeypatch.setattr(http, "TIMEOUT_S", 0.2)

    def slow(_: Request) -> Reply:
        time.sleep(0.6)
        return Reply(200, {})

    with asking(slow) as (service, _, _), pytest.raises(InputError, match=r"within 0 s"):
        service.get("/x")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://EXAMPLE.com:443/a/b?q#f", "https://example.com"),
        ("http://example.com:8080", "http://example.com:8080"),
        ("http://[::1]:80/x", "http://[::1]"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    assert http.origin(url) == expected


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "http://x:port", "x.example", "http://["]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="not the address"):
        http.origin(url)


def test_a_base_has_no_ending_of_the_wire_protocol() -> None:
    assert http.base("http://h:6006/s/me/v1/traces/", "/v1/traces") == "http://h:6006/s/me"
    assert http.base("http://user:word@h/x?y=1") == "http://h/x"
