"""No body, however damaged, large or slow, brings the collector down or goes unanswered."""

import gzip
import http.client
import json
import socket
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import zstandard

from refinery.ports import RunFilter
from refinery.server.config import ServeSettings
from refinery.server.limits import DEFAULT_LIMITS, MIB
from refinery.server.running import BoundedProtocol
from tests.server.bodies import catching, record
from tests.server.mutations import Endpoint, endpoints, mutated, send
from tests.server.serving import Served, serving

pytestmark = pytest.mark.slow

SMALL = replace(
    DEFAULT_LIMITS,
    body_bytes=2 * MIB,
    unpacked_bytes=8 * MIB,
    text_chars=1000,
    parts=50,
    runs=20,
    idle_s=0.3,
    body_s=1.0,
)
NAMES = (
    *("multipart", "batch", "post", "patch", "feedback"),
    *("traces-json", "logs-json", "traces", "logs"),
)
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("hostile") / "traces.db") as running:
        yield running


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = ServeSettings(store="", limits=SMALL)
    with serving(tmp_path_factory.mktemp("small") / "traces.db", settings) as running:
        yield running


@pytest.fixture(scope="module")
def good() -> dict[str, Endpoint]:
    with catching() as catcher:
        record(catcher.url)
    caught = catcher.posts()[0]
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(caught.body)
    return {one.name: one for one in endpoints(plain, caught.headers["content-type"])}


@pytest.mark.parametrize("name", NAMES)
def test_good_bodies_are_taken(name: str, served: Served, good: dict[str, Endpoint]) -> None:
    status, _ = send(served.url, good[name], good[name].headers, good[name].body)

    assert status in (200, 202)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_bodies_are_answered_with_a_reason(
    name: str, served: Served, good: dict[str, Endpoint]
) -> None:
    for headers, body in mutated(good[name], seed=7, count=60):
        status, answer = send(served.url, good[name], headers, body)

        assert status < 500, (answer, body)
        assert status < 400 or answer


@pytest.mark.parametrize("name", ["multipart", "batch", "traces", "traces-json"])
def test_truncated_bodies_are_never_acknowledged_whole(
    name: str, served: Served, good: dict[str, Endpoint]
) -> None:
    whole = good[name].body
    for end in range(1, len(whole) - 1, max(1, len(whole) // 25)):
        packed = zstandard.compress(whole)
        packed = packed[: max(1, end * len(packed) // len(whole))]
        headers = {**good[name].headers, "content-encoding": "zstd"}

        assert send(served.url, good[name], headers, packed)[0] == 400
        if name != "traces":  # a protobuf message may be whole when its end is cut off
            assert send(served.url, good[name], good[name].headers, whole[:end])[0] in (400, 422)


def bomb(encoding: str, size: int) -> bytes:
    block = b" " * MIB
    if encoding == "zstd":
        packing = zstandard.ZstdCompressor().compressobj()
        return b"".join(packing.compress(block) for _ in range(size // MIB)) + packing.flush()
    bits = 31 if encoding == "gzip" else 15
    deflating = zlib.compressobj(9, zlib.DEFLATED, bits)
    return b"".join(deflating.compress(block) for _ in range(size // MIB)) + deflating.flush()


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "deflate"])
@pytest.mark.parametrize("name", ["multipart", "batch", "traces", "logs-json"])
def test_a_decompression_bomb_is_refused(
    encoding: str, name: str, small: Served, good: dict[str, Endpoint]
) -> None:
    headers = {**good[name].headers, "content-encoding": encoding}

    status, answer = send(small.url, good[name], headers, bomb(encoding, 64 * MIB))

    assert status == 413
    assert answer


def test_a_bomb_of_small_zstd_blocks_is_refused(small: Served, good: dict[str, Endpoint]) -> None:
    # RFC 8878: magic, a header with a window of 128 KiB, then 20,000 blocks of one repeated byte.
    block = (131072 << 3 | 1 << 1).to_bytes(3, "little") + b" "
    body = bytes.fromhex("28b52ffd0038") + block * 20_000
    headers = {**JSON, "content-encoding": "zstd"}

    assert send(small.url, good["batch"], headers, body)[0] == 413


def test_several_frames_and_members_are_joined(served: Served, good: dict[str, Endpoint]) -> None:
    body = good["batch"].body
    for packed, encoding in (
        (zstandard.compress(body[:50]) + zstandard.compress(body[50:]), "zstd"),
        (gzip.compress(body[:50]) + gzip.compress(body[50:]), "gzip"),
        (zlib.compress(body), "deflate"),
        (zlib.compress(body)[2:-4], "deflate"),
    ):
        headers = {**JSON, "content-encoding": encoding}
        assert send(served.url, good["batch"], headers, packed)[0] == 202


def test_unknown_encodings_are_named(served: Served) -> None:
    headers = {**JSON, "content-encoding": "br"}

    answer = httpx.post(served.url + "/runs/batch", content=b"{}", headers=headers)

    assert answer.status_code == 415
    assert "zstd" in answer.json()["detail"]


def item(**changes: Any) -> dict[str, Any]:
    run_id = str(uuid.uuid4())
    return {"id": run_id, "trace_id": run_id, "name": "ask", "run_type": "llm", **changes}


def test_a_long_text_is_cut_and_says_so(small: Served) -> None:
    run = item(inputs={"q": "x" * 5000}, outputs={"a": "y"})

    answer = httpx.post(
        small.url + "/runs/batch", content=json.dumps({"post": [run]}), headers=JSON
    )

    assert answer.status_code == 202
    kept = small.store.get_run(run["id"])
    assert kept is not None
    assert kept.run.inputs["q"] == "x" * 1000 + "… [cut by refinery: 5000 characters]"
    assert kept.run.outputs == {"a": "y"}


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"[" * 3_000_000, 413), (json.dumps({"post": [item()] * 21}).encode(), 413)],
    ids=["bytes", "runs"],
)
def test_too_much_is_refused(content: bytes, status: int, small: Served) -> None:
    answer = httpx.post(small.url + "/runs/batch", content=content, headers=JSON)

    assert answer.status_code == status
    assert answer.json()["detail"]


def test_deep_values_are_cut(served: Served) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"a": deep}
    run = item(inputs=deep)

    answer = httpx.post(served.url + "/runs", content=json.dumps(run), headers=JSON)

    assert answer.status_code == 202
    kept = served.store.get_run(run["id"])
    assert "too_deep" in repr(kept)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"a": NaN, "b": [Infinity, -Infinity]}', {"a": "NaN", "b": ["Infinity", "-Infinity"]}),
        (r'{"a": "\ud800x"}', {"a": "�x"}),
        (r'{"a": "\ud83d\ude00", "b": NaN}', {"a": "😀", "b": "NaN"}),
        ('{"a": 123456789012345678901234567890}', {"a": 1.2345678901234568e29}),
    ],
    ids=["nan", "surrogate", "pair", "large"],
)
def test_json_of_lenient_encoders_is_kept(text: str, kept: Any, served: Served) -> None:
    run = item()
    body = json.dumps(run)[:-1] + f', "inputs": {text}}}'

    answer = httpx.post(served.url + "/runs", content=body, headers=JSON)

    assert answer.status_code == 202
    found = served.store.get_run(run["id"])
    assert found is not None
    assert found.run.inputs == kept


