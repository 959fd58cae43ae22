"""Reads an upload that LangSmith's client kept because it failed (SDK 0.14, `client.py`).

The file holds `{"version", "endpoint", "headers", "body_base64"}`, the body being the multipart or
batch request as it would have been sent.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refinery.adapters._shared import multipart
from refinery.adapters._shared.langsmith_runs import to_run
from refinery.errors import TraceFormatError
from refinery.model.codec import decode_run, encode_run
from refinery.model.merge import IS_PATCH, OURS, merge
from refinery.model.trace import Json, Run
from refinery.safety.redact import redact

MAX_BYTES = 256 << 20
"""Most a body may unfold to."""
_MAX_NAME = 1000
_FIELDS = ("inputs", "outputs", "events", "extra", "error", "serialized")


@dataclass(slots=True)
class Upload:
    """What a failed upload holds."""

    runs: list[Run] = field(default_factory=list)
    """Views of one run are joined."""
    project: str | None = None
    blobs: list[tuple[str, bytes]] = field(default_factory=list)
    """Attachments: the id of the trace, and the bytes."""


def failed_upload(whole: Mapping[str, Json], where: str) -> Upload:
    """Runs, project and attachments of a failed upload.

    Raises:
        TraceFormatError: its body cannot be read.
    """
    given = whole.get("headers")
    named = given if isinstance(given, Mapping) else {}
    headers = {str(k).lower(): str(v) for k, v in named.items()}
    try:
        body = base64.b64decode(str(whole["body_base64"]), validate=True)
        body = _unpacked(body, headers.get("content-encoding", ""))
        documents, attached = _read(body, headers.get("content-type", ""))
    except TraceFormatError as error:
        raise TraceFormatError(f"{where}: {error}", hint=error.hint) from error
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error, binascii.Error) as error:
        raise TraceFormatError(
            f"{where}: the body of the upload cannot be read: {error}",
            hint="the file may be cut off",
        ) from error
    runs: dict[str, Run] = {}
    upload = Upload()
    for is_patch, item in documents:
        name = item.get("session_name")
        upload.project = upload.project or (str(name) if name else None)
        run = _view(item, is_patch=is_patch)
        if parts := attached.pop(run.run_id, ()):
            run = replace(run, attachments=[_attachment(part) for part in parts])
            upload.blobs += [(run.trace_id, part.content) for part in parts]
        runs[run.run_id] = merge(runs[run.run_id], run) if run.run_id in runs else run
    upload.runs = list(runs.values())
    return upload


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


def _read(
    body: bytes, content_type: str
) -> tuple[list[tuple[bool, dict[str, Any]]], dict[str, list[multipart.Part]]]:
    """Runs of a body as (is it a patch, the run's JSON), and attachments by their run's id."""
    if not content_type.startswith("multipart/"):
        batch = json.loads(body)
        names = ("post", "patch")
        return [(n == "patch", dict(item)) for n in names for item in batch.get(n) or ()], {}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    attached: dict[str, list[multipart.Part]] = {}
    parts = multipart.split(body, content_type)
    for part in parts:
        operation, _, rest = part.name.partition(".")
        run_id, _, what = rest.partition(".")
        if operation == "attachment" and what:
            attached.setdefault(run_id, []).append(part)
        elif operation in ("post", "patch") and what in ("", *_FIELDS):
            value = json.loads(part.content)
            item = found.setdefault((operation, run_id), {"id": run_id})
            item.update({what: value} if what else dict(value))
    if not parts.is_whole:
        raise ValueError("its closing boundary is missing")
    return [(operation == "patch", item) for (operation, _), item in found.items()], attached


def _attachment(part: multipart.Part) -> Json:
    """What the run says of an attachment."""
    return {
        "name": part.name.split(".", 2)[2][:_MAX_NAME],
        "mime_type": part.content_type[:_MAX_NAME] or "application/octet-stream",
        "size_bytes": len(part.content),
        "reference": f"sha256:{hashlib.sha256(part.content).hexdigest()}",
    }


def _view(item: dict[str, Any], *, is_patch: bool) -> Run:
    item.setdefault("trace_id", item["id"])
    run = to_run(redact(item)[0])
    if is_patch:
        metadata = dict(run.metadata or {})
        ours = metadata.get(OURS)
        metadata[OURS] = {**(ours if isinstance(ours, Mapping) else {}), IS_PATCH: True}
        run = replace(run, metadata=metadata)
    return decode_run(encode_run(run))
