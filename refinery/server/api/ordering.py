"""`/jobs`: diagnoses, replays, counterfactuals, fixes and bisects, in the background."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Body, Header, Path
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response, StreamingResponse

from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.server.answers import to_bytes
from refinery.server.api.replies import reply
from refinery.server.api.services import Given, Services
from refinery.server.api.shapes import JobShape, JobsShape, OrderedShape
from refinery.server.api.traces import find
from refinery.server.jobs import kinds
from refinery.server.jobs.board import Board
from refinery.server.jobs.records import Job
from refinery.workflows import changes

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(min_length=1, max_length=100)]


class Order(BaseModel):
    """What to do."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Literal["diagnose", "replay", "what_if", "fix", "bisect"]
    trace_id: str = Field(min_length=1, max_length=500)
    options: (
        kinds.DiagnoseOptions
        | kinds.ReplayOptions
        | kinds.WhatIfOptions
        | kinds.FixOptions
        | kinds.BisectOptions
        | dict[str, Any]
    ) = Field({}, description="Of the kind; see the schemas.", union_mode="left_to_right")


class Approval(BaseModel):
    """A yes to exactly one patch."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(max_length=200, description="`approval.digest` of the job.")
    held: bool = Field(False, description="Whether what the guard holds is accepted as well.")


class Rejection(BaseModel):
    """A no."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=20_000)


class Edit(BaseModel):
    """Another patch."""

    model_config = ConfigDict(extra="forbid")

    diff: str = Field(min_length=1, max_length=1_000_000, description="A unified diff, whole.")


@router.post("/jobs", status_code=202, responses={202: {"model": OrderedShape}})
async def order(given: Given, wanted: Annotated[Order, Body()]) -> Response:
    """Order a job; it waits until others are done. At most 20 wait."""
    options = _checked(wanted)
    await anyio.to_thread.run_sync(find, given.store, wanted.trace_id)
    job = await given.board.order(wanted.kind, wanted.trace_id, options)
    return reply({"job_id": job.job_id}, 202)


@router.get("/jobs", responses={200: {"model": JobsShape}})
def list_jobs(given: Given) -> Response:
    """The latest 200 jobs, newest first, without results and progress."""
    shown = []
    for job in given.board.jobs():
        document = job.to_document()
        shown.append({**document, "progress": document["progress"][-1:]})
    return reply({"jobs": shown})


@router.get("/jobs/{job_id}", responses={200: {"model": JobShape}})
def read_job(given: Given, job_id: JobId) -> Response:
    """One job with its progress, its result and what it wants approved."""
    return reply(given.board.document(job_id))


@router.get(
    "/jobs/{job_id}/events",
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Server-sent events `progress` and `state` until the job has ended.",
        }
    },
)
async def follow_job(
    given: Given,
    job_id: JobId,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """What happens to a job, as it happens."""
    job = await _job(given, job_id)
    is_number = last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit()
    stream = _written(given.board, job, int(last_event_id or 0) if is_number else 0)
    return StreamingResponse(stream, media_type="text/event-stream")


@router.post("/jobs/{job_id}/cancel", responses={200: {"model": JobShape}})
async def cancel(given: Given, job_id: JobId) -> Response:
    """End a job and all it started; one that has ended stays as it is."""
    job = await _job(given, job_id)
    await given.board.cancel(job)
    return reply(job.to_document())


@router.post("/jobs/{job_id}/approve", status_code=202, responses={202: {"model": JobShape}})
async def approve(given: Given, job_id: JobId, said: Annotated[Approval, Body()]) -> Response:
    """Commit the patch a fix waits with."""
    job = await _job(given, job_id)
    await given.board.approve(job, said.digest, held=said.held)
    return reply(job.to_document(), 202)


_NO_REASON = Rejection(reason=None)


@router.post("/jobs/{job_id}/reject", status_code=202, responses={202: {"model": JobShape}})
async def reject(
    given: Given, job_id: JobId, said: Annotated[Rejection, Body()] = _NO_REASON
) -> Response:
    """End a fix without its patch."""
    job = await _job(given, job_id)
    await given.board.reject(job, said.reason)
    return reply(job.to_document(), 202)


@router.post("/jobs/{job_id}/edit", status_code=202, responses={202: {"model": JobShape}})
async def edit(given: Given, job_id: JobId, said: Annotated[Edit, Body()]) -> Response:
    """Prove another patch in the place of the one that waits."""
    job = await _job(given, job_id)
    await given.board.edit(job, said.diff)
    return reply(job.to_document(), 202)


@router.post(
    "/changes/{change_id}/verify",
    status_code=202,
    tags=["changes"],
    responses={202: {"model": OrderedShape}},
)
async def verify(
    given: Given, change_id: Annotated[str, Path(min_length=1, max_length=100)]
) -> Response:
    """Order that the proof of a change is executed again; a job of kind `verify`."""
    change = await anyio.to_thread.run_sync(changes.find, given.home, change_id)
    options = {"change_id": change.change_id}
    job = await given.board.order("verify", change.trace_id, options)
    return reply({"job_id": job.job_id}, 202)


async def _job(given: Services, job_id: str) -> Job:
    return await anyio.to_thread.run_sync(given.board.job, job_id)


def _checked(wanted: Order) -> dict[str, Json]:
    """The options as the kind wants them.

    Raises:
        InputError: they are none of this kind's.
    """
    given = wanted.options
    raw = given if isinstance(given, dict) else given.model_dump(exclude_unset=True)
    try:
        checked = kinds.ORDERED[wanted.kind].options.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"options.{where}: {first['msg']}", hint="see /docs") from error
    return checked.model_dump(mode="json", exclude_unset=True)


async def _written(board: Board, job: Job, seen: int) -> AsyncIterator[bytes]:
    """Events in the form of the HTML standard, section "Server-sent events"."""
    async for name, number, data in board.listeners.events(job, seen):
        if name == "pulse":
            yield b": still at work\n\n"
        else:
            head = f"event: {name}\nid: {number}\ndata: ".encode()
            yield head + to_bytes(data) + b"\n\n"
