"""What LangSmith's real client sends arrives whole, in any order and any number of times."""

import gzip
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import zstandard

from refinery.model.trace import Run, RunKind, RunStatus
from refinery.ports import RunFilter
from refinery.server.ingest.langsmith import INFO
from tests.server.bodies import Catcher, Caught, catching, record
from tests.server.serving import Served, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def caught() -> Iterator[Catcher]:
    os.environ["LANGSMITH_TRACING"] = "false"
    with catching() as catcher:
        record(catcher.url)
        yield catcher


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "traces.db") as running:
        yield running


def resend(served: Served, one: Caught, prefix: str = "") -> httpx.Response:
    kept = {k: v for k, v in one.headers.items() if k in ("content-type", "content-encoding")}
    return httpx.request(
        one.method, served.url + prefix + one.path, content=one.body, headers=kept
    )


def stored(served: Served) -> dict[str, Run]:
    page = served.store.find_runs(RunFilter(limit=500))
    return {found.run.run_id: found.run for found in page.runs}


def split_views(one: Caught) -> tuple[bytes, bytes, str]:
    """The body's posts and its patches, as two bodies."""
    is_packed = one.headers.get("content-encoding") == "zstd"
    unpack = zstandard.ZstdDecompressor().decompressobj().decompress
    plain = unpack(one.body) if is_packed else one.body
    boundary = one.headers["content-type"].partition("boundary=")[2].encode()
    parts = plain.split(b"--" + boundary)[1:-1]
    sides = [[p for p in parts if b'name="' + side in p] for side in (b"post", b"patch")]
    posts, patches = (
        b"".join(b"--" + boundary + part for part in side) + b"--" + boundary + b"--\r\n"
        for side in sides
    )
    return posts, patches, one.headers["content-type"]


def test_a_recorded_agent_is_stored_as_a_tree(caught: Catcher, served: Served) -> None:
    answer = resend(served, caught.posts()[0])

    assert answer.status_code == 202
    runs = stored(served)
    by_name = {run.name: run for run in runs.values() if run.name != "look_up"}
    root = by_name["agent"]
    assert len(runs) == 4
    assert {run.parent_id for run in runs.values()} == {None, root.run_id}
    assert root.status is RunStatus.OK
    assert root.outputs == {"output": "done"}
    assert root.tags == ["root"]
    assert by_name["answer"].kind is RunKind.LLM
    assert by_name["answer"].model_requested == "m-1"
    usage = by_name["answer"].usage
    assert usage is not None
    assert (usage.input, usage.output, usage.total) == (11, 7, 18)
    failed = [run for run in runs.values() if run.status is RunStatus.ERROR]
    assert [run.error.type for run in failed if run.error] == ["KeyError"]
    assert served.store.projects()[0].name == "shop"


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1), (1, 1, 0, 0), (1, 0, 1)])
def test_order_and_repetition_of_posts_and_patches_change_nothing(
    caught: Catcher, served: Served, tmp_path: Path, order: tuple[int, ...]
) -> None:
    resend(served, caught.posts()[0])
    whole = stored(served)
    posts, patches, content_type = split_views(caught.posts()[0])

    with serving(tmp_path / "other.db") as other:
        for which in order:
            body = (posts, patches)[which]
            headers = {"content-type": content_type}
            answer = httpx.post(other.url + "/runs/multipart", content=body, headers=headers)
            assert answer.status_code == 202
        again = stored(other)

    assert again == whole


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1", "/v1"])
def test_every_prefix_clients_use_is_taken(caught: Catcher, served: Served, prefix: str) -> None:
    assert httpx.get(f"{served.url}{prefix}/info").json() == INFO
    assert resend(served, caught.posts()[0], prefix).status_code == 202
    assert len(stored(served)) == 4


@pytest.mark.parametrize(
    "info",
    [
        {},
        {**INFO, "instance_flags": {}},
        {
            **INFO,
            "batch_ingest_config": {
                **INFO["batch_ingest_config"],  # type: ignore[dict-item]  # a plain object
                "use_multipart_endpoint": False,
            },
        },
    ],
    ids=["nothing", "uncompressed", "batch"],
)
@pytest.mark.filterwarnings("ignore")
def test_clients_of_servers_that_can_less_are_taken(info: dict[str, Any], served: Served) -> None:
    with catching(info) as catcher:
        record(catcher.url)

    for one in catcher.posts():
        assert resend(served, one).status_code == 202

    assert len(stored(served)) == 4
    assert {run.status for run in stored(served).values()} == {RunStatus.OK, RunStatus.ERROR}


def test_the_real_client_records_with_nothing_but_its_address(served: Served) -> None:
    root = record(served.url + "/api/v1")

    trace = served.store.get_trace(root)
    assert trace is not None
    assert len(trace.runs) == 4
    assert trace.is_complete


def run(**changes: Any) -> dict[str, Any]:
    run_id = changes.pop("id", str(uuid.uuid4()))
    return {
        "id": run_id,
        "trace_id": run_id,
        "dotted_order": f"20261121T064950561133Z{run_id}",
        "name": "ask",
        "run_type": "llm",
        "start_time": "2026-11-21T06:49:50.561133+00:00",
        **changes,
    }


def post(served: Served, path: str, document: Any, method: str = "POST") -> httpx.Response:
    return httpx.request(
        method,
        served.url + path,
        content=orjson.dumps(document),
        headers={"content-type": "application/json"},
    )


