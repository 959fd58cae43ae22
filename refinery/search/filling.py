"""Brings the observability store up to date with the trace store, a batch at a time.

A batch is written to the tables, then registered: killed anywhere, the next filling goes on where
this one was. Only traces whose listing has changed are read again, and a text that was embedded
before is not embedded again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refinery import clock
from refinery.errors import InputError
from refinery.model.trace import TraceSummary
from refinery.ports import Embedder, Store, TraceFilter
from refinery.search.interactions import Interaction, interaction_of
from refinery.search.lance import Tables
from refinery.search.people import Span, sessions_of, users_of
from refinery.search.query import UNLIMITED
from refinery.search.register import Filled, Register, fingerprint

BATCH = 400
"""Interactions written at once: at 500 embeddings a second, under a second lost to a kill."""
BATCH_CHARACTERS = 8_000_000
"""Verbatim text held for one batch."""
_TIDY_EVERY = 50

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Told the interactions done and those there are to do."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What one filling did."""

    written: int = 0
    """Interactions that were new or had changed."""
    removed: int = 0
    """Interactions whose trace is gone."""
    embedded: int = 0
    """Different texts that went through the embedder; the others' vectors were known."""
    waiting: int = 0
    """Interactions that are not up to date yet: the time was over."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What is filled, from what, with what."""

    store: Store
    tables: Tables
    register: Register
    embedder: Embedder


def fill(parts: Parts, for_s: float | None = None, progress: Progress | None = None) -> Filling:
    """Bring the tables up to date, newest interactions first.

    Only the owner of the index may call this.

    Args:
        parts: what is filled.
        for_s: stop after about so many seconds; None: when all is done.
        progress: told after each batch.
    """
    until_s = None if for_s is None else clock.monotonic_s() + for_s
    prune(parts)
    listed = parts.store.list_traces(TraceFilter(limit=UNLIMITED))
    known = parts.register.fingerprints()
    gone = known.keys() - {one.trace_id for one in listed}
    if gone:
        remove(parts.tables, parts.register, sorted(gone))
    stale = [one for one in listed if _is_stale(one, known)]
    written = embedded = 0
    for number, batch in enumerate(_batches(parts.store, stale)):
        embedded += _write(parts, batch)
        written += len(batch.summaries)
        if progress:
            progress(written, len(stale))
        if number % _TIDY_EVERY == _TIDY_EVERY - 1:
            parts.tables.tidy()
        if until_s is not None and clock.monotonic_s() > until_s:
            break
    if stale or gone:
        write_people(parts.tables, listed)
        parts.tables.tidy()
    return Filling(written, len(gone), embedded, len(stale) - written)


def remove(tables: Tables, register: Register, trace_ids: Sequence[str]) -> None:
    """Take interactions out of the tables, then out of the register."""
    tables.remove(list(register.numbers(trace_ids).values()))
    register.remove(trace_ids)


def write_people(tables: Tables, listed: Sequence[TraceSummary]) -> None:
    """Write the tables of users and sessions anew, from all traces there are."""
    tables.write_people(_users(listed), _sessions(listed))


def prune(parts: Parts) -> None:
    """Make tables and register agree: rows nobody registered go, lost rows are filled again."""
    registered = {number: trace for trace, (number, _) in parts.register.fingerprints().items()}
    if parts.tables.count() == len(registered) == 0:
        return
    present = parts.tables.numbers()
    if strangers := sorted(set(present) - registered.keys()):
        parts.tables.remove(strangers)
    lost = sorted(registered.keys() - set(present))
    doubled = [] if len(present) == len(set(present)) else _doubled(present)
    if doubled:
        parts.tables.remove(doubled)
    if broken := [registered[number] for number in (*lost, *doubled) if number in registered]:
        parts.register.remove(broken)


def _doubled(numbers: Sequence[int]) -> list[int]:
    seen: set[int] = set()
    twice: set[int] = set()
    for number in numbers:
        (twice if number in seen else seen).add(number)
    return sorted(twice)


