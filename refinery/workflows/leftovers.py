"""Closes the runs a recorded program left open when it ended, so that none is running for ever."""

import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from refinery import clock
from refinery.model.trace import Json, Run, RunStatus
from refinery.ports import Store
from refinery.recorders.spool_file import Reader, spool_files


def close_open_runs(store: Store, spool: Path, trace_ids: Iterable[str], exit_code: int) -> int:
    """End the open runs of traces whose writers are gone; returns how many there were.

    A process ended by a signal leaves its runs `cancelled`, any other `unknown`; why is said in
    `metadata["refinery"]["cancelled"]`. Traces a process still writes to are left alone.

    Args:
        store: where the traces are.
        spool: the command's own spool folder, drained; files left there have a living writer.
        trace_ids: traces the command wrote.
        exit_code: the command's; negative or above 128 when a signal ended it.

    Raises:
        StoreError: the store cannot be written.
    """
    alive = _traces_in(spool)
    status, why = _reason(exit_code)
    closed = 0
    for trace_id in trace_ids:
        trace = None if trace_id in alive else store.get_trace(trace_id)
        if trace is None:
            continue
        ended = [_ended(run, status, why) for run in trace.runs if _is_open(run)]
        if ended:
            store.write_runs(ended, source=trace.source, project=trace.project)
            closed += len(ended)
    return closed


def _is_open(run: Run) -> bool:
    return run.end_ns is None and run.status in (None, RunStatus.RUNNING)


def _ended(run: Run, status: RunStatus, why: str) -> Run:
    known = run.metadata or {}
    ours: dict[str, Json] = {**known.get("refinery", {}), "cancelled": why}
    end_ns = max(clock.now_ns(), run.start_ns or 0)
    return replace(run, end_ns=end_ns, status=status, metadata={**known, "refinery": ours})


def _reason(exit_code: int) -> tuple[RunStatus, str]:
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number <= 0:
        return RunStatus.UNKNOWN, "the program ended before the run did"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return RunStatus.CANCELLED, f"the program was ended by {name}"


def _traces_in(spool: Path) -> set[str]:
    """Traces in the files of a spool folder."""
    found: set[str] = set()
    for path in spool_files(spool) if spool.is_dir() else ():
        with suppress(OSError), path.open("rb") as file:
            for view in Reader(file, path.name, is_finished=False).views():
                run = view.get("run") if view is not None else None
                if isinstance(run, dict):
                    found.add(str(run.get("trace_id")))
    return found
