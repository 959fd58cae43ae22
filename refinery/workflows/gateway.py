"""Records what a command says to models through the gateway, as one trace below the command."""

import contextlib
import os
import queue
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from refinery import clock, home
from refinery.errors import RefineryError
from refinery.model.codec import encode
from refinery.model.trace import EntryPoint, Json, Run, RunError, RunKind, RunStatus
from refinery.ports import Store
from refinery.recorders._origin import read_origin
from refinery.replay import exchange_runs, passage
from refinery.replay.passage import Exchange
from refinery.replay.recording import RecordingGateway
from refinery.safety.redact import redact

SOURCE = "gateway"
MAX_WAITING_BYTES = 128 << 20
"""Most bytes of tapes that may wait for the store; more are dropped, their runs are not."""


@dataclass(slots=True)
class Passed:
    """What a command said through the gateway."""

    trace_id: str | None = None
    """None: nothing was said."""
    run_ids: set[str] = field(default_factory=set)
    tapes: int = 0
    lost: int = 0
    """Runs or tapes that could not be stored."""
    reason: str = ""
    """Why, of the last one."""


class CommandTrace:
    """Writes the root run of a command and what passes the gateway below it.

    The root is written with the first exchange, so a command that says nothing leaves no trace.
    Everything is written by one thread; a program never waits for the store.
    """

    def __init__(self, store: Store, command: Sequence[str], project: str | None) -> None:
        self.passed = Passed()
        self.exit_code: int | None = None
        """The command's, to be set when it has ended; None: it did not end as it should."""
        self._store = store
        self._project = project
        self._is_redacted = os.environ.get("REFINERY_REDACT", "1").lower() not in (
            *("0", "false", "no", "off"),
        )
        self._root = self._clean(_root(command))
        self._queue: queue.SimpleQueue[tuple[Exchange | Run, bool] | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._write_forever, daemon=True)
        self._thread.start()

    def begun(self, exchange: Exchange) -> None:
        """A request has arrived; its run is written once its body is known, at the end."""
        if exchange.recorded is None and self.passed.trace_id is None:
            with self._lock:
                if self.passed.trace_id is None:
                    self.passed.trace_id = self._root.run_id
                    self._queue.put((self._root, True))

    def ended(self, exchange: Exchange) -> None:
        """An exchange is over."""
        size = exchange.body.size_bytes + exchange.response.size_bytes
        with self._lock:
            has_room = self._waiting_bytes + size <= MAX_WAITING_BYTES
            self._waiting_bytes += size
        self._queue.put((exchange, has_room))

    def close(self) -> None:
        """Write what waits, and how the command ended."""
        if self.passed.trace_id is not None:
            self._queue.put((_ended(self._root, self.exit_code), True))
        self._queue.put(None)
        self._thread.join()

    def _write_forever(self) -> None:
        while (item := self._queue.get()) is not None:
            written, has_room = item
            try:
                if isinstance(written, Run):
                    self._write(written)
                elif written.recorded is not None:
                    self._write_tape_of_recorded(written, has_room)
                else:
                    self._write_exchange(written, has_room)
            except (RefineryError, ValueError, RecursionError) as error:
                self.passed.lost += 1
                self.passed.reason = str(error)
            if isinstance(written, Exchange):
                with self._lock:
                    self._waiting_bytes -= written.body.size_bytes + written.response.size_bytes

    def _write(self, run: Run) -> None:
        self._store.write_runs([run], source=SOURCE, project=self._project)
        self.passed.run_ids.add(run.run_id)

    def _write_exchange(self, exchange: Exchange, has_room: bool) -> None:
        run, has_secret = exchange_runs.ended(exchange, self._root, is_redacted=self._is_redacted)
        self._write(run)
        reference = self._keep(exchange, self._root.run_id, has_room, has_secret)
        if reference:
            self._write(replace(run, raw_ref=reference))

    def _write_tape_of_recorded(self, exchange: Exchange, has_room: bool) -> None:
        """The call's run is written by the recorder that made it; it gets the tape."""
        trace_id, _, run_id = str(exchange.recorded).partition("/")
        if not (_is_uuid(trace_id) and _is_uuid(run_id)):
            return
        _, has_secret = exchange_runs.ended(exchange, self._root, is_redacted=self._is_redacted)
        if reference := self._keep(exchange, trace_id, has_room, has_secret):
            self._store.write_runs([Run(run_id, trace_id, raw_ref=reference)])

    def _keep(
        self, exchange: Exchange, trace_id: str, has_room: bool, has_secret: bool
    ) -> str | None:
        """Store a tape; returns its reference, or None when there was no room for it."""
        if not has_room:
            self.passed.lost += 1
            self.passed.reason = "more tapes waited for the store than fit into memory"
            return None
        content = passage.tape(exchange, is_redacted=self._is_redacted)
        response = passage.read_tape(content)["response"] if has_secret else None
        if response is not None and not response["is_redacted"]:
            # The secret was spread over several events, where no pattern finds it.
            content = passage.tape(exchange, withhold_response=True)
        self.passed.tapes += 1
        return self._store.put_blob(content, trace_id)

    def _clean(self, run: Run) -> Run:
        """The root without secrets of its command line."""
        if not self._is_redacted:
            return run
        return replace(
            run,
            name=redact(run.name)[0],
            inputs=redact(run.inputs)[0],
            metadata=redact(run.metadata)[0],
        )


