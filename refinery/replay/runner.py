"""Replays recorded runs of one program: one sandboxed process, one case a run.

The result of a case comes from three places: what the agent returned (written inside the
sandbox), what its model requests were given (the gateway's own log, outside), and the runs it
recorded again (spool files, joined here). Nothing is judged inside.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from refinery.errors import InputError, ReplayError
from refinery.model import codec
from refinery.model.merge import merge
from refinery.model.trace import EntryPoint, Json, Run
from refinery.model.verdict import Fidelity, ReplayResult, StepFidelity
from refinery.recorders.spool_file import Reader, spool_files
from refinery.replay.gateway import Gateway
from refinery.replay.live_answers import Lane
from refinery.replay.program import Agent, Code, Place, complaint, execute, prepared
from refinery.replay.session import Missed, Rules, Session
from refinery.replay.tape import RecordedResult, Tape
from refinery.replay.variation import Variation
from refinery.replay.varying import Recorded, Varied

MAX_RESULT_BYTES = 32 << 20
"""Largest result of one case that is read."""
MAX_SPOOL_BYTES = 64 << 20
"""Most bytes of recorded runs read of one case; later runs are left out."""
MAX_RUNS = 20_000
_START_S = 60.0
"""Seconds allowed for starting the interpreter and importing the agent."""
_AT_ONCE = 4
"""Cases the child runs at the same time (`inside.child.MOST_AT_ONCE`)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases of one program in one state."""

    agent: Agent
    code: Code
    tapes: tuple[Tape, ...]
    """One case each; the same tape may stand more than once. All of one entry point."""
    touched: tuple[str, ...] = ()
    """Paths the patch of the trial changes, in both arms."""
    rules: Rules = field(default_factory=Rules)
    asked_again: int = 0
    """How many of the last cases ask the live model also what was recorded."""
    name: str = ""
    """The arm it is run for; keeps live answers of arms apart."""
    before: tuple[Tape, ...] = ()
    """Earlier turns of the same conversation, run first in each case's process."""
    variations: tuple[tuple[Variation, Recorded] | None, ...] = ()
    """How the requests of each case are changed; a case without one asks no live model. Empty:
    no request of any case is changed."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One case, replayed."""

    result: ReplayResult
    learnt: dict[str, dict[str, Json]]
    """Fields the program sent for recorded calls, by run id."""
    unmatched: Json = None
    """The first tool call or retrieval that was not recorded: kind, name and arguments."""
    missed: Missed | None = None
    """The first model request that was not recorded."""
    varied: tuple[Varied, ...] = ()
    """Requests that were changed before they were looked up, in order."""


def require_entry(tape: Tape) -> EntryPoint:
    """The entry point of a tape.

    Raises:
        InputError: the recording does not say how the program was started, or it was started as
            a command, which has no result to compare.
    """
    entry = tape.entry
    if entry is None:
        raise InputError(
            f"trace {tape.trace_id} does not say how its program was started",
            hint="record it with `refinery record --input`, or set [agent] entrypoint and --repo",
        )
    if entry.kind != "callable":
        raise InputError(
            f"trace {tape.trace_id} was recorded from a command, which returns no result",
            hint="set [agent] entrypoint and record it with `refinery record --input`",
        )
    return entry


