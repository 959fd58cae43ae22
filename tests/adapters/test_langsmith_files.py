import base64
import hashlib
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from refinery.adapters import langsmith_files
from refinery.errors import TraceFormatError
from refinery.model.trace import RunStatus

ROOT = "0199c3f4-1111-7000-8000-000000000001"


def upload(path: Path, *, encoding: str = "zstd", cut: int | None = None) -> Path:
    order = f"20260102T030405000000Z{ROOT}"
    main = {"id": ROOT, "trace_id": ROOT, "dotted_order": order, "session_name": "shop"}
    parts = {
        f"post.{ROOT}": main | {"name": "agent", "run_type": "chain",
                                "start_time": "2026-01-02T03:04:05"},
        f"post.{ROOT}.inputs": {"q": "price?"},
        f"patch.{ROOT}": main | {"end_time": "2026-01-02T03:04:06"},
        f"patch.{ROOT}.outputs": {"a": "12"},
    }  # fmt: skip
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(value)}\r\n".encode()
        for name, value in parts.items()
    )
    body += b"--b--\r\n"
    if encoding == "zstd":
        body = zstandard.ZstdCompressor().compress(body)
    document = {
        "version": 1,
        "endpoint": "runs/multipart",
        "headers": {"Content-Type": "multipart/form-data; boundary=b",
                    "Content-Encoding": encoding},
        "body_base64": base64.b64encode(body[:cut]).decode(),
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("encoding", ["zstd", ""])
def test_an_upload_that_failed_is_read_with_its_views_joined(
    tmp_path: Path, encoding: str
) -> None:
    path = upload(tmp_path / "trace_1.json", encoding=encoding)

    (trace,) = langsmith_files.read(path)

    assert langsmith_files.recognise(path.read_bytes(), path)
    (run,) = trace.runs
    assert (run.inputs, run.outputs, run.status) == ({"q": "price?"}, {"a": "12"}, RunStatus.OK)
    assert trace.project == "shop"
    assert run.duration_ms == 1000


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 300))
def test_a_cut_off_upload_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = upload(tmp_path_factory.mktemp("cut") / "trace_1.json", cut=cut)
    try:
        traces = list(langsmith_files.read(path))
    except TraceFormatError as error:
        assert error.hint
    else:
        assert all(trace.runs for trace in traces)


def test_runs_one_a_line_and_lists_are_read(tmp_path: Path) -> None:
    item = {"id": ROOT, "dotted_order": f"20260102T030405000000Z{ROOT}", "run_type": "tool",
            "name": "t", "start_time": "2026-01-02T03:04:05", "session_name": "shop"}  # fmt: skip
    lines, listed = tmp_path / "a.jsonl", tmp_path / "b.json"
    lines.write_text(json.dumps(item) + "\n" + json.dumps(item) + "\n")
    listed.write_text(json.dumps([item]))

    (one,) = langsmith_files.read(lines)
    (other,) = langsmith_files.read(listed)

    assert one == other
    assert one.trace_id == ROOT


def test_attachments_of_an_upload_that_failed_are_kept(tmp_path: Path) -> None:
    path = upload(tmp_path / "trace_1.json")
    document = json.loads(path.read_text())
    part = (
        f'--b\r\nContent-Disposition: form-data; name="attachment.{ROOT}.plan.png"\r\n'
        "Content-Type: image/png\r\nContent-Length: 4\r\n\r\n\x00\r\n\x01\r\n"
    )
    body = (
        zstandard.ZstdDecompressor()
        .stream_reader(base64.b64decode(document["body_base64"]))
        .read()
    )
    whole = zstandard.ZstdCompressor().compress(part.encode() + body)
    document["body_base64"] = base64.b64encode(whole).decode()
    path.write_text(json.dumps(document))

    (trace,) = langsmith_files.read(path)

    (entry,) = trace.runs[0].attachments or []
    ((trace_id, content),) = langsmith_files.read_blobs(path)
    assert (trace_id, content) == (trace.trace_id, b"\x00\r\n\x01")
    assert entry["reference"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert (entry["name"], entry["mime_type"], entry["size_bytes"]) == ("plan.png", "image/png", 4)