@contextlib.contextmanager
def recording(
    store: Store, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], CommandTrace]]:
    """A gateway for a command; yields the variables the command must get, and its trace.

    The caller sets the trace's `exit_code` inside the block; after it all is written.

    Raises:
        InputError: a base URL of the environment is no http(s) URL.
    """
    root = home.project_root(Path.cwd()) or Path.cwd()
    project = environment.get("REFINERY_PROJECT") or root.name
    trace = CommandTrace(store, command, project)
    try:
        with RecordingGateway(environment, trace.begun, trace.ended) as gateway:
            yield gateway.variables(environment), trace
    finally:
        trace.close()


def _root(command: Sequence[str]) -> Run:
    """The run of a command that has just been started."""
    run_id, now = clock.new_uuid(), clock.now_ns()
    origin = list(read_origin(Path.cwd()))[-1:]
    point = EntryPoint(
        kind="command",
        target=shlex.join(command),
        repository=origin[0].root if origin else None,
        commit=origin[0].commit if origin else None,
        dirty_diff=origin[0].dirty_diff if origin else None,
    )
    return Run(
        run_id=run_id,
        trace_id=run_id,
        name=Path(command[0]).name,
        kind=RunKind.CHAIN,
        native_kind="command",
        dotted_order=exchange_runs.segment(now, run_id),
        start_ns=now,
        status=RunStatus.RUNNING,
        inputs={"command": list(command), "cwd": str(Path.cwd())},
        metadata={"refinery": {"entry_point": encode(point)}},
    )


def _ended(root: Run, exit_code: int | None) -> Run:
    """The root run of a command that has ended."""
    fields: dict[str, Any] = {"status": RunStatus.OK}
    notes: dict[str, Json] = {}
    if exit_code is None:
        fields["status"] = RunStatus.UNKNOWN
    elif exit_code > 128:
        fields["status"] = RunStatus.CANCELLED
        notes["cancelled"] = f"signal {exit_code - 128}"
    elif exit_code:
        fields["status"] = RunStatus.ERROR
        fields["error"] = RunError("ExitCode", f"the command ended with exit code {exit_code}")
    return replace(
        root,
        end_ns=max(clock.now_ns(), root.start_ns or 0),
        outputs={"exit_code": exit_code},
        metadata={"refinery": {**(root.metadata or {})["refinery"], **notes}},
        **fields,
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