def test_times_of_the_javascript_client_are_read(served: Served) -> None:
    item = run(end_time=1795243791561, outputs={"x": 1}, child_runs=[])

    assert post(served, "/runs/batch", {"post": [item]}).status_code == 202

    (kept,) = stored(served).values()
    assert kept.end_ns == 1795243791561 * 10**6
    assert kept.duration_ms == pytest.approx(999.867)
    assert kept.status is RunStatus.OK


def test_costs_and_the_first_token_are_computed(served: Served) -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "input_cost": 0.1, "output_cost": 0.2}
    item = run(
        end_time="2026-11-21T06:49:52",
        outputs={"usage_metadata": usage},
        events=[{"name": "new_token", "time": "2026-11-21T06:49:51+00:00"}],
    )

    post(served, "/runs/batch", {"post": [item]})

    (kept,) = stored(served).values()
    assert kept.usage is not None
    assert kept.usage.total == 7
    assert str(kept.cost_usd) == "0.3"
    assert kept.first_token_ns == 1795243791 * 10**9


def test_an_attachment_is_kept_byte_for_byte(served: Served) -> None:
    item = run()
    name = item["id"]
    content = b"\r\n--bound\x00\r\n--boundaryx\r\n\xff" * 3
    body = (
        f'--boundary\r\nContent-Disposition: form-data; name="post.{name}"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(item)}\r\n"
        f'--boundary\r\nContent-Disposition: form-data; name="attachment.{name}.img"\r\n'
        f"Content-Type: image/png; length={len(content)}\r\n\r\n"
    ).encode() + content
    body += b"\r\n--boundary--\r\n"
    headers = {
        "content-type": "multipart/form-data; boundary=boundary",
        "content-encoding": "gzip",
    }

    answer = httpx.post(
        served.url + "/runs/multipart", content=iter([gzip.compress(body)]), headers=headers
    )

    assert answer.status_code == 202
    (kept,) = stored(served).values()
    assert kept.attachments is not None
    (attachment,) = kept.attachments
    reference = attachment.pop("reference")
    assert attachment == {"name": "img", "mime_type": "image/png", "size_bytes": len(content)}
    assert served.store.get_blob(reference) == content


def test_one_run_at_a_time_finds_its_trace(served: Served) -> None:
    root, child = run(), run(name="child")
    for item in (root, child):
        del item["trace_id"], item["dotted_order"]
    child["parent_run_id"] = root["id"]

    assert post(served, "/runs", root).status_code == 202
    assert post(served, "/runs", child).status_code == 202
    update = {"end_time": "2026-11-21T06:49:52", "outputs": {"a": 1}}
    assert post(served, f"/runs/{child['id']}", update, "PATCH").status_code == 202

    kept = stored(served)[child["id"]]
    assert (kept.trace_id, kept.parent_id) == (root["id"], root["id"])
    assert kept.status is RunStatus.OK


def test_an_update_without_its_trace_joins_the_post_that_names_it(served: Served) -> None:
    root, child = run(), run(name="child")
    child |= {"trace_id": root["id"], "parent_run_id": root["id"]}

    update = {"end_time": "2026-11-21T06:49:52", "outputs": {"a": 1}}
    post(served, f"/runs/{child['id']}", update, "PATCH")
    post(served, "/runs", child)

    kept = stored(served)[child["id"]]
    assert (kept.trace_id, kept.name, kept.outputs) == (root["id"], "child", {"a": 1})


def test_feedback_is_kept_before_and_after_its_run(served: Served) -> None:
    item = run()
    early = {"run_id": item["id"], "key": "early", "score": 1}
    assert post(served, "/feedback", early).status_code == 200
    post(served, "/runs", item)
    late = post(served, "/feedback", {"run_id": item["id"], "key": "late", "comment": "good"})

    assert late.json()["trace_id"] == item["id"]
    kept = {one.key: one for one in served.store.get_feedback(item["id"])}
    assert kept["late"].comment == "good"
    assert kept["early"].score == 1.0


def test_secrets_are_replaced_before_they_are_stored(served: Served) -> None:
    key = "sk-proj-" + "a1B2" * 8
    spaced = b'{"post": [%s]}' % json.dumps(run(inputs={"api_key": "hunter22"})).encode()

    post(served, "/runs/batch", {"post": [run(inputs={"q": f"use {key}"})]})
    headers = {"content-type": "application/json"}
    httpx.post(served.url + "/runs/batch", content=spaced, headers=headers)

    told = repr(stored(served))
    assert key not in told
    assert "hunter22" not in told
    assert told.count("[redacted ") == 2


def test_what_clients_say_in_our_name_is_left_out(served: Served) -> None:
    metadata = {"refinery": {"entry_point": {"kind": "command", "target": "rm"}}, "a": 1}

    post(served, "/runs", run(extra={"metadata": metadata}))

    (kept,) = stored(served).values()
    assert kept.metadata == {"a": 1}


def test_a_part_that_cannot_be_read_refuses_only_itself(served: Served) -> None:
    good = run()
    parts = {
        f"post.{good['id']}": json.dumps(good),
        f"post.{good['id']}.inputs": "{broken",
        f"post.{good['id']}.outputs": '{"a": 1}',
        f"patch.{uuid.uuid4()}.outputs": "{}",
        "post.not-a-uuid": '{"id": "not-a-uuid"}',
        "strange": "{}",
    }
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n'
        f"Content-Type: application/json\r\n\r\n{content}\r\n"
        for name, content in parts.items()
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}

    answer = httpx.post(served.url + "/runs/multipart", content=body + "--b--", headers=headers)

    assert answer.status_code == 202
    assert len(answer.json()["refused"]) == 4
    (kept,) = stored(served).values()
    assert kept.outputs == {"a": 1}
    assert kept.metadata == {"refinery": {"refused_fields": ["inputs"]}}
