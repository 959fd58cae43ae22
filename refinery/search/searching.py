"""Answers questions: time frames, users, sessions, and words and meaning fused.

Everything here takes a `Scope` and never shows an interaction that it does not cover.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refinery.model.messages import answer_text
from refinery.model.trace import Run, Trace, TraceSummary
from refinery.ports import RunFilter, Store, TraceFilter
from refinery.search import text as texts
from refinery.search.fusion import MEANING, TEXT, fuse, weights_for
from refinery.search.interactions import asked_of
from refinery.search.people import Span, sessions_of, users_of
from refinery.search.query import EVERYBODY, UNLIMITED, Query, Scope

DEPTH = 60
"""Ranks of each arm that are fused."""
LOOKED_AT = 2_000
"""Interactions looked at for a run of a kind, when no words are asked for."""
SHOWN = 300
"""Characters of question and answer shown with a result."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an interaction was found."""

    arm: str
    """`text` or `meaning`."""
    rank: int
    """From 1, in that arm."""
    words: tuple[str, ...] = ()
    """Words of the question that are in it."""
    snippet: str = ""
    """The place where such a word stands."""
    run_id: str | None = None
    run_name: str | None = None
    run_kind: str | None = None
    """The run the words are in."""
    similarity: float | None = None
    """Cosine of the angle between the vectors, -1 to 1; None for words."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One interaction that was found."""

    trace: TraceSummary
    score: float
    """Only the order means anything."""
    why: tuple[Reason, ...]
    asked: str
    answered: str
    """Question and answer, short."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the arms said, before it is fused."""

    text: Sequence[texts.TextHit] = ()
    meaning: Sequence[tuple[str, float]] = ()
    """Trace ids and similarities."""
    embedder: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One interaction of a time frame, verbatim."""

    trace: TraceSummary
    root: Run
    cycles: tuple[Run, ...] = field(default=())
    """The runs below it in tree order, when they were asked for."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The interactions that began in a time frame, oldest first."""

    moments: tuple[Moment, ...]
    total: int
    """How many there are; more than are shown when the limit cut them."""


def hits(store: Store, query: Query, ranking: Ranking, scope: Scope = EVERYBODY) -> list[Hit]:
    """The interactions both arms found, fused, best first.

    Args:
        store: says what they are; what it does not hold (any more) is left out.
        query: limited to the scope already; its text is what was asked.
        ranking: what the arms said.
        scope: interactions it does not cover are left out.
    """
    by_text = {one.trace.trace_id: one for one in ranking.text}
    similar = dict(ranking.meaning)
    arms: Mapping[str, Sequence[str]] = {TEXT: list(by_text), MEANING: list(similar)}
    found: list[Hit] = []
    for trace_id, score in fuse(arms, weights_for(ranking.embedder)):
        if len(found) == query.limit:
            break
        trace = store.get_trace(trace_id)
        summary = _summary(store, by_text, trace_id, trace)
        if trace is None or summary is None or not scope.covers(summary):
            continue
        why = []
        if trace_id in by_text:
            why.append(_by_words(query.text, trace, by_text[trace_id], arms[TEXT]))
        if trace_id in similar:
            why.append(_by_meaning(query.text, trace, similar[trace_id], arms[MEANING]))
        root = trace.root
        answered = answer_text(root.outputs) if root else ""
        found.append(Hit(summary, score, tuple(why), short(asked_of(trace)), short(answered)))
    return found


def timeframe(
    store: Store, query: Query, scope: Scope = EVERYBODY, *, with_cycles: bool = False
) -> Frame:
    """The interactions that began in a query's time frame, oldest first, verbatim.

    Raises:
        RefusedError: the query asks for a user the scope does not cover.
    """
    asked = scope.limit(query.checked())
    listed = store.list_traces(asked.as_filter())
    listed.reverse()
    kept = [one for one in listed if one.start_ns is not None and scope.covers(one)]
    return Frame(_moments(store, kept[: asked.limit], with_cycles=with_cycles), len(kept))


