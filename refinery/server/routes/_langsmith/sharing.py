"""Shared traces: read with a token alone, on this machine like everything else here."""

import uuid
from collections.abc import Iterator

from refinery import clock
from refinery.ports import RunFilter, StoredRun
from refinery.server.answers import RequestError
from refinery.server.routes._langsmith import notes
from refinery.server.routes._langsmith.around import Library
from refinery.server.routes._langsmith.asking import missing
from refinery.server.routes._langsmith.notes import Share


def share(library: Library, run_id: str, token: str | None) -> Share:
    """Share a run and all below it; one that is shared already keeps its token.

    Args:
        library: the store.
        run_id: as the API shows it.
        token: the client's own; None: one is made.

    Raises:
        RequestError: 404, there is no such run; 422, the token is no UUID; 409, it is another's.
    """
    stored = _run(library, run_id)
    known = _of(library, stored)
    if known is not None:
        return known
    chosen = _token(token) if token else clock.new_uuid()
    others = notes.shares(library.store)
    if any(one.token == chosen for one in others):
        raise RequestError(409, "the token is in use")
    if len(others) >= notes.MAX_SHARES:
        raise RequestError(422, f"{notes.MAX_SHARES} traces are shared already; unshare one")
    made = Share(chosen, stored.run.run_id, stored.run.trace_id)
    notes.share(library.store, made)
    return made


def unshare(library: Library, run_id: str) -> None:
    """Make the token of a run useless.

    Raises:
        RequestError: 404, there is no such run.
    """
    stored = _run(library, run_id)
    if _of(library, stored) is not None:
        notes.unshare(library.store, stored.run.run_id)


def shared(library: Library, run_id: str) -> Share | None:
    """The share of a run; None when it is not shared.

    Raises:
        RequestError: 404, there is no such run.
    """
    return _of(library, _run(library, run_id))


def url_of(library: Library, stored: StoredRun, server_url: str) -> str | None:
    """Where a shared run can be read; None when it is not shared."""
    known = _of(library, stored)
    return f"{server_url}/public/{known.token}/r" if known else None


def shared_run(library: Library, token: str, run_id: str | None = None) -> StoredRun:
    """The run a token shares, or one below it.

    Raises:
        RequestError: 404, there is none.
    """
    known = _of_token(library, token)
    stored = library.store.get_run(known.run_id) if run_id is None else library.run(run_id)
    if stored is None or not _is_shared(library, known, stored):
        raise missing("shared run")
    return stored


def shared_runs(library: Library, token: str) -> Iterator[StoredRun]:
    """The run a token shares and all below it, in order of start.

    Raises:
        RequestError: 404, nothing is shared under it.
    """
    known = _of_token(library, token)
    runs = library.runs(RunFilter(trace_id=known.trace_id, is_oldest_first=True))
    return (stored for stored in runs if _is_shared(library, known, stored))


def _is_shared(library: Library, known: Share, stored: StoredRun) -> bool:
    if stored.run.trace_id != known.trace_id:
        return False
    if stored.run.run_id == known.run_id:
        return True
    return known.run_id in library.shape(stored.run).above(stored.run)


def _run(library: Library, run_id: str) -> StoredRun:
    stored = library.run(run_id)
    if stored is None:
        raise missing(f"run {run_id[:100]}")
    return stored


def _of(library: Library, stored: StoredRun) -> Share | None:
    wanted = stored.run.run_id
    return next((one for one in notes.shares(library.store) if one.run_id == wanted), None)


def _of_token(library: Library, token: str) -> Share:
    found = next((one for one in notes.shares(library.store) if one.token == token.lower()), None)
    if found is None:
        raise missing("shared run")
    return found


def _token(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise RequestError(422, "share_token must be a UUID") from error