def _is_stale(one: TraceSummary, known: dict[str, tuple[int, bytes]]) -> bool:
    found = known.get(one.trace_id)
    return found is None or found[1] != fingerprint(one)


@dataclass(slots=True)
class _Batch:
    """Traces as listed, and those of them that have an interaction."""

    summaries: list[TraceSummary]
    interactions: list[Interaction]


def _batches(store: Store, stale: Sequence[TraceSummary]) -> Iterator[_Batch]:
    batch, size = _Batch([], []), 0
    for summary in stale:
        batch.summaries.append(summary)
        trace = store.get_trace(summary.trace_id)
        found = interaction_of(summary, trace) if trace else None
        if found is not None:
            batch.interactions.append(found)
            size += len(found.context) + sum(len(one.context) for one in found.cycles)
        if len(batch.summaries) >= BATCH or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = _Batch([], []), 0
    if batch.summaries:
        yield batch


def _write(parts: Parts, batch: _Batch) -> int:
    """Embed, write and register a batch; returns how many texts were embedded."""
    given = batch.interactions
    if not given:
        return 0
    numbers = parts.register.numbers(one.summary.trace_id for one in given)
    following = parts.register.next_number()
    placed: list[tuple[int, Interaction]] = []
    for one in given:
        number = numbers.get(one.summary.trace_id)
        if number is None:
            number, following = following, following + 1
        placed.append((number, one))
    vectors, embedded = _vectors(parts, given)
    parts.tables.write(placed, vectors)
    parts.register.add(
        [
            Filled(one.summary.trace_id, number, fingerprint(one.summary), one.text_hash)
            for number, one in placed
        ]
    )
    return embedded


def _vectors(parts: Parts, given: Sequence[Interaction]) -> tuple[Floats, int]:
    """Vectors of interactions, known ones from the tables; and how many had to be embedded."""
    texts = {one.text_hash: one.text for one in given}
    known = parts.register.with_text(texts)
    rows = parts.tables.rows(list(known.values()), ["vector"])
    found = {
        mark: np.asarray(rows[number]["vector"], dtype=np.float32)
        for mark, number in known.items()
        if number in rows
    }
    fresh = [mark for mark in texts if mark not in found]
    made = embed(parts.embedder, [texts[mark] for mark in fresh])
    found.update(zip(fresh, made, strict=True))
    return np.stack([found[one.text_hash] for one in given]), len(fresh)


def embed(embedder: Embedder, texts: Sequence[str]) -> Floats:
    """Vectors of texts.

    Returns:
        (texts, dimensions) float32, unit length; zero where the embedder gave no finite one.

    Raises:
        InputError: the embedder gave another number of vectors, or other dimensions, than it says.
    """
    if not texts:
        return np.zeros((0, embedder.dimensions), dtype=np.float32)
    made = np.asarray(embedder.embed(list(texts)), dtype=np.float32)
    if made.shape != (len(texts), embedder.dimensions):
        raise InputError(
            f"the embedder {embedder.name} gave vectors of shape {made.shape} for {len(texts)} "
            f"texts; it says it has {embedder.dimensions} dimensions",
            hint="choose another one with REFINERY_SEARCH_EMBEDDER",
        )
    made[~np.isfinite(made).all(axis=1)] = 0.0
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    unit: Floats = made / np.maximum(lengths, np.float32(1e-12))
    return unit


def _users(listed: Sequence[TraceSummary]) -> list[dict[str, object]]:
    return [
        {"user_id": span.name, "sessions": len(span.parts), **_figures(span)}
        for span in users_of(listed)
    ]


def _sessions(listed: Sequence[TraceSummary]) -> list[dict[str, object]]:
    return [
        {"session_id": span.name, "user_id": span.user, **_figures(span)}
        for span in sessions_of(listed)
    ]


def _figures(span: Span) -> dict[str, object]:
    return {
        "interactions": span.interactions,
        "errors": span.errors,
        "tokens": span.tokens,
        "first_ns": span.first_ns,
        "last_ns": span.last_ns,
    }
