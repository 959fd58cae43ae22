"""OTLP over HTTP (OpenTelemetry protocol 1.x): traces and logs; metrics are dropped."""

import importlib
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refinery.errors import TraceFormatError
from refinery.ports import RunBatch
from refinery.server import receiving
from refinery.server.answers import RequestError, to_json
from refinery.server.ingest.cutting import cut_runs
from refinery.server.limits import Limits
from refinery.server.readers.taken import Job, Taken

PROTOBUF = "application/x-protobuf"
PROJECT_HEADERS = ("langsmith-project", "x-mlflow-experiment-id")
"""Headers that name the project, the strongest first: LangSmith's and MLflow's clients."""

_MAX_PROJECT = 1000
_INVALID_ARGUMENT, _UNAVAILABLE, _EXHAUSTED = 3, 14, 8
"""Codes of `google.rpc.Code`, which OTLP/HTTP asks for in the body of a failure."""

_CODES = {429: _EXHAUSTED, 413: _EXHAUSTED, 503: _UNAVAILABLE}


async def take_traces(request: Request) -> Response:
    """Spans."""
    return await _take(request, "decode_traces", "rejectedSpans")


async def take_logs(request: Request) -> Response:
    """Log records, in which some instrumentations send prompts and answers."""
    return await _take(request, "decode_logs", "rejectedLogRecords")


async def take_metrics(request: Request) -> Response:
    """Metrics: read to their end, and dropped."""
    try:
        async with receiving.received(request):
            return _accepted(request, "rejectedDataPoints", 0)
    except RequestError as error:
        return _failed(request, error)


async def _take(request: Request, decoder: str, rejected_name: str) -> Response:
    arguments = {
        "decoder": decoder,
        "content_type": request.headers.get("content-type", ""),
        "project": _project(request.headers),
    }
    try:
        async with receiving.received(request) as delivery:
            taken = await delivery.taken(Job(f"{__name__}:read", arguments))
            await delivery.commit(taken.batches)
        return _accepted(request, rejected_name, taken.told["refused"])
    except RequestError as error:
        return _failed(request, error)


def read(
    body: bytes, limits: Limits, decoder: str, content_type: str, project: str | None
) -> Taken:
    """What a body brings; `told["refused"]` is the number of runs beyond the limit.

    Raises:
        RequestError: it cannot be read.
    """
    # Imported here: the decoder brings libraries that only this protocol needs.
    decode = getattr(importlib.import_module("refinery.adapters.otlp"), decoder)
    try:
        batches = list(decode(body, content_type, project))
    except TraceFormatError as error:
        raise RequestError(400, str(error)) from error
    if len(body) > limits.text_chars:
        batches = [cut_runs(batch, limits.text_chars) for batch in batches]
    kept, refused = _bounded(batches, limits.runs)
    return Taken(kept, told={"refused": refused})


def _bounded(batches: list[RunBatch], most: int) -> tuple[list[RunBatch], int]:
    """At most that many runs, and how many there were more."""
    kept: list[RunBatch] = []
    refused = 0
    for batch in batches:
        room = max(0, most - sum(len(other.runs) for other in kept))
        refused += max(0, len(batch.runs) - room)
        kept.append(RunBatch(batch.runs[:room], batch.source, batch.project))
    return kept, refused


def _project(headers: Mapping[str, str]) -> str | None:
    named = (headers.get(name) for name in PROJECT_HEADERS)
    return next((name[:_MAX_PROJECT] for name in named if name), None)


def _is_json(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "")


def _accepted(request: Request, rejected_name: str, refused: int) -> Response:
    """An `Export…ServiceResponse`, which tells of refused records in `partial_success`."""
    reason = "the request holds more records than are taken at once"
    if _is_json(request):
        told: dict[str, Any] = {}
        if refused:
            told = {rejected_name: str(refused), "errorMessage": reason}
        return to_json({"partialSuccess": told})
    partial = b"\x08" + _varint(refused) + _text(b"\x12", reason)
    return Response(_bytes(b"\x0a", partial) if refused else b"", media_type=PROTOBUF)


def _failed(request: Request, error: RequestError) -> Response:
    """A `google.rpc.Status` in the request's own format, as OTLP/HTTP 1.x asks for."""
    code = _CODES.get(error.status, _INVALID_ARGUMENT)
    if _is_json(request):
        return to_json({"code": code, "message": error.reason}, error.status, error.headers)
    status = b"\x08" + _varint(code) + _text(b"\x12", error.reason)
    return Response(status, error.status, error.headers, media_type=PROTOBUF)


def _text(tag: bytes, text: str) -> bytes:
    return _bytes(tag, text.encode("utf-8", "replace"))


def _bytes(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format."""
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first (protobuf's wire format)."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes((*written, number))


ROUTES = (
    Route("/v1/traces", take_traces, methods=["POST"]),
    Route("/v1/logs", take_logs, methods=["POST"]),
    Route("/v1/metrics", take_metrics, methods=["POST"]),
)
