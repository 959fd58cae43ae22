"""All jobs of one server: who runs, who waits, what was found, within limits.

Everything here happens in the event loop, but for files, which threads read and write.
"""

import asyncio
import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refinery import clock
from refinery.model.trace import Json
from refinery.server.answers import RequestError
from refinery.server.jobs.approvals import approval_of
from refinery.server.jobs.listening import Listeners
from refinery.server.jobs.records import ENDED, Job, Records, State
from refinery.server.jobs.running import Process, Step

MAX_RUNNING = 2
"""Jobs at work at a time: each keeps a processor busy."""
MAX_WAITING = 20
MAX_KEPT = 200
"""Jobs that are remembered; of more the oldest that have ended are forgotten."""
COMMIT_S = 30.0
"""Longest wait for a commit that has begun when the server ends."""
_INTERRUPTED: dict[str, Json] = {
    "code": "interrupted",
    "message": "the server ended while the job was at work",
    "hint": "order it again; a fix goes on with the option resume and its session_id",
}
_log = logging.getLogger("refinery.server")


class Board:
    """Takes orders, carries them out one after the other, and tells how they go."""

    def __init__(self, folder: Callable[[], Path], store: str) -> None:
        """Make it.

        Args:
            folder: where jobs are kept; asked for when the first job is looked at.
            store: URL of the store the jobs work on.
        """
        self._folder = folder
        self._store = store
        self._kept: Records | None = None
        self._jobs: dict[str, Job] = {}
        self._fresh: dict[str, dict[str, Json]] = {}
        """Results that are not in their files yet."""
        self._findings: dict[str, list[Json]] = {}
        self._waiting: deque[tuple[Job, Step]] = deque()
        self._running: dict[str, tuple[Process, Step]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.listeners = Listeners()
        """Who follows the jobs."""
        self._is_ending = False
        self._saving = asyncio.Lock()
        self._lock = threading.Lock()
        self._lock_file: int | None = None

    def load(self) -> Records:
        """Read what is kept, once; jobs another process left at work count as interrupted.

        Raises:
            InputError: the folder cannot be used.
        """
        with self._lock:
            if self._kept is None:
                records = Records(self._folder() / "jobs")
                if self._is_alone(records.folder):
                    for job in records.load():
                        self._remember(job, records)
                self._kept = records
            return self._kept

    def _is_alone(self, folder: Path) -> bool:
        """Whether no other server keeps its jobs there; theirs are not ours to judge."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_file = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _remember(self, job: Job, records: Records) -> None:
        if job.state in (State.QUEUED, State.RUNNING):
            _interrupt(job)
            records.write(job, records.body(job.job_id))
        self._jobs[job.job_id] = job
        self._note_findings(job)

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        self.load()
        return list(self._jobs.values())[::-1]

    def job(self, job_id: str) -> Job:
        """One job.

        Raises:
            RequestError: 404, there is none.
        """
        self.load()
        found = self._jobs.get(job_id)
        if found is None:
            raise RequestError(404, f"there is no job {job_id[:100]!r}")
        return found

    def document(self, job_id: str) -> dict[str, Json]:
        """One job with its result and approval, as they are kept.

        Raises:
            RequestError: 404, there is none.
        """
        job = self.job(job_id)
        if job.state in (State.QUEUED, State.RUNNING):
            return job.to_document()
        fresh = self._fresh.get(job_id)
        return job.to_document(self.load().body(job_id) if fresh is None else fresh)

    def findings_of(self, trace_id: str) -> list[Json]:
        """Findings of the latest diagnosis of a trace; empty when there is none."""
        self.load()
        return self._findings.get(trace_id, [])

    async def order(self, kind: str, trace_id: str, options: dict[str, Json]) -> Job:
        """Take an order.

        Raises:
            RequestError: 429, too many are waiting.
        """
        await asyncio.to_thread(self.load)
        if self._is_ending:
            raise RequestError(503, "the server is ending")
        if len(self._waiting) >= MAX_WAITING:
            raise RequestError(
                429,
                f"{MAX_WAITING} jobs are waiting already",
                headers={"retry-after": "10"},
            )
        job = Job(clock.short_id("job"), kind, trace_id, options, created_ms=_now_ms())
        self._jobs[job.job_id] = job
        self._forget_some()
        await self._save(job, {})
        self._enqueue(job, self._step(job, kind, options))
        return job

    async def approve(self, job: Job, digest: str, *, held: bool) -> None:
        """Commit the patch that waits.

        Raises:
            RequestError: 409, none waits, or it is not the one that was looked at.
        """
        self._require_waiting(job)
        if digest != job.digest:
            raise RequestError(409, "the patch that waits is not the one that was approved")
        options = {"session_id": job.session_id, "digest": digest, "held": held}
        await self._decide(job, options)

    async def reject(self, job: Job, reason: str | None) -> None:
        """End a fix without its patch.

        Raises:
            RequestError: 409, no patch waits.
        """
        self._require_waiting(job)
        job.reason = reason
        await self._decide(job, {"session_id": job.session_id, "digest": None, "held": False})

    async def edit(self, job: Job, diff: str) -> None:
        """Prove another patch in the place of the one that waits.

        Raises:
            RequestError: 409, no patch waits; 429, too many jobs are waiting.
        """
        self._require_waiting(job)
        if len(self._waiting) >= MAX_WAITING:
            raise RequestError(429, f"{MAX_WAITING} jobs are waiting already")
        job.state, job.error = State.QUEUED, None
        self._enqueue(job, self._step(job, "edit", {"session_id": job.session_id, "diff": diff}))

    async def cancel(self, job: Job) -> None:
        """End a job; one that has ended stays as it is.

        Raises:
            RequestError: 409, its change is being committed.
        """
        running = self._running.get(job.job_id)
        if running is not None and running[1].step == "decide":
            raise RequestError(409, "the decision is being carried out")
        if job.state in ENDED:
            return
        job.state, job.ended_ms = State.CANCELLED, _now_ms()
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not job)
        if running is not None:
            await running[0].stop()
        await self._save(job)
        self.listeners.tell()

    def end_streams(self) -> None:
        """Let all listeners go, and take no more orders: the server ends."""
        self._is_ending = True
        self.listeners.end()

    async def close(self) -> None:
        """End all jobs; a commit that has begun is finished first."""
        self.end_streams()
        self._waiting.clear()
        async with asyncio.TaskGroup() as group:
            for process, step in list(self._running.values()):
                group.create_task(_end(process, step))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=COMMIT_S)
        if self._kept is not None:
            for job in self._jobs.values():
                if job.state is State.QUEUED:
                    _interrupt(job)
                    await self._save(job)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _require_waiting(self, job: Job) -> None:
        if job.state is not State.AWAITING_APPROVAL:
            raise RequestError(409, f"no patch waits for approval: the job is {job.state.value}")

    async def _decide(self, job: Job, options: dict[str, Json]) -> None:
        """Carry out a decision at once: nobody should wait for it behind long jobs."""
        job.state, job.error = State.RUNNING, None
        self._begin(job, self._step(job, "decide", options))

    def _step(self, job: Job, name: str, options: dict[str, Json]) -> Step:
        return Step(name, job.trace_id, options, self._store)

    def _enqueue(self, job: Job, step: Step) -> None:
        self._waiting.append((job, step))
        self.listeners.tell()
        self._go_on()

    def _go_on(self) -> None:
        """Begin with those that waited longest."""
        while self._waiting and len(self._running) < MAX_RUNNING and not self._is_ending:
            self._begin(*self._waiting.popleft())

    def _begin(self, job: Job, step: Step) -> None:
        job.state = State.RUNNING
        process = Process(step, lambda told: self._hear(job, told))
        self._running[job.job_id] = (process, step)
        task = asyncio.create_task(self._carry_out(job, process, step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.listeners.tell()

    async def _carry_out(self, job: Job, process: Process, step: Step) -> None:
        try:
            await self._save(job)
            ending = await process.run()
            body = self._settled(job, step, ending)
            self.listeners.tell()
            if await self._save(job, body):
                self._fresh.pop(job.job_id, None)
        except Exception as error:  # noqa: BLE001  # the server's boundary: one job, not the server
            _log.error("a job failed: %s", type(error).__name__, exc_info=error)
            job.state, job.ended_ms = State.FAILED, _now_ms()
            job.error = {"code": "bug", "message": "the server failed", "hint": ""}
        finally:
            self._running.pop(job.job_id, None)
            self.listeners.tell()
            self._go_on()

    def _settled(self, job: Job, step: Step, ending: dict[str, Json]) -> dict[str, Json] | None:
        """Give the job its next state; returns its body, None when that stays as it was."""
        if job.state is State.CANCELLED:
            return None
        if "stopped" in ending:
            _interrupt(job)
            return None
        if "error" in ending:
            job.error = ending["error"]
            # What could not be decided or edited still waits, except when it was not wanted.
            waits = step.step == "edit" or step.options.get("digest") is not None
            job.state = State.AWAITING_APPROVAL if waits else State.FAILED
            job.ended_ms = None if waits else _now_ms()
            return None
        result = ending["result"]
        job.session_id = result.get("session_id") or job.session_id
        approval = approval_of(result) if result.get("is_waiting") else None
        body: dict[str, Json] = {"result": result, "approval": approval}
        self._fresh[job.job_id] = body
        self._take_findings(job, result)
        if approval is None:
            job.digest, job.ended_ms, job.state = None, _now_ms(), State.DONE
        else:
            job.digest, job.ended_ms = approval["digest"], None
            job.state = State.AWAITING_APPROVAL
        return body

    def _hear(self, job: Job, told: dict[str, Any]) -> None:
        if "session" in told:
            job.session_id = str(told["session"])
        elif isinstance(told.get("say"), str):
            job.say(told["say"])
        self.listeners.tell()

    def _take_findings(self, job: Job, result: dict[str, Json]) -> None:
        holder = result if job.kind == "diagnose" else result.get("diagnosis")
        if isinstance(holder, dict) and isinstance(holder.get("findings"), list):
            job.findings = holder["findings"]
            self._note_findings(job)

    def _note_findings(self, job: Job) -> None:
        if job.findings:
            self._findings[job.trace_id] = job.findings

    def _forget_some(self) -> None:
        ended = [job for job in self._jobs.values() if job.state in ENDED]
        for job in ended[: max(0, len(self._jobs) - MAX_KEPT)]:
            del self._jobs[job.job_id]
            self.load().delete(job.job_id)

    async def _save(self, job: Job, body: dict[str, Json] | None = None) -> bool:
        """Keep the job; without a body, with the one it has. Returns whether it could be kept."""
        records = self.load()

        def write() -> None:
            records.write(job, records.body(job.job_id) if body is None else body)

        try:
            async with self._saving:
                await asyncio.to_thread(write)
        except OSError as error:
            _log.warning("job %s could not be kept: %s", job.job_id, error)
            return False
        return True


async def _end(process: Process, step: Step) -> None:
    if step.step == "decide":
        try:
            await asyncio.wait_for(process.wait(), COMMIT_S)
        except TimeoutError:
            _log.warning("a decision took longer than %.0f s to carry out", COMMIT_S)
    await process.stop()


def _interrupt(job: Job) -> None:
    """Say that the server ended; what waited with a patch, and was not at work, still waits."""
    if job.state is State.QUEUED and job.digest is not None:
        job.state = State.AWAITING_APPROVAL
        return
    job.state, job.error, job.ended_ms = State.FAILED, _INTERRUPTED, _now_ms()


def _now_ms() -> float:
    return clock.now_ns() / 1e6
