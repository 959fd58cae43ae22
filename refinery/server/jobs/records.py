"""Jobs as they are told and kept: one private file each, whole or not there at all."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from refinery import clock
from refinery.model.codec import encode
from refinery.model.trace import Json

MAX_LINES = 500
"""Lines of progress kept of a job; of more, the latest."""


class State(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})
"""States that last."""


@dataclass(slots=True)
class Job:
    """One order and what became of it; its result lies in its file only."""

    job_id: str
    kind: str
    trace_id: str
    options: dict[str, Json]
    state: State = State.QUEUED
    progress: list[dict[str, Json]] = field(default_factory=list)
    error: dict[str, Json] | None = None
    session_id: str | None = None
    """Of a fix, to go on with after an interruption."""
    digest: str | None = None
    """Of the patch that waits for approval."""
    created_ms: float = 0.0
    ended_ms: float | None = None
    said: int = 0
    """Lines of progress so far, also those that are not kept."""
    findings: list[Json] = field(default_factory=list)
    """Of its diagnosis, for the pages of the trace."""
    reason: str | None = None
    """Why a patch was rejected."""

    def say(self, text: str) -> None:
        """Add a line of progress."""
        self.said += 1
        self.progress.append({"at_ms": clock.now_ns() / 1e6, "text": text})
        del self.progress[:-MAX_LINES]

    def to_document(self, body: dict[str, Json] | None = None) -> dict[str, Json]:
        """The job as JSON, with result and approval when they are at hand."""
        told = body or {}
        return {
            "job_id": self.job_id,
            "kind": self.kind,
            "trace_id": self.trace_id,
            "options": self.options,
            "state": self.state.value,
            "progress": self.progress,
            "said": self.said,
            "result": told.get("result"),
            "error": self.error,
            "approval": told.get("approval") if self.state is State.AWAITING_APPROVAL else None,
            "session_id": self.session_id,
            "reason": self.reason,
            "created_ms": self.created_ms,
            "ended_ms": self.ended_ms,
        }


class Records:
    """The files of all jobs in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, job: Job, body: dict[str, Json]) -> None:
        """Keep a job; the file is private, and replaced as a whole.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {
            **job.to_document(body),
            "approval": body.get("approval"),
            "digest": job.digest,
            "findings": job.findings,
        }
        path = self._path(job.job_id)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(encode(document), file, separators=(",", ":"))
        fresh.replace(path)

    def body(self, job_id: str) -> dict[str, Json]:
        """Result and approval of a job; empty when there are none."""
        document = self._read(self._path(job_id)) or {}
        return {name: document.get(name) for name in ("result", "approval")}

    def delete(self, job_id: str) -> None:
        """Forget a job."""
        self._path(job_id).unlink(missing_ok=True)

    def load(self) -> list[Job]:
        """All jobs kept, oldest first; files that cannot be read are left out."""
        return sorted(self._jobs(), key=lambda job: (job.created_ms, job.job_id))

    def _jobs(self) -> Iterator[Job]:
        for path in self.folder.glob("job-*.json") if self.folder.is_dir() else ():
            document = self._read(path)
            if document is None or document.get("job_id") != path.stem:
                continue
            kept = {name: document[name] for name in _FIELDS if name in document}
            try:
                yield Job(**{**kept, "state": State(kept["state"])})
            except (TypeError, ValueError, KeyError):
                continue

    def _path(self, job_id: str) -> Path:
        return self.folder / f"{job_id}.json"

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None


_FIELDS = tuple(Job.__dataclass_fields__)