def latest(store: Store, query: Query, scope: Scope = EVERYBODY) -> tuple[list[Hit], bool]:
    """The interactions that pass a query's filters, newest first, and whether all were looked at.

    Of those without a run of the wanted kind at most `LOOKED_AT` are passed over.

    Raises:
        RefusedError: the query asks for a user the scope does not cover.
    """
    found: list[Hit] = []
    for place, one in enumerate(_listed(store, query, scope)):
        if place == LOOKED_AT or len(found) == query.limit:
            return found, len(found) == query.limit
        wanted = RunFilter(trace_id=one.trace_id, kind=query.kind, limit=1)
        if query.kind is not None and not store.find_runs(wanted).runs:
            continue
        if trace := store.get_trace(one.trace_id):
            answered = answer_text(trace.root.outputs) if trace.root else ""
            found.append(Hit(one, 0.0, (), short(asked_of(trace)), short(answered)))
    return found, True


def users(store: Store, query: Query, scope: Scope = EVERYBODY) -> list[Span]:
    """Every user of the interactions that pass the filters, most recent first."""
    return users_of(_listed(store, query, scope))


def sessions(store: Store, query: Query, scope: Scope = EVERYBODY) -> list[Span]:
    """Every session of the interactions that pass the filters, most recent first."""
    return sessions_of(_listed(store, query, scope))


def find(
    store: Store, trace_id: str, scope: Scope = EVERYBODY
) -> tuple[TraceSummary, Trace] | None:
    """A trace with its listing; None when there is none of that id that the scope covers."""
    trace = store.get_trace(trace_id)
    summary = summary_of(store, trace) if trace else None
    if trace is None or summary is None or not scope.covers(summary):
        return None
    return summary, trace


def summary_of(store: Store, trace: Trace) -> TraceSummary | None:
    """How a listing shows a trace; None when it is gone."""
    root = trace.root
    starts = sorted({run.start_ns for run in trace.runs if run.start_ns is not None})
    first = [root.start_ns] if root and root.start_ns is not None else []
    frames = [(one, one + 1) for one in (*first, *starts[:1])]
    if starts:
        frames.append((starts[0], starts[-1] + 1))
    for since, until in (*frames, (None, None)):
        wanted = TraceFilter(since_ns=since, until_ns=until, limit=UNLIMITED)
        for one in store.list_traces(wanted):
            if one.trace_id == trace.trace_id:
                return one
    return None


def short(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 4 * SHOWN].split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _listed(store: Store, query: Query, scope: Scope) -> list[TraceSummary]:
    asked = scope.limit(query.checked())
    return [one for one in store.list_traces(asked.as_filter()) if scope.covers(one)]


def _moments(
    store: Store, listed: Sequence[TraceSummary], *, with_cycles: bool
) -> tuple[Moment, ...]:
    roots: dict[str, Run] = {}
    if not with_cycles:
        ids = [one.trace_id for one in listed]
        page = store.find_runs(RunFilter(run_ids=ids, limit=max(1, len(ids))))
        roots = {one.run.trace_id: one.run for one in page.runs}
    moments = []
    for one in listed:
        root = roots.get(one.trace_id)
        if root is not None:
            moments.append(Moment(one, root))
        elif (trace := store.get_trace(one.trace_id)) and (root := trace.root):
            below = tuple(run for run in trace.runs if run is not root)
            moments.append(Moment(one, root, below if with_cycles else ()))
    return tuple(moments)


def _summary(
    store: Store, by_text: Mapping[str, texts.TextHit], trace_id: str, trace: Trace | None
) -> TraceSummary | None:
    if trace_id in by_text:
        return by_text[trace_id].trace
    return summary_of(store, trace) if trace else None


def _by_words(text: str, trace: Trace, hit: texts.TextHit, ranked: Sequence[str]) -> Reason:
    run = trace.run(hit.run_id) if hit.run_id else None
    runs = [run] if run else list(trace.runs)
    words: tuple[str, ...] = ()
    best = runs[0]
    for one in runs:
        found = texts.shown_words(text, one)
        if len(found) > len(words):
            words, best = found, one
    return Reason(
        arm=TEXT,
        rank=ranked.index(trace.trace_id) + 1,
        words=words,
        snippet=texts.snippet(best, words),
        run_id=best.run_id,
        run_name=best.name,
        run_kind=str(best.kind) if best.kind else None,
    )


def _by_meaning(text: str, trace: Trace, similarity: float, ranked: Sequence[str]) -> Reason:
    root = trace.root
    shared = texts.shown_words(text, root) if root else ()
    return Reason(
        arm=MEANING,
        rank=ranked.index(trace.trace_id) + 1,
        words=shared,
        run_id=root.run_id if root else None,
        run_name=root.name if root else None,
        run_kind=str(root.kind) if root and root.kind else None,
        similarity=round(similarity, 4),
    )
