"""Searches the project's conversations: by time, user, words and meaning.

Time, users, sessions and words are answered by the trace store. Meaning needs the extra `lance`;
without it everything else works and says what is missing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from refinery import plugins
from refinery.errors import InputError, NotFoundError, PluginError
from refinery.model.trace import Trace
from refinery.ports import Embedder, Store
from refinery.search import searching, text
from refinery.search.interactions import asked_of
from refinery.search.people import Span
from refinery.search.query import EVERYBODY, Query, Scope
from refinery.search.searching import DEPTH, Frame, Hit, Ranking
from refinery.workflows import traces
from refinery.workflows.wiring import Workspace

if TYPE_CHECKING:
    from refinery.search.index import Index, Point, State

__all__ = [
    "EVERYBODY",
    "Found",
    "Query",
    "Scope",
    "search",
    "sessions",
    "similar",
    "timeframe",
    "users",
]

FOLDER = "observability"
"""Folder of the index in a `.refinery` folder."""
FILLING_S = 8.0
"""Seconds a search may spend on bringing the index up to date; what is left it says."""
INSTALL = "pip install 'refinery[lance]'"
_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{1,27}|(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{8,32}|[0-9a-f]{32}",
    re.IGNORECASE,
)
"""A UUID, one of OpenTelemetry's ids, or the beginning of one; no word and no number is one."""
WORDS_OF_A_TEXT = 20
"""Words of a long text that are looked for: its longest, as the rarest tend to be."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and how it searched."""

    hits: tuple[Hit, ...]
    arms: tuple[str, ...]
    """`text`, and `meaning` when the index could be asked."""
    embedder: str
    """What makes the vectors; `none` when meaning was not searched."""
    indexed: int | None = None
    """Interactions in the index; None when it was not asked."""
    waiting: int = 0
    """Interactions that are not in the index yet."""
    notes: tuple[str, ...] = ()
    like: str | None = None
    """For `similar`: the trace the others are like; None when it was a text."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How to search."""

    by_text: bool = True
    by_meaning: bool = True
    is_exact: bool = False
    """Compare with every vector, even where an index would save it."""
    filling_s: float | None = FILLING_S
    """Seconds to spend on filling the index; None: as many as it takes."""
    is_literal: bool = False
    """Also look for the question as it stands inside other words, as scripts without spaces need.
    """
    rebuild: bool = False
    """Make the index anew first."""
    progress: Progress | None = None
    whole: Store | None = None
    """What the index is filled from, when the workspace's store shows a part of it only: filled
    from a part, it would forget the rest. None: the workspace's store."""


@dataclass(slots=True)
class _Meaning:
    """What the index said."""

    near: list[tuple[str, float]] = field(default_factory=list)
    holding: list[str] = field(default_factory=list)
    """Interactions that hold the question literally, when it was asked for."""
    embedder: str = "none"
    indexed: int | None = None
    waiting: int = 0
    notes: list[str] = field(default_factory=list)


def search(
    workspace: Workspace, query: Query, scope: Scope = EVERYBODY, ways: Ways | None = None
) -> Found:
    """The interactions that fit a question best, best first, each with the reasons.

    Raises:
        RefusedError: the query asks for a user the scope does not cover.
        InputError: the query makes no sense, or the index is to be rebuilt by two at once.
    """
    ways = ways or Ways()
    asked = scope.limit(query.checked())
    if not asked.text:
        raise InputError("there is nothing to search for", hint="say what in words")
    by_text = text.ranked(workspace.store, asked, DEPTH) if ways.by_text else []
    meaning = _Meaning()
    if ways.by_meaning:
        ways = replace(ways, is_literal=ways.by_text and not by_text)
        meaning = _near(workspace, asked, ways, lambda index: index.point(asked.text))
    for trace_id in meaning.holding:
        if held := searching.find(workspace.store, trace_id, scope):
            by_text.append(text.TextHit(held[0], None))
    ranking = Ranking(by_text, meaning.near, meaning.embedder)
    found = _found(workspace, asked, scope, ranking, meaning)
    return found if ways.by_text else replace(found, arms=found.arms[1:])


def latest(workspace: Workspace, query: Query, scope: Scope = EVERYBODY) -> Found:
    """The interactions that pass the filters, newest first, whatever they are about.

    Raises:
        RefusedError: the query asks for a user the scope does not cover.
        InputError: the query makes no sense.
    """
    hits, is_whole = searching.latest(workspace.store, query.checked(), scope)
    notes = () if is_whole else (f"only the latest {searching.LOOKED_AT} were looked at",)
    return Found(tuple(hits), arms=(), embedder="none", notes=notes)


