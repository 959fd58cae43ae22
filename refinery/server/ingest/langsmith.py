"""LangSmith's ingest API (SDK 0.14; v1 of the service): what its clients send, and `/info`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refinery.model.trace import Json
from refinery.ports import RunBatch, Store
from refinery.server import receiving
from refinery.server.answers import RequestError, to_json
from refinery.server.ingest import langsmith_bodies as bodies
from refinery.server.ingest import single
from refinery.server.ingest.intake import canonical
from refinery.server.readers.taken import Job

INFO = {
    "version": "0.18.0",
    "license_expiration_time": None,
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
    },
    "instance_flags": {
        "zstd_compression_enabled": True,
        "gzip_body_enabled": True,
        "ch_query_enabled": True,
        "sdb_query_enabled": False,
    },
}
"""Makes clients send multipart bodies, compressed. They index some keys without a default, and
warn about v2 reads below version 0.16 (SDK 0.14, `client.py`)."""


async def read_info(request: Request) -> Response:
    """What this server can do."""
    return to_json(INFO)


async def take_multipart(request: Request) -> Response:
    """Runs, feedback and attachments, each in parts of its own."""
    content_type = request.headers.get("content-type", "")
    return await _take(request, "take_multipart", content_type=content_type)


async def take_batch(request: Request) -> Response:
    """Runs as two lists, posts and patches."""
    return await _take(request, "take_batch")


async def take_post(request: Request) -> Response:
    """One run, which need not say what trace it belongs to."""
    return await _take_one(request, None)


async def take_patch(request: Request) -> Response:
    """An update of one run."""
    return await _take_one(request, request.path_params["run_id"])


async def take_feedback(request: Request) -> Response:
    """One judgement of a run."""
    store: Store = request.app.state.store
    async with receiving.received(request) as delivery:
        intake = await delivery.parsed(bodies.read_feedback)
        feedback = intake.feedback[0]
        if not feedback.trace_id and feedback.run_id:
            known = await anyio.to_thread.run_sync(store.get_run, feedback.run_id)
            if known is not None:
                feedback = replace(feedback, trace_id=known.run.trace_id)
        await delivery.commit((), [feedback])
    return to_json(
        {
            "id": feedback.feedback_id,
            "run_id": feedback.run_id,
            "trace_id": feedback.trace_id or None,
            "key": feedback.key,
            "score": feedback.score,
            "value": feedback.value,
            "comment": feedback.comment,
            "correction": feedback.correction,
            "created_at": _iso(feedback.created_ns),
            "modified_at": _iso(feedback.created_ns),
        }
    )


async def _take(request: Request, reader: str, **arguments: str) -> Response:
    async with receiving.received(request) as delivery:
        taken = await delivery.taken(Job(f"{bodies.__name__}:{reader}", arguments))
        await delivery.commit(taken.batches, taken.feedback, taken.blobs)
    return _answer(taken.told)


async def _take_one(request: Request, run_id: str | None) -> Response:
    if run_id is not None and canonical(run_id) is None:
        raise RequestError(422, "the run's id in the path is no UUID")
    store: Store = request.app.state.store
    async with receiving.received(request) as delivery:
        item = await delivery.parsed(bodies.read_run)

        def place() -> list[RunBatch]:
            return single.batch_of(item, run_id, store, delivery.body.limits)

        await delivery.commit(await anyio.to_thread.run_sync(place))
    return to_json({"message": "Run taken"}, 202)


def _answer(told: Mapping[str, Json]) -> Response:
    """What became of a body: taken, in part, or not at all, with the reasons."""
    accepted, refused_count = told["accepted"], told["refused_count"]
    if not refused_count:
        return to_json({"accepted": accepted}, 202)
    document: Mapping[str, Json] = {
        "detail": f"{refused_count} parts were refused",
        "accepted": accepted,
        "refused": told["refused"],
    }
    if not told["is_whole"]:
        return to_json(document, 400)
    return to_json(document, 202 if any(accepted.values()) else 422)


def _iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 10**9, tz=UTC).replace(microsecond=ns // 1000 % 10**6)
    return moment.isoformat()


ROUTES = (
    Route("/info", read_info, methods=["GET"]),
    Route("/runs/multipart", take_multipart, methods=["POST"]),
    Route("/runs/batch", take_batch, methods=["POST"]),
    Route("/runs", take_post, methods=["POST"]),
    Route("/runs/{run_id}", take_patch, methods=["PATCH"]),
    Route("/feedback", take_feedback, methods=["POST"]),
)
