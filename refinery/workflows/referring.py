"""Which traces are still needed, and by what: changes, receipts, lessons and open sessions."""

from collections.abc import Iterator
from pathlib import Path

from refinery.errors import RefusedError
from refinery.model.trace import Json
from refinery.ports import Store
from refinery.safety.ledger import Ledger
from refinery.workflows import receipt as receipts
from refinery.workflows.guide import session as guides
from refinery.workflows.learning import lessons_of


def referring(home: Path) -> dict[str, str]:
    """What needs a trace, by the trace's id; of several things the first found.

    Raises:
        RefusedError: the ledger was altered; without it nothing is known to be free.
        InputError: a receipt cannot be read.
    """
    found: dict[str, str] = {}
    for trace_id, why in _all(home):
        found.setdefault(trace_id, why)
    return found


def delete(store: Store, home: Path, trace_id: str) -> int:
    """Delete one trace that nothing needs; returns how many were deleted.

    Raises:
        RefusedError: something needs it, or the ledger was altered.
        InputError: a receipt cannot be read.
    """
    if why := referring(home).get(trace_id):
        raise RefusedError(
            f"trace {trace_id[:100]!r} is needed by {why}",
            hint="answer an open session, or end it: refinery fix --resume SESSION --abandon; "
            "what a change refers to stays",
        )
    return store.delete_traces([trace_id])


def _all(home: Path) -> Iterator[tuple[str, str]]:
    for entry in Ledger(home / "ledger.jsonl").entries():
        for trace_id in _ids(entry.body):
            yield trace_id, "a change in the history"
    folder = home / receipts.FOLDER
    for path in sorted(folder.glob("*.receipt")) if folder.is_dir() else ():
        kept = receipts.unpack(receipts.load(path), str(path))
        held = (case.trace.trace_id for case in (*kept.failing, *kept.controls))
        for trace_id in (*kept.trace_hashes, *held):
            yield trace_id, "the receipt of a change"
    for lesson in lessons_of(home).all():
        yield lesson.trace_id, "a lesson"
    yield from _of_fixes(home)
    yield from _of_guides(home)


def _of_fixes(home: Path) -> Iterator[tuple[str, str]]:
    """Traces of sessions of `refinery fix` that can be resumed, however far they came.

    A session that belongs to one of the guide that is over counts only when it waits for an
    approval: nobody goes on with its proof.
    """
    if not (home / "sessions.db").is_file():
        return
    from refinery.workflows.fix import open_states  # the libraries of its graph take a second

    left = {one.fix_session for one in guides.sessions(home) if one.is_over}
    for state, following in open_states(home):
        name, waits = state["session_id"], following == "approve"
        if name in left and not waits:
            continue
        why = "which waits for your approval" if waits else f"which stopped before: {following}"
        needed = (state["trace_id"], *state.get("failing_ids", ()), *state.get("control_ids", ()))
        for trace_id in needed:
            yield trace_id, f"session {name}, {why}"


def _of_guides(home: Path) -> Iterator[tuple[str, str]]:
    """Traces of sessions of `refinery guide` that are not over."""
    for one in guides.sessions(home):
        if not one.is_over:
            for trace_id in (one.trace_id, *one.joined):
                if trace_id is not None:
                    yield trace_id, f"session {one.session_id} of the guide, which is not over"


def _ids(value: Json) -> Iterator[str]:
    """Every `trace_id` inside a value."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "trace_id" and isinstance(item, str):
                yield item
            else:
                yield from _ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