def similar(
    workspace: Workspace,
    given: str,
    query: Query,
    scope: Scope = EVERYBODY,
    ways: Ways | None = None,
) -> Found:
    """The interactions most like a trace or a text.

    Args:
        workspace: where to look.
        given: id of a trace, a unique beginning of one, `latest`, `latest-failed`, or a text.
        query: filters; its text is not used.
        scope: whose conversations may be seen, also as the one to compare with.
        ways: how to search.

    Raises:
        RefusedError: the query asks for a user the scope does not cover.
        InputError: several traces begin so, or there is nothing to compare with.
        NotFoundError: it looks like the id of a trace, and there is none.
    """
    ways = ways or Ways()
    trace = _trace_of(workspace, given, scope)
    words = asked_of(trace) if trace else given
    asked = scope.limit(replace(query, text=words).checked())
    if trace is None and not asked.text:
        raise InputError("there is nothing to compare with", hint="give a trace or a text")
    if trace is None and _ID.fullmatch(given.strip()):
        raise NotFoundError(
            f"no trace {given.strip()!r}", hint="`refinery traces` lists them; a text has words"
        )

    def point(index: "Index") -> "Point | None":
        kept = index.point_of(trace.trace_id) if trace else None
        return kept or index.point(asked.text)

    meaning = _near(workspace, asked, ways, point) if ways.by_meaning else _Meaning()
    by_text = []
    if not meaning.near and ways.by_text:
        told = replace(asked, text=" ".join(_telling(asked.text)))
        by_text = text.ranked(workspace.store, told, DEPTH) if told.text else []
    itself = trace.trace_id if trace else None
    ranking = Ranking(
        [one for one in by_text if one.trace.trace_id != itself],
        [one for one in meaning.near if one[0] != itself],
        meaning.embedder,
    )
    found = _found(workspace, asked, scope, ranking, meaning)
    return replace(found, like=trace.trace_id if trace else None)


def timeframe(
    workspace: Workspace, query: Query, scope: Scope = EVERYBODY, *, with_cycles: bool = False
) -> Frame:
    """The interactions that began in a time frame, oldest first, verbatim.

    Raises:
        RefusedError: the query asks for a user the scope does not cover.
        InputError: the frame ends before it begins.
    """
    return searching.timeframe(workspace.store, query, scope, with_cycles=with_cycles)


def users(workspace: Workspace, query: Query, scope: Scope = EVERYBODY) -> list[Span]:
    """Every user of the interactions that pass the filters, most recent first."""
    return searching.users(workspace.store, query, scope)


def sessions(workspace: Workspace, query: Query, scope: Scope = EVERYBODY) -> list[Span]:
    """Every session of the interactions that pass the filters, most recent first."""
    return searching.sessions(workspace.store, query, scope)


def moment_ns(text: str, zone: tzinfo | None = None) -> int:
    """The moment a text names, in nanoseconds UTC.

    Args:
        text: as `traces.since_ns` reads it.
        zone: zone of a time that names none; None: UTC.

    Raises:
        InputError: it is no time.
    """
    if zone is None:
        return traces.since_ns(text)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return traces.since_ns(text)
    if moment.tzinfo is None:
        text = moment.replace(tzinfo=zone).isoformat()
    return traces.since_ns(text)


def state(workspace: Workspace) -> "State | None":
    """What the index is; None when there is none, or its library is missing."""
    from refinery.search.register import FILE

    if not is_installed() or not (folder_of(workspace) / FILE).is_file():
        return None
    with open_index(workspace) as index:
        return index.state()


def is_installed() -> bool:
    """Whether the library that meaning needs is there."""
    return find_spec("lancedb") is not None


def open_index(workspace: Workspace) -> "Index":
    """Open the observability store, with the embedder of the settings.

    Raises:
        PluginError: the extra `lance` is missing, or no embedder is of that name.
    """
    if not is_installed():
        raise PluginError("searching by meaning needs the extra `lance`", hint=INSTALL)
    from refinery.search.index import Index

    return Index(folder_of(workspace), _embedder(workspace))