def test_bytes_that_are_no_utf8_are_replaced(served: Served) -> None:
    run = item()
    body = json.dumps(run)[:-1].encode() + b', "inputs": {"a": "\xff\xfe"}}'

    assert httpx.post(served.url + "/runs", content=body, headers=JSON).status_code == 202

    found = served.store.get_run(run["id"])
    assert found is not None
    assert found.run.inputs == {"a": "��"}


def test_odd_families_and_times_are_stored_and_readable(served: Served) -> None:
    one, two = item(), item()
    one |= {"parent_run_id": two["id"], "trace_id": two["id"]}
    two |= {"parent_run_id": one["id"], "trace_id": two["id"]}
    own = item()
    own["parent_run_id"] = own["id"]
    late = item(start_time="9999-12-31T23:59:59+00:00", end_time="0001-01-01T00:00:00")
    unknown = item(run_type="quantum", status="entangled")

    body = {"post": [one, two, own, own, late, unknown]}
    answer = httpx.post(served.url + "/runs/batch", content=json.dumps(body), headers=JSON)

    assert answer.status_code == 202
    for run in (one, two, own, late, unknown):
        found = served.store.get_run(run["id"])
        assert found is not None
        assert served.store.get_trace(found.run.trace_id) is not None
    assert served.store.find_runs(RunFilter(run_ids=[own["id"]])).runs[0].run.parent_id is None


def raw(served: Served, sent: bytes, wait_s: float) -> bytes:
    """What is answered within some time to bytes on a bare connection."""
    host, _, port = served.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection:
        connection.sendall(sent)
        try:
            return connection.recv(1000)
        except TimeoutError:
            return b"(nothing)"


def test_a_client_that_stops_sending_a_body_is_told_so(small: Served) -> None:
    head = b"POST /runs/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"

    answer = raw(small, head + b"content-length: 1000\r\n\r\n{", 5)

    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_drips_a_body_is_told_so(small: Served) -> None:
    host, _, port = small.url.removeprefix("http://").partition(":")
    head = b"POST /runs/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head + b"content-length: 1000\r\n\r\n")
        start = time.monotonic()
        connection.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - start < 60:
            connection.sendall(b"[")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue

    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_does_not_end_its_headers_is_told_so(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "patience_s", 0.3)

    assert raw(served, b"", 5).startswith(b"HTTP/1.1 408")
    assert raw(served, b"GET /info HTTP/1.1\r\nhost: local", 5).startswith(b"HTTP/1.1 408")


def test_endless_headers_are_refused(served: Served) -> None:
    answer = raw(served, b"GET /info HTTP/1.1\r\nx: " + b"y" * 400_000, 5)

    assert answer.startswith(b"HTTP/1.1 431")


def test_the_collector_still_serves_after_all_that(served: Served) -> None:
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
    connection.request("GET", "/info")

    assert connection.getresponse().status == 200
