"""`/guide`: a person who reads no code goes from a wrong answer to a proven fix, page by page.

The pages and what they ask are those of `refinery guide`. What takes a while is a job of kind
`guide`, whose end the page waits for.
"""

import threading
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from refinery.errors import ConflictError
from refinery.server.api.replies import reply
from refinery.server.api.services import Given, Services
from refinery.server.api.shapes import GuideShape, GuidesShape, MeaningShape, OrderedShape
from refinery.server.api.traces import find
from refinery.workflows.guide import engine, glossary
from refinery.workflows.guide import session as sessions
from refinery.workflows.guide.engine import Guide
from refinery.workflows.guide.pages import Kind

router = APIRouter(tags=["guide"])

SessionId = Annotated[str, Path(min_length=1, max_length=100)]
MAX_LISTED = 50
_one_answer = threading.Lock()
"""Two answers to the same page, one of them would be lost."""


class Begin(BaseModel):
    """What a session begins with."""

    model_config = ConfigDict(extra="forbid")

    trace_id: str | None = Field(None, min_length=1, max_length=500)
    undo: bool = Field(False, description="Take a fix out again instead.")


class Answer(BaseModel):
    """What the person said."""

    model_config = ConfigDict(extra="forbid")

    step: str = Field(max_length=100, description="`step` of the page that was answered.")
    text: str = Field(max_length=engine.MAX_ANSWER, description="As typed, or a choice's key.")


@router.get("/guide", responses={200: {"model": GuidesShape}})
def list_sessions(given: Given) -> Response:
    """Sessions that are kept, the one answered last first."""
    kept = sessions.sessions(given.home)[:MAX_LISTED]
    return reply(
        {
            "sessions": [
                {
                    "session_id": one.session_id,
                    "trace_id": one.trace_id,
                    "expectation": one.words or None,
                    "updated_ms": one.updated_ns / 1e6,
                    "over": one.is_over,
                }
                for one in kept
            ]
        }
    )


@router.post("/guide", status_code=201, responses={201: {"model": GuideShape}})
def begin(given: Given, wanted: Annotated[Begin, Body()]) -> Response:
    """Begin a session, at a conversation or by picking one."""
    workspace = given.workspace()
    if wanted.undo:
        guide = engine.undo(workspace)
    else:
        trace = find(given.store, wanted.trace_id) if wanted.trace_id else None
        guide = engine.start(workspace, trace=trace)
    return reply(guide.to_document(), 201)


@router.get("/guide/{session_id}", responses={200: {"model": GuideShape}})
def read_session(given: Given, session_id: SessionId) -> Response:
    """The session and the page that is to be shown."""
    return reply(_guide(given, session_id).to_document())


@router.post("/guide/{session_id}/answer", responses={200: {"model": GuideShape}})
def answer(given: Given, session_id: SessionId, said: Annotated[Answer, Body()]) -> Response:
    """Answer the present page; the next one comes back, or the same with a remark."""
    with _one_answer:
        guide = _guide(given, session_id)
        if guide.session.step != said.step:
            raise ConflictError(
                "another page is open by now", hint="read the session again, then answer"
            )
        guide.answer(said.text)
    return reply(guide.to_document())


@router.post("/guide/{session_id}/work", status_code=202, responses={202: {"model": OrderedShape}})
async def work(given: Given, session_id: SessionId) -> Response:
    """Order the work of the present page; a job of kind `guide`."""
    guide = await anyio.to_thread.run_sync(_guide, given, session_id)
    page = await anyio.to_thread.run_sync(guide.page)
    if page.kind is not Kind.WORK:
        raise ConflictError("there is nothing to do on this page", hint="answer it")
    kept = guide.session
    options = {"session_id": kept.session_id}
    job = await given.board.order("guide", kept.trace_id or kept.session_id, options)
    return reply({"job_id": job.job_id}, 202)


@router.get("/words", responses={200: {"model": MeaningShape}})
def explain(word: Annotated[str, Query(max_length=200)] = "") -> Response:
    """What a word of the guide means; without one, which words are explained."""
    return reply({"text": glossary.explain(word) if word.strip() else glossary.known()})


def _guide(given: Services, session_id: str) -> Guide:
    workspace = given.workspace()
    return engine.resume(workspace, sessions.load(workspace.home, session_id))
