"""The recording gateway: what passes it, byte for byte, and what is kept of it."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.errors import InputError
from refinery.model.trace import Run, RunKind, RunStatus, Usage
from refinery.recorders import gateway_mark
from refinery.replay import exchange_runs, passage
from refinery.replay.passage import Body, Exchange, Outcome
from refinery.replay.recording import RecordingGateway
from refinery.replay.wire import ModelReply
from tests.fakes.byte_server import Asked, Bytes, ByteServer
from tests.fakes.model_server import ModelServer, StatusError
from tests.kits.timing import until

ROOT = Run("0" * 36, "0" * 36, dotted_order="20260101T000000000000Z" + "0" * 36)
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"


class Kept:
    """What the gateway told."""

    def __init__(self) -> None:
        self.ended: list[Exchange] = []
        self.has_ended = threading.Event()

    def begun(self, exchange: Exchange) -> None:
        pass

    def end(self, exchange: Exchange) -> None:
        self.ended.append(exchange)
        self.has_ended.set()

    def only(self) -> Exchange:
        assert self.has_ended.wait(60)
        (exchange,) = self.ended
        return exchange


@contextmanager
def gateway(
    url: str, more: Mapping[str, str] | None = None
) -> Iterator[tuple[dict[str, str], Kept]]:
    kept = Kept()
    environment = {"OPENAI_BASE_URL": f"{url}/v1", "ANTHROPIC_BASE_URL": url, **(more or {})}
    with RecordingGateway(environment, kept.begun, kept.end) as running:
        yield running.variables(environment), kept


def ask(
    base: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, parts.path + target, body, dict(headers or {}))
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return response.status, told, response.read()
    finally:
        connection.close()


@settings(max_examples=30)  # each starts two servers
@given(pieces=st.lists(st.binary(min_size=1, max_size=2000), max_size=5), is_chunked=st.booleans())
def test_bytes_pass_unchanged_in_both_directions(pieces: list[bytes], is_chunked: bool) -> None:
    whole = b"".join(pieces)
    length = None if is_chunked else len(whole)
    with (
        ByteServer(lambda asked: Bytes(pieces, length=length)) as server,
        gateway(server.url) as (variables, kept),
    ):
        status, _, body = ask(variables["OPENAI_BASE_URL"], "/anything?x=%2F&y", whole)
        exchange = kept.only()

    assert (status, body) == (200, whole)
    assert (server.asked[0].target, server.asked[0].body) == ("/v1/anything?x=%2F&y", whole)
    assert exchange.body.content == exchange.response.content == whole
    assert exchange.outcome is Outcome.DONE


def test_compressed_answers_pass_compressed_and_are_read_for_the_run() -> None:
    told = json.dumps({"model": "m", "usage": {"prompt_tokens": 3}, "choices": []}).encode()
    packed = gzip.compress(told)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    with (
        ByteServer(lambda asked: Bytes([packed], headers=headers, length=len(packed))) as server,
        gateway(server.url) as (variables, kept),
    ):
        sent = {"accept-encoding": "br, gzip;q=0.9, zstd"}
        _, got, body = ask(variables["OPENAI_BASE_URL"], "/chat/completions", b"{}", sent)
        exchange = kept.only()

    assert (body, got["content-encoding"]) == (packed, "gzip")
    assert server.asked[0].header("accept-encoding") == "gzip;q=0.9, zstd"
    run, _ = exchange_runs.ended(exchange, ROOT)
    assert run.outputs == json.loads(told)
    assert run.usage == Usage(input=3)
    assert passage.read_tape(passage.tape(exchange))["response"]["pieces"][0][1] == packed


def test_streams_pass_piece_by_piece_with_their_times() -> None:
    may_go_on = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "one"}}]}\n\n'
        assert may_go_on.wait(60)
        yield b'data: {"choices": [{"delta": {"content": " two"}}]}\n\ndata: [DONE]\n\n'

    events = {"content-type": "text/event-stream"}
    with (
        ByteServer(lambda asked: Bytes(pieces(), headers=events)) as server,
        gateway(server.url) as (variables, kept),
    ):
        parts = urlsplit(variables["OPENAI_BASE_URL"])
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        connection.request("POST", "/v1/chat/completions", b'{"stream": true}')
        response = connection.getresponse()
        first = response.read1()
        may_go_on.set()
        rest = response.read()
        connection.close()
        exchange = kept.only()

    assert b"one" in first and b"two" not in first
    assert rest.endswith(b"[DONE]\n\n")
    (first_ns, _), (second_ns, _) = exchange.response.pieces
    assert first_ns < second_ns
    run, _ = exchange_runs.ended(exchange, ROOT)
    assert run.outputs["choices"][0]["message"] == {
        "role": "assistant",
        "content": "one two",
    }
    assert run.first_token_ns == exchange.start_ns + first_ns
    assert run.status is RunStatus.OK


def test_headers_pass_but_keys_are_not_kept() -> None:
    sent = {
        "authorization": f"Bearer {KEY}",
        "x-api-key": KEY,
        "cookie": "session=1",
        "x-goog-api-key": KEY,
        "idempotency-key": "i-1",
        "anthropic-version": "2023-06-01",
    }
    answer = {
        "content-type": "application/json",
        "set-cookie": "secret=1",
        "x-ratelimit-remaining-tokens": "7",
    }
    with (
        ByteServer(lambda asked: Bytes([b"{}"], headers=answer)) as server,
        gateway(server.url) as (variables, kept),
    ):
        _, got, _ = ask(variables["OPENAI_BASE_URL"], f"/m?key={KEY}&n=1", b"{}", sent)
        content = passage.tape(kept.only())

    arrived = {name.lower(): value for name, value in server.asked[0].headers}
    assert {name: arrived.get(name) for name in sent} == sent
    assert server.asked[0].target == f"/v1/m?key={KEY}&n=1"
    assert got["set-cookie"] == "secret=1"
    assert KEY.encode() not in content and b"secret=1" not in content
    tape = passage.read_tape(content)
    told = {name.lower(): value for name, value in tape["request"]["headers"]}
    assert {name for name, value in told.items() if value == "[withheld]"} == {
        "authorization",
        "x-api-key",
        "cookie",
        "x-goog-api-key",
    }
    assert told["idempotency-key"] == "i-1"
    assert dict(tape["response"]["headers"])["x-ratelimit-remaining-tokens"] == "7"
    assert tape["request"]["target"] == "/v1/m?key=[withheld]&n=1"


def test_a_tape_says_what_passed_and_secrets_in_bodies_are_taken_out() -> None:
    clean, secret = b'{"a": 1}', json.dumps({"text": f"my key is {KEY}"}).encode()
    with (
        ByteServer(lambda asked: Bytes([clean[:3], clean[3:]])) as server,
        gateway(server.url) as (variables, kept),
    ):
        ask(variables["OPENAI_BASE_URL"], "/chat/completions", secret)
        exchange = kept.only()
        document = json.loads(passage.tape(exchange))
        tape = passage.read_tape(passage.tape(exchange))
        open_tape = passage.read_tape(passage.tape(exchange, is_redacted=False))

    assert (document["format"], document["version"]) == ("refinery.tape", 1)
    assert (tape["vendor"], tape["upstream"]) == ("openai", server.url)
    assert tape["request"]["method"] == "POST"
    assert tape["request"]["target"] == "/v1/chat/completions"
    assert tape["request"]["is_redacted"] is True
    assert KEY.encode() not in tape["request"]["pieces"][0][1]
    assert tape["request"]["size_bytes"] == len(secret)
    assert tape["response"]["is_redacted"] is False
    assert b"".join(piece for _, piece in tape["response"]["pieces"]) == clean
    assert open_tape["request"]["pieces"][0][1] == secret


def test_an_upstream_that_is_down_is_told_in_the_vendors_shape() -> None:
    with gateway("http://127.0.0.1:9") as (variables, kept):
        with (
            openai.OpenAI(
                base_url=variables["OPENAI_BASE_URL"], api_key="k", max_retries=0
            ) as client,
            pytest.raises(openai.InternalServerError, match="did not answer") as caught,
        ):
            client.chat.completions.create(model="m", messages=[])
        with (
            anthropic.Anthropic(
                base_url=variables["ANTHROPIC_BASE_URL"], api_key="k", max_retries=0
            ) as claude,
            pytest.raises(anthropic.InternalServerError, match="did not answer"),
        ):
            claude.messages.create(model="m", max_tokens=1, messages=[])

    assert caught.value.status_code == 502
    runs = [exchange_runs.ended(exchange, ROOT)[0] for exchange in kept.ended]
    assert [(run.status, run.name) for run in runs] == [
        (RunStatus.ERROR, "openai.chat.completions"),
        (RunStatus.ERROR, "anthropic.messages"),
    ]
    assert runs[0].error is not None and runs[0].error.type == "UpstreamError"


@pytest.mark.parametrize("length", [None, 500])
def test_a_response_that_breaks_off_breaks_off_for_the_program_too(length: int | None) -> None:
    told = Bytes([b'{"half": '], length=length, breaks_off=True)
    with ByteServer(lambda asked: told) as server, gateway(server.url) as (variables, kept):
        with pytest.raises(http.client.IncompleteRead):
            ask(variables["OPENAI_BASE_URL"], "/chat/completions", b"{}")
        exchange = kept.only()

    assert exchange.outcome is Outcome.UPSTREAM_FAILED
    run, _ = exchange_runs.ended(exchange, ROOT)
    assert (run.status, run.outputs) == (RunStatus.ERROR, '{"half": ')


def test_a_program_that_leaves_a_stream_leaves_a_cancelled_run() -> None:
    gone = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "one"}}]}\n\n'
        gone.wait(60)
        for _ in range(2000):
            yield b'data: {"choices": [{"delta": {"content": "more"}}]}\n\n' * 50

    events = {"content-type": "text/event-stream"}
    with (
        ByteServer(lambda asked: Bytes(pieces(), headers=events)) as server,
        gateway(server.url) as (variables, kept),
    ):
        parts = urlsplit(variables["OPENAI_BASE_URL"])
        with socket.create_connection((str(parts.hostname), parts.port or 0)) as program:
            program.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
                b"content-length: 2\r\n\r\n{}" % (parts.port or 0)
            )
            assert b"one" in program.recv(65536) + program.recv(65536)
        gone.set()
        exchange = kept.only()

    assert exchange.outcome is Outcome.CLIENT_LEFT
    run, _ = exchange_runs.ended(exchange, ROOT)
    assert run.status is RunStatus.CANCELLED
    assert run.outputs["choices"][0]["message"]["content"].startswith("one")


def test_requests_go_to_the_configured_host_only() -> None:
    with (
        ByteServer(lambda asked: Bytes([b"{}"])) as server,
        ByteServer(lambda asked: Bytes([b"{}"])) as elsewhere,
        gateway(server.url) as (variables, kept),
    ):
        parts = urlsplit(variables["OPENAI_BASE_URL"])
        answers = []
        for line, host in (
            (f"GET {elsewhere.url}/x HTTP/1.1", f"127.0.0.1:{parts.port}"),
            ("GET /x HTTP/1.1", "rebound.example"),
            (f"CONNECT {elsewhere.url[7:]} HTTP/1.1", f"127.0.0.1:{parts.port}"),
        ):
            with socket.create_connection((str(parts.hostname), parts.port or 0)) as program:
                program.sendall(f"{line}\r\nhost: {host}\r\n\r\n".encode())
                answers.append(int(program.recv(65536).split()[1]))
        moved = {"location": f"{elsewhere.url}/v1/x"}
        server.answer = lambda asked: Bytes([], status=302, headers=moved, length=0)
        status, got, _ = ask(variables["OPENAI_BASE_URL"], "/models")

    assert answers == [400, 403, 501]
    assert (status, got["location"]) == (302, moved["location"])
    assert elsewhere.asked == []
    assert [exchange.target for exchange in kept.ended] == ["/v1/models"]


def test_a_chunked_request_passes_and_the_connection_is_kept() -> None:
    with (
        ByteServer(lambda asked: Bytes([b"ok"], length=2)) as server,
        gateway(server.url) as (variables, _),
    ):
        parts = urlsplit(variables["OPENAI_BASE_URL"])
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        for _ in range(3):
            connection.request("POST", "/v1/x", iter([b"ab", b"", b"cd"]), encode_chunked=True)
            assert connection.getresponse().read() == b"ok"
        connection.request("HEAD", "/v1/x")
        assert connection.getresponse().read() == b""
        connection.close()

    assert [asked.body for asked in server.asked] == [b"abcd"] * 3 + [b""]
    assert {asked.header("host") for asked in server.asked} == {server.url[7:]}


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    """The base URL of one gateway for all examples of a test."""
    with (
        ByteServer(lambda asked: Bytes([b"{}"])) as server,
        gateway(server.url) as (variables, _),
    ):
        yield variables["OPENAI_BASE_URL"]


@given(raw=st.binary(max_size=300))
def test_garbage_is_answered_or_dropped_and_the_gateway_lives(running: str, raw: bytes) -> None:
    parts = urlsplit(running)
    with (
        socket.create_connection((str(parts.hostname), parts.port or 0), 5) as program,
        contextlib.suppress(ConnectionResetError),
    ):
        program.sendall(raw)
        program.shutdown(socket.SHUT_WR)
        while program.recv(65536):
            pass
    assert ask(running, "/x")[0] == 200


def test_the_environment_leads_to_the_gateway_and_past_proxies() -> None:
    more = {
        "OPENAI_API_BASE": "https://other.example/api",
        "AZURE_OPENAI_ENDPOINT": "https://me:pw@azure.example",
        "no_proxy": "internal",
    }
    with gateway("http://127.0.0.1:9", more) as (variables, _):
        urls = {name: url for name, url in variables.items() if name.endswith(("URL", "BASE"))}
        ports = {name: urlsplit(url).port for name, url in urls.items()}

    assert urlsplit(variables["OPENAI_BASE_URL"]).path == "/v1"
    assert urlsplit(variables["OPENAI_API_BASE"]).path == "/api"
    assert ports["OPENAI_BASE_URL"] != ports["OPENAI_API_BASE"]
    assert ports["ANTHROPIC_BASE_URL"] == ports["ANTHROPIC_API_URL"]
    assert urlsplit(variables["AZURE_OPENAI_ENDPOINT"]).username == "me"
    assert variables["no_proxy"] == "internal,127.0.0.1"
    assert variables["NO_PROXY"] == "127.0.0.1"
    assert variables[gateway_mark.ORIGINS].count("http://127.0.0.1:") == 4


def test_without_base_urls_the_vendors_own_are_used() -> None:
    with RecordingGateway({}, lambda _: None, lambda _: None) as running:
        names = set(running.variables({}))

    assert {"OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL"} <= names
    assert "AZURE_OPENAI_ENDPOINT" not in names


def test_a_base_url_that_is_none_is_an_input_error() -> None:
    with pytest.raises(InputError, match="OPENAI_BASE_URL"):
        RecordingGateway({"OPENAI_BASE_URL": "ftp://x"}, lambda _: None, lambda _: None)


def test_model_errors_and_retries_become_the_runs() -> None:
    with (
        ModelServer(lambda asked: StatusError(429, headers={"retry-after-ms": "1"})) as server,
        gateway(server.url) as (variables, kept),
        openai.OpenAI(base_url=variables["OPENAI_BASE_URL"], api_key="k", max_retries=1) as client,
        pytest.raises(openai.RateLimitError),
    ):
        client.chat.completions.create(model="m", messages=[])

    first, second = (exchange_runs.ended(exchange, ROOT)[0] for exchange in kept.ended)
    assert first.error is not None
    assert (first.error.type, first.error.message) == (
        "test_failure",
        "HTTP 429: refused by the test",
    )
    assert "retry_count" not in (first.metadata or {})["refinery"]
    assert (second.metadata or {})["refinery"]["retry_count"] == 1


def test_paths_that_are_no_model_calls_become_steps() -> None:
    with (
        ByteServer(lambda asked: Bytes([b"\xff\x00"], headers={"content-type": "audio/mp3"})) as s,
        gateway(s.url) as (variables, kept),
    ):
        ask(variables["OPENAI_BASE_URL"], "/audio/speech?a=1", b"text", {"content-type": "x/y"})
        run, _ = exchange_runs.ended(kept.only(), ROOT)

    assert (run.name, run.kind, run.native_kind) == (
        "POST /v1/audio/speech",
        RunKind.STEP,
        "http",
    )
    assert run.inputs == "text"
    assert run.outputs["size_bytes"] == 2


def test_a_marked_call_says_so_and_the_mark_is_not_sent_on() -> None:
    with (
        ByteServer(lambda asked: Bytes([b"{}"])) as server,
        gateway(server.url) as (variables, kept),
    ):
        ask(variables["OPENAI_BASE_URL"], "/x", b"{}", {gateway_mark.HEADER: "a/b"})

    assert kept.ended[0].recorded == "a/b"
    assert server.asked[0].header(gateway_mark.HEADER) is None


def test_what_is_under_way_when_the_gateway_closes_ends_as_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("refinery.replay.recording.CLOSING_S", 0.2)
    forever = threading.Event()

    def answer(asked: Asked) -> Bytes:
        forever.wait(60)
        return Bytes([b"{}"])

    with ByteServer(answer) as server:
        with gateway(server.url) as (variables, kept):
            parts = urlsplit(variables["OPENAI_BASE_URL"])
            program = socket.create_connection((str(parts.hostname), parts.port or 0))
            program.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
                b"content-length: 2\r\n\r\n{}" % (parts.port or 0)
            )
            until(lambda: server.asked)
        forever.set()
        program.close()

    (exchange,) = kept.ended
    assert exchange.outcome is Outcome.GATEWAY_CLOSED


def test_bodies_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passage, "MAX_BODY_BYTES", 10)
    monkeypatch.setattr(passage, "MAX_PIECES", 2)
    body = Body()
    for piece in (b"abc", b"def", b"ghi", b"jkl", b"mno"):
        body.add(1, piece)

    assert (body.content, body.size_bytes, body.is_cut) == (b"abcdefghij", 15, True)
    assert len(body.pieces) == 2


@given(content=st.binary(max_size=200), coding=st.sampled_from(["gzip", "deflate", "zstd", "br"]))
def test_bodies_that_lie_about_their_compression_do_no_harm(content: bytes, coding: str) -> None:
    exchange = Exchange(
        "openai", "http://h", "POST", "/v1/responses", [("content-encoding", coding)]
    )
    exchange.body.add(1, content)
    exchange.status, exchange.response_headers = (
        200,
        [
            ("content-encoding", coding),
            ("content-type", "text/event-stream"),
        ],
    )
    exchange.response.add(2, content)
    exchange.end(Outcome.DONE)

    assert exchange_runs.ended(exchange, ROOT)[0].status is not None
    assert passage.read_tape(passage.tape(exchange))["version"] == 1


def test_bare_deflate_is_read_and_a_bomb_is_cut() -> None:
    packer = zlib.compressobj(wbits=-15)
    assert passage.decoded(packer.compress(b"hello") + packer.flush(), "deflate") == b"hello"
    bomb = passage.decoded(gzip.compress(b"0" * (40 << 20)), "gzip")
    assert bomb is not None and len(bomb) == passage.MAX_BODY_BYTES


@given(st.binary(max_size=100))
def test_what_is_no_tape_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        passage.read_tape(content)


def test_a_model_run_through_a_real_sdk_reads_like_one_recorded_inside() -> None:
    reply = ModelReply("well", usage=Usage(input=9, output=2, cache_read=4))
    with (
        ModelServer(lambda asked: reply) as server,
        gateway(server.url) as (variables, kept),
        anthropic.Anthropic(base_url=variables["ANTHROPIC_BASE_URL"], api_key=KEY) as client,
    ):
        asked: list[Any] = [{"role": "user", "content": f"I am {KEY}"}]
        with client.messages.stream(model="c", max_tokens=3, messages=asked) as stream:
            assert stream.get_final_text() == "well"

    run, _ = exchange_runs.ended(kept.ended[0], ROOT)
    assert (run.provider, run.model_requested, run.model_responded) == ("anthropic", "c", "c")
    assert run.params == {"max_tokens": 3}
    assert run.usage == Usage(input=9, output=2, total=11, cache_read=4, cache_write=0)
    assert KEY not in json.dumps(run.inputs)
    assert (run.parent_id, run.trace_id) == (ROOT.run_id, ROOT.run_id)
    assert run.dotted_order is not None and run.dotted_order.startswith(f"{ROOT.dotted_order}.")
