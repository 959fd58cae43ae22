"""Reads an upload that LangSmith's client kept because it failed (SDK 0.14, `client.py`).

The file holds `{"version", "endpoint", "headers", "body_base64"}`, the body being the multipart or
batch request as it would have been sent. Attachments are named, their bytes are left where they
are.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.parser import BytesParser
from typing import Any

from refinery.adapters._shared.langsmith_runs import to_run
from refinery.errors import TraceFormatError
from refinery.model.codec import decode_run, encode_run
from refinery.model.merge import IS_PATCH, OURS, merge
from refinery.model.trace import Feedback, Json, Run
from refinery.safety.redact import redact

MAX_BYTES = 256 << 20
"""Most a body may unfold to."""
_FIELDS = ("inputs", "outputs", "events", "extra", "error", "serialized")


def failed_upload(
    whole: Mapping[str, Json], where: str
) -> tuple[list[Run], list[Feedback], str | None]:
    """Runs, feedback and project of a failed upload, views of one run joined.

    Raises:
        TraceFormatError: its body cannot be read.
    """
    headers = {
        str(k).lower(): str(v) for k, v in dict(whole.get("headers") or {}).items()
    }  # fmt: skip
    try:
        body = base64.b64decode(str(whole["body_base64"]), validate=True)
        body = _unpacked(body, headers.get("content-encoding", ""))
        documents = list(_documents(body, headers.get("content-type", "")))
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error, binascii.Error) as error:
        raise TraceFormatError(
            f"{where}: the body of the upload cannot be read: {error}",
            hint="the file may be cut off",
        ) from error
    runs: dict[str, Run] = {}
    project: str | None = None
    for is_patch, item in documents:
        project = project or (str(item["session_name"]) if item.get("session_name") else None)
        run = _view(item, is_patch=is_patch)
        runs[run.run_id] = merge(runs[run.run_id], run) if run.run_id in runs else run
    return list(runs.values()), [], project


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding == "zstd":
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(
                body, read_across_frames=True
            ) as reader:
                body = reader.read(MAX_BYTES + 1)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
    elif encoding in ("gzip", "deflate"):
        body = zlib.decompressobj(wbits=47).decompress(body, MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError(f"it unfolds to more than {MAX_BYTES >> 20} MB")
    return body


def _documents(body: bytes, content_type: str) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Runs of a body as (is it a patch, the run's JSON)."""
    if not content_type.startswith("multipart/"):
        batch = json.loads(body)
        for name in ("post", "patch"):
            yield from ((name == "patch", dict(item)) for item in batch.get(name) or ())
        return
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in BytesParser().parsebytes(head + body).walk():
        named = str(part.get_param("name", header="content-disposition") or "")
        operation, _, rest = named.partition(".")
        run_id, _, what = rest.partition(".")
        if operation not in ("post", "patch") or what not in ("", *_FIELDS):
            continue
        content = part.get_payload(decode=True)
        value = json.loads(content if isinstance(content, bytes) else b"null")
        item = found.setdefault((operation, run_id), {"id": run_id})
        item.update({what: value} if what else dict(value))
    yield from ((operation == "patch", item) for (operation, _), item in found.items())


def _view(item: dict[str, Any], *, is_patch: bool) -> Run:
    item.setdefault("trace_id", item["id"])
    run = to_run(redact(item)[0])
    if is_patch:
        metadata = dict(run.metadata or {})
        ours = metadata.get(OURS)
        metadata[OURS] = {**(ours if isinstance(ours, Mapping) else {}), IS_PATCH: True}
        run = replace(run, metadata=metadata)
    return decode_run(encode_run(run))