def replay(batch: Batch) -> list[Replayed]:
    """Replay every case of a batch.

    Raises:
        InputError: a tape has no usable entry point, or the code cannot be exported.
        RefusedError: the sandbox did not start.
        ReplayError: the batch mixes programs.
    """
    entries = [require_entry(tape) for tape in batch.tapes]
    programs = {(entry.target, t.folder) for entry, t in zip(entries, batch.tapes, strict=True)}
    if len(programs) > 1:
        raise ReplayError("one batch cannot replay several programs")
    if not batch.tapes:
        return []
    with prepared(batch.agent, batch.code) as place, Gateway(place.socket) as gateway:
        opened = [gateway.open(tape, rules) for tape, rules in _with_rules(batch)]
        nonces = [secrets.token_hex(16) for _ in opened]
        tokens = [token for token, _ in opened]
        turns = [
            [
                case_of(0, tape, gateway.open(tape, batch.rules)[0], require_entry(tape).argument)
                for tape in batch.before
            ]
            for _ in tokens
        ]
        job = _job(batch, place, tokens, nonces) | {"port": gateway.port}
        job["cases"] = [
            {**case, "before": earlier} for case, earlier in zip(job["cases"], turns, strict=True)
        ]
        (place.work / "job.json").write_text(json.dumps(job), encoding="utf-8")
        rounds = -(-len(batch.tapes) // _AT_ONCE)
        finished = execute(
            batch.agent,
            place,
            "refinery.replay.inside.child",
            port=gateway.port,
            timeout_s=_START_S + rounds * (batch.agent.timeout_s + 2),
        )
        why = complaint(finished)
        return [
            _replayed(place, index, session, nonces[index], why)
            for index, (_, session) in enumerate(opened)
        ]


def _with_rules(batch: Batch) -> list[tuple[Tape, Rules]]:
    first = len(batch.tapes) - batch.asked_again
    seen: Counter[str] = Counter()
    found = []
    for number, tape in enumerate(batch.tapes):
        is_again = number >= first
        lane = f"{batch.name}{' again' if is_again else ''}/{tape.trace_id}"
        seen[lane] += 1
        asked = batch.agent.upstream
        variation = batch.variations[number] if batch.variations else None
        is_asked = asked is not None and (not batch.variations or variation is not None)
        upstream = Lane(asked, f"{lane}/{seen[lane]}") if asked and is_asked else None
        rules = replace(batch.rules, upstream=upstream, asks_again=is_again, variation=variation)
        found.append((tape, rules))
    return found


def _job(
    batch: Batch, place: Place, tokens: Sequence[str], nonces: Sequence[str]
) -> dict[str, Json]:
    """What the child is told; keys and recorded model replies are not among it."""
    first = batch.tapes[0]
    cases = [
        {
            **case_of(index, tape, token, require_entry(tape).argument),
            "nonce": nonce,
        }
        for index, (tape, token, nonce) in enumerate(zip(batch.tapes, tokens, nonces, strict=True))
    ]
    return {
        "code": str(place.code),
        "folder": str(PurePosixPath(first.folder)),
        "work": str(place.work),
        "target": require_entry(first).target,
        "timeout_s": batch.agent.timeout_s,
        "touched": list(batch.touched),
        "live": list(batch.agent.live),
        "cases": cases,
    }


def case_of(index: int, tape: Tape, token: str, argument: Json) -> dict[str, Json]:
    """What the child is told of one recorded run."""
    return {
        "index": index,
        "token": token,
        "argument": argument,
        "tools": [_served(result) for result in tape.tools],
        "retrievals": [_served(result) for result in tape.retrievals],
        "trace_id": tape.trace_id,
        "start_ns": tape.start_ns,
        "moments": [[m.kind, m.name, m.start_ns, m.end_ns] for m in tape.moments],
        "draws": tape.draws,
        "drawn": list(tape.drawn),
        "known": list(tape.known),
    }


def _served(result: RecordedResult) -> Json:
    return codec.encode(result)


def _replayed(place: Place, index: int, session: Session, nonce: str, why: str) -> Replayed:
    """Put together what is known of one case."""
    told = read_result(place.work / "results" / f"{index}.json", nonce)
    status, error = str(told.get("status") or "error"), told.get("error")
    if not told:
        error = f"the agent's process wrote no result: {why}"
    timed = [(at, step) for at, step in session.timed_steps]
    timed += list(told_steps(told.get("steps")))
    steps = tuple(step for _, step in sorted(timed, key=lambda pair: pair[0]))
    told_refused = told.get("refused")
    refused = (
        [str(address) for address in told_refused if address]
        if isinstance(told_refused, list)
        else []
    )
    if status == "error" and refused:
        name = ", ".join(refused)[:300]
        detail = "there is no network in a replay"
        steps += (StepFidelity(name, "network", Fidelity.UNANSWERED, None, detail),)
    if any(step.fidelity is Fidelity.UNANSWERED for step in steps):
        status = "unanswered"
    runs = read_runs(place.work / "spool" / str(index))
    result = ReplayResult(
        trace_id=session.tape.trace_id,
        status=status if status in ("ok", "error", "timeout", "unanswered") else "error",
        output=told.get("output"),
        error=str(error).replace(f"{place.code}/", "")[:4000] if error else None,
        steps=steps,
        duration_ms=_duration_ms(runs),
        replayed=[codec.encode_run(run) for run in runs] or None,
    )
    return Replayed(result, session.learnt, told.get("unmatched"), session.missed, session.varied)


def read_result(path: Path, nonce: str) -> dict[str, Any]:
    """A case's result; empty when it is missing, too large, or not of this batch."""
    try:
        if path.is_symlink() or path.stat().st_size > MAX_RESULT_BYTES:
            return {}
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(told, dict) or told.get("nonce") != nonce:
        return {}
    return dict(codec.encode(told))


def told_steps(steps: Json) -> Iterator[tuple[int, StepFidelity]]:
    """Steps of tools and retrievers, as the child tells them."""
    for step in steps if isinstance(steps, list) else ():
        if not isinstance(step, list) or len(step) != 6 or not isinstance(step[0], int):
            continue
        at, name, kind, fidelity, run_id, detail = step
        known = Fidelity(fidelity) if fidelity in list(Fidelity) else Fidelity.UNANSWERED
        yield at, StepFidelity(str(name), str(kind), known, run_id and str(run_id), str(detail))


def read_runs(folder: Path) -> list[Run]:
    """Runs recorded by a case, joined and in tree order."""
    found: dict[str, Run] = {}
    left = MAX_SPOOL_BYTES
    is_own = folder.is_dir() and not folder.is_symlink()
    for path in spool_files(folder) if is_own else ():
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            reader = Reader(file, path.name, is_finished=True, left_bytes=left)
            for view in reader.views():
                run = _run(view)
                if run is not None and (run.run_id in found or len(found) < MAX_RUNS):
                    stored = found.get(run.run_id)
                    found[run.run_id] = merge(stored, run) if stored else run
        left = reader.left_bytes or 0
    return sorted(found.values(), key=lambda run: (run.dotted_order or "", run.start_ns or 0))


def _run(view: dict[str, Any] | None) -> Run | None:
    try:
        return codec.decode_run(view["run"]) if view else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None  # half a line, or something the agent wrote there itself


def _duration_ms(runs: Sequence[Run]) -> float:
    """Wall time of the replayed root run; 0 when it was not recorded."""
    roots = [run for run in runs if run.parent_id is None]
    return (roots[0].duration_ms or 0.0) if roots else 0.0
