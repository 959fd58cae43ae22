"""One expert's session: plain data, kept after every answer, so that any process can go on."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from refinery import clock, home
from refinery.errors import InputError, NotFoundError
from refinery.model.codec import decode, encode
from refinery.model.trace import Json

FOLDER = "guide"
"""Folder of the sessions in a `.refinery` folder; one file each, mode 0600."""
FIRST, UNDO_FIRST = "pick", "undo_pick"
"""Steps a session begins with."""
MAX_BYTES = 4 << 20
"""Largest session file that is read; chosen by us."""
MAX_TRAIL = 100
"""Steps that `back` can go back through."""


@dataclass(slots=True)
class Session:
    """Everything an expert has said, and how far it has led."""

    session_id: str
    created_ns: int
    updated_ns: int
    step: str = FIRST
    """Name of the step that is asked, or worked on, next."""
    trail: list[str] = field(default_factory=list)
    """Steps asked before, oldest first."""
    remark: str = ""
    """What is said first on the next page, e.g. why an answer was not understood."""
    query: str = ""
    """What conversations were searched by."""
    listed: list[str] = field(default_factory=list)
    """Traces (or, when undoing, changes) on the page, in the order of their numbers."""
    trace_id: str | None = None
    marked: int | None = None
    """Number of the line of the conversation that is wrong, from 0."""
    problem: str = ""
    """What was wrong: a kind of `asking.KINDS`, or the expert's words."""
    words: str = ""
    """What would be right, as typed."""
    readings: list[Json] = field(default_factory=list)
    """Ways to understand the words: `{"words", "told", "checks"}`, best first."""
    reading: int | None = None
    """Number of the reading that was confirmed, from 0."""
    scope: str = ""
    """`question`, `words` or `always`."""
    condition: str = ""
    """For scope `words`: what a customer has to mention."""
    clashing: list[str] = field(default_factory=list)
    """Good conversations that the expectation would call wrong."""
    similar: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    """Similar failing conversations the same fix has to mend."""
    fix_session: str | None = None
    """Session of `workflows.fix` that holds diagnosis, drafts and proof."""
    cause: int = 0
    """Number of the finding that is shown, from 0."""
    chosen: str | None = None
    """Id of the hypothesis to try."""
    tried: dict[str, str] = field(default_factory=dict)
    """Verdicts of hypotheses, by id."""
    approved_ns: int | None = None
    """When the expert said yes; a change made since belongs to this session."""
    change_id: str | None = None
    handover: str | None = None
    """Folder that was prepared for an engineer."""
    trouble: str = ""
    """Why the last work could not be done, in the program's own words; shown on request."""
    is_over: bool = False


def create(folder: Path, step: str = FIRST) -> Session:
    """Begin a session and keep it."""
    now = clock.now_ns()
    session = Session(clock.short_id("guide"), now, now, step)
    save(folder, session)
    return session


def save(folder: Path, session: Session) -> None:
    """Keep a session: whole or as it was before, readable by its user alone.

    Raises:
        InputError: its file cannot be written.
    """
    session.updated_ns = clock.now_ns()
    del session.trail[:-MAX_TRAIL]
    target = _path(folder, session.session_id)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        home.prepare(folder)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(encode(session), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise InputError(
            f"your answers cannot be kept in {target.parent}: {error.strerror}",
            hint="set REFINERY_HOME to a folder you may write",
        ) from error


def load(folder: Path, session_id: str) -> Session:
    """A session by its id or a unique beginning of one.

    Raises:
        NotFoundError: there is none, or its file cannot be read.
    """
    found = [one for one in sessions(folder) if one.session_id.startswith(session_id)]
    if len(found) != 1 or not session_id:
        raise NotFoundError(
            f"no session {session_id!r} is kept here", hint="start a new one: refinery guide"
        )
    return found[0]


def sessions(folder: Path) -> list[Session]:
    """All sessions that can be read, the one answered last first."""
    return sorted(_read(folder), key=lambda session: -session.updated_ns)


def unfinished(folder: Path, trace_id: str | None = None) -> Session | None:
    """The session to go on with: the last one that is not over and has got somewhere."""
    for session in sessions(folder):
        is_begun = session.trace_id is not None or session.step == UNDO_FIRST
        if not session.is_over and is_begun and trace_id in (None, session.trace_id):
            return session
    return None


def _read(folder: Path) -> Iterator[Session]:
    place = folder / FOLDER
    for path in sorted(place.glob("guide-*.json")) if place.is_dir() else ():
        with suppress(OSError, ValueError, RecursionError):
            if path.stat().st_size <= MAX_BYTES and not path.is_symlink():
                yield decode(Session, json.loads(path.read_bytes()))


def _path(folder: Path, session_id: str) -> Path:
    return folder / FOLDER / f"{session_id}.json"
