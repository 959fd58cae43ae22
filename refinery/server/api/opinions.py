"""What people say of a trace: feedback and labels; and its deletion."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from refinery import clock
from refinery.errors import NotFoundError
from refinery.model.codec import encode
from refinery.model.trace import Feedback, Label
from refinery.server.api.replies import reply
from refinery.server.api.services import Given, Seen
from refinery.server.api.shapes import DeletedShape, FeedbackShape, LabelShape
from refinery.server.api.traces import TraceId, find
from refinery.workflows import referring, traces

router = APIRouter(tags=["traces"])

_TRACE = "/traces/{trace_id:path}"
MAX_TEXT = 20_000


class NewFeedback(BaseModel):
    """What is said of a trace or one of its runs."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    key: str = Field(min_length=1, max_length=200, description="What is judged.")
    score: float | None = None
    value: Any = None
    comment: str | None = Field(None, max_length=MAX_TEXT)
    run_id: str | None = Field(None, max_length=500, description="Null: the whole trace.")


class NewLabel(BaseModel):
    """What the trace should have been."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["pass", "fail"]
    expectation: str | None = Field(None, max_length=MAX_TEXT, description="In words.")
    checks: list[Annotated[str, Field(max_length=MAX_TEXT)]] = Field([], max_length=50)


@router.post(f"{_TRACE}/feedback", status_code=201, responses={201: {"model": FeedbackShape}})
def add_feedback(seen: Seen, trace_id: TraceId, said: Annotated[NewFeedback, Body()]) -> Response:
    """Keep what somebody says of a trace."""
    trace = find(seen.store, trace_id)
    if said.run_id is not None and trace.run(said.run_id) is None:
        raise NotFoundError(f"the trace has no run {said.run_id[:100]!r}", hint="leave it out")
    feedback = Feedback(
        feedback_id=clock.new_uuid(),
        trace_id=trace.trace_id,
        key=said.key,
        run_id=said.run_id,
        score=said.score,
        value=encode(said.value),
        comment=said.comment,
        source="human",
        created_ns=clock.now_ns(),
    )
    seen.store.write_feedback([feedback])
    return reply({"feedback": encode(feedback)}, 201)


@router.post(f"{_TRACE}/label", status_code=201, responses={201: {"model": LabelShape}})
def add_label(given: Given, trace_id: TraceId, said: Annotated[NewLabel, Body()]) -> Response:
    """Say whether a trace is what it should be; the newest label counts."""
    label = Label(said.outcome, said.expectation, tuple(said.checks))
    traces.label(given.store, trace_id, label)
    return reply({"trace_id": trace_id, "label": encode(label)}, 201)


@router.delete(_TRACE, responses={200: {"model": DeletedShape}})
def delete_trace(given: Given, trace_id: TraceId) -> Response:
    """Delete a trace with all it holds, unless something needs it; it cannot be brought back."""
    find(given.store, trace_id)
    return reply({"deleted": referring.delete(given.store, given.home, trace_id)})