def folder_of(workspace: Workspace) -> Path:
    """Where the index of the workspace's store is: a store named by URL has one of its own."""
    url = workspace.settings.values.store
    mark = f"-{blake2b(url.encode(), digest_size=6).hexdigest()}" if url else ""
    return workspace.home / f"{FOLDER}{mark}"


def _embedder(workspace: Workspace) -> Embedder:
    name, _, option = workspace.settings.values.search_embedder.partition(":")
    made: Embedder = plugins.load("embedders", name).create(option)
    return _Redacting(made) if getattr(made, "is_remote", False) else made


class _Redacting:
    """An embedder that sends texts away, given them without their secrets."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name = embedder.name
        self.dimensions = embedder.dimensions

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text, in order."""
        from refinery.safety.redact import redact

        return self._embedder.embed([str(redact(one)[0]) for one in texts])


def _near(
    workspace: Workspace, asked: Query, ways: Ways, place: "Callable[[Index], Point | None]"
) -> _Meaning:
    """What the index says, and what kept it from saying more."""
    found = _Meaning()
    if not is_installed():
        found.notes.append(f"searched by words only; meaning needs: {INSTALL}")
        return found
    from refinery.search import shown
    from refinery.search.index import BROKEN, OtherEmbedderError

    with open_index(workspace) as index:
        try:
            _fill(index, ways.whole or workspace.store, ways, found)
            point = place(index)
            if point is not None:
                if ways.whole is None:
                    found.near = index.nearest(point, asked, DEPTH, exact=ways.is_exact)
                else:
                    part = workspace.store
                    found.near = shown.nearest(index, point, asked, part, exact=ways.is_exact)
            if ways.is_literal:
                found.holding = index.containing(asked.text, asked, DEPTH)
            found.embedder = index.embedder.name
            found.indexed = index.state().interactions
        except OtherEmbedderError as error:
            found.notes.append(
                f"searched by words only: the index was made with {error}, the settings name "
                f"{index.embedder.name}; `refinery search --rebuild` makes it anew"
            )
        except BROKEN as error:
            found.notes.append(
                f"searched by words only: the index cannot be read or written ({error}); when "
                "the disk is not full, `refinery search --rebuild` makes it anew"
            )
        found.notes += index.notes
    return found


def _mark(store: Store) -> str | None:
    """What changes whenever the file of the store does; None for a store that is not one file."""
    url = str(store.stats()["url"])
    path = Path(url.removeprefix("sqlite://"))
    if not url.startswith("sqlite://") or not path.is_file():
        return None
    parts = [url]
    for file in (path, path.with_name(f"{path.name}-wal")):
        seen = file.stat() if file.exists() else None
        parts.append(f"{seen.st_size} {seen.st_mtime_ns}" if seen and seen.st_size else "")
    return "|".join(parts)


def _fill(index: "Index", store: Store, ways: Ways, found: _Meaning) -> None:
    if ways.rebuild:
        done = index.rebuild(store, ways.progress)
    else:
        filled = index.fill(store, ways.filling_s, ways.progress, mark=_mark(store))
        if filled is None:
            found.notes.append(
                "another process is filling the index: the latest interactions may be missing"
            )
            return
        done = filled
    found.waiting = done.waiting
    if done.waiting:
        found.notes.append(
            f"{done.waiting} interactions are not in the index yet; `refinery search --fill` "
            "takes all of them in"
        )


def _found(
    workspace: Workspace, asked: Query, scope: Scope, ranking: Ranking, meaning: _Meaning
) -> Found:
    arms = ("text", "meaning") if meaning.embedder != "none" else ("text",)
    return Found(
        hits=tuple(searching.hits(workspace.store, asked, ranking, scope)),
        arms=arms,
        embedder=meaning.embedder,
        indexed=meaning.indexed,
        waiting=meaning.waiting,
        notes=tuple(meaning.notes),
    )


def _trace_of(workspace: Workspace, given: str, scope: Scope) -> Trace | None:
    """The trace a text names, if the scope covers it; no file is read and nothing fetched."""
    if traces.is_web_address(given) or traces.is_file(given) or " " in given:
        return None
    try:
        named = traces.resolve(workspace, given)
    except NotFoundError:
        return None
    except InputError:
        if scope.user is not None:  # how many others have is none of this user's business
            return None
        raise
    found = searching.find(workspace.store, named.trace_id, scope)
    return found[1] if found else None


def _telling(given: str) -> list[str]:
    """The longest words of a text."""
    return sorted(text.words_of(given), key=len, reverse=True)[:WORDS_OF_A_TEXT]
