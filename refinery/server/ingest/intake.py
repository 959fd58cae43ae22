"""Gathers what one body brings: runs by project, feedback, attachments, and what was refused."""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from refinery import clock
from refinery.adapters._shared.langsmith_runs import to_nanoseconds, to_view
from refinery.errors import TraceFormatError
from refinery.model.trace import Feedback, Json, Run
from refinery.ports import RunBatch
from refinery.server.answers import RequestError
from refinery.server.limits import Limits
from refinery.server.readers.taken import Blob, Taken

SOURCE = "langsmith"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_NAME = 1000
_MAX_REFUSED = 100
"""Reasons told in one answer; the rest are counted."""


@dataclass(slots=True)
class Intake:
    """What one body brings."""

    limits: Limits
    runs: dict[str | None, list[Run]] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    refused: list[dict[str, Json]] = field(default_factory=list)
    """`{"part", "reason"}` of what was not taken."""
    refused_count: int = 0
    count: int = 0
    is_whole: bool = True
    """False: the body was cut off."""

    def refuse(self, part: str, reason: str) -> None:
        """Say that a part of the body was not taken, and why."""
        self.refused_count += 1
        if len(self.refused) < _MAX_REFUSED:
            self.refused.append({"part": part[:_MAX_NAME], "reason": reason})

    def add_run(
        self,
        item: Mapping[str, Json],
        *,
        is_patch: bool,
        attachments: Sequence[Json] = (),
        ours: Mapping[str, Json] | None = None,
    ) -> Run | None:
        """Take a run in; None when it was refused.

        Args:
            item: as the client sent it.
            is_patch: whether it was sent as an update.
            attachments: what `attach` said of its attachments.
            ours: what is to be said of it in `metadata.refinery`.

        Raises:
            RequestError: the body holds more runs than allowed.
        """
        label = f"{'patch' if is_patch else 'post'}.{item.get('id')}"
        run_id = canonical(item.get("id"))
        if run_id is None:
            self.refuse(label, "the run has no `id` that is a UUID")
            return None
        whole = {**item, "id": run_id, **_family(item, run_id)}
        try:
            run = to_view(whole, is_patch=is_patch, ours=ours)
        except TraceFormatError as error:
            self.refuse(label, str(error))
            return None
        self.count += 1
        if self.count > self.limits.runs:
            raise RequestError(413, f"the body has more than {self.limits.runs:,} runs")
        if attachments:
            run = replace(run, attachments=[*(run.attachments or ()), *attachments])
        name = item.get("session_name")
        project = name[:_MAX_NAME] if isinstance(name, str) and name else None
        self.runs.setdefault(project, []).append(run)
        return run

    def attach(self, name: str, content: bytes, mime_type: str, trace_id: str) -> Json:
        """Keep an attachment's bytes; what the run says of it."""
        self.blobs.append(Blob(content, trace_id))
        return {
            "name": name[:_MAX_NAME],
            "mime_type": mime_type[:_MAX_NAME] or "application/octet-stream",
            "size_bytes": len(content),
            "reference": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }

    def add_feedback(self, item: Json, label: str = "feedback") -> Feedback | None:
        """Take feedback in; None when it was refused."""
        if not isinstance(item, Mapping):
            self.refuse(label, "feedback must be an object")
            return None
        run_id, trace_id = canonical(item.get("run_id")), canonical(item.get("trace_id"))
        key = item.get("key")
        if not isinstance(key, str) or not key or not (run_id or trace_id):
            self.refuse(label, "feedback needs `key`, and `run_id` or `trace_id`")
            return None
        said = item.get("feedback_source")
        kind = said.get("type") if isinstance(said, Mapping) else None
        feedback = Feedback(
            feedback_id=canonical(item.get("id")) or clock.new_uuid(),
            trace_id=trace_id or "",
            key=key[:_MAX_NAME],
            run_id=run_id,
            score=_score(item.get("score")),
            value=item.get("value"),
            comment=_text(item.get("comment")),
            correction=item.get("correction"),
            source=_SOURCES.get(str(kind), "api"),
            created_ns=_created_ns(item.get("created_at")),
        )
        self.feedback.append(feedback)
        return feedback

    def batches(self) -> list[RunBatch]:
        """The runs, one batch a project."""
        return [RunBatch(runs, SOURCE, project) for project, runs in self.runs.items()]

    def taken(self) -> Taken:
        """All of it, with what the answer tells."""
        told: dict[str, Json] = {
            "accepted": {"runs": self.count, "feedback": len(self.feedback)},
            "refused": self.refused,
            "refused_count": self.refused_count,
            "is_whole": self.is_whole,
        }
        return Taken(self.batches(), self.feedback, self.blobs, told)


_SOURCES = {"app": "human", "model": "llm", "api": "api", "auto_eval": "llm", "human": "human"}
"""Who judged, in LangSmith's words (`FeedbackSourceType`, SDK 0.14) and in ours."""


def canonical(value: Json) -> str | None:
    """A UUID in its one form, lower case with hyphens; None for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    if _UUID.fullmatch(value):
        return value
    try:
        return str(uuid.UUID(value))
    except ValueError:
        return None


def _family(item: Mapping[str, Json], run_id: str) -> dict[str, Json]:
    """Trace and parent of a run, from what it says of them."""
    order = item.get("dotted_order")
    segments = order.split(".") if isinstance(order, str) and order else []
    parent = canonical(item.get("parent_run_id"))
    if parent is None and len(segments) > 1:
        parent = canonical(segments[-2].partition("Z")[2])
    first = segments[0].partition("Z")[2] if segments else None
    trace = canonical(item.get("trace_id")) or canonical(first) or parent or run_id
    return {"trace_id": trace, "parent_run_id": None if parent == run_id else parent}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _score(value: Json) -> float | None:
    """A finite number; True counts 1."""
    if not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


def _created_ns(value: Json) -> int:
    return to_nanoseconds(value) or clock.now_ns()
