"""Users and sessions: what the traces of a store say of them, together."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from refinery.model.trace import RunStatus, TraceSummary


@dataclass(slots=True)
class Span:
    """Interactions that have something in common."""

    name: str | None
    """Id of the user or session; None: those that name none."""
    user: str | None = None
    interactions: int = 0
    errors: int = 0
    """Interactions that ended in an error or are labelled as failures."""
    tokens: int | None = None
    """None: no model call said its tokens."""
    first_ns: int | None = None
    last_ns: int | None = None
    """Earliest and latest start, nanoseconds UTC."""
    parts: set[str] = field(default_factory=set)
    """Sessions of a user."""

    def add(self, summary: TraceSummary) -> None:
        """Count one interaction."""
        self.interactions += 1
        self.errors += summary.status is RunStatus.ERROR or summary.label == "fail"
        if summary.total_tokens is not None:
            self.tokens = (self.tokens or 0) + summary.total_tokens
        start = summary.start_ns
        if start is not None:
            self.first_ns = start if self.first_ns is None else min(self.first_ns, start)
            self.last_ns = start if self.last_ns is None else max(self.last_ns, start)


def users_of(summaries: Iterable[TraceSummary]) -> list[Span]:
    """Every user, most recent first; interactions without one come as the user None."""
    found: dict[str | None, Span] = {}
    for one in summaries:
        span = found.get(one.user_id)
        if span is None:
            span = found[one.user_id] = Span(one.user_id, one.user_id)
        span.add(one)
        if one.session_id is not None:
            span.parts.add(one.session_id)
    return _newest_first(found.values())


def sessions_of(summaries: Iterable[TraceSummary]) -> list[Span]:
    """Every session, most recent first; interactions without one are left out.

    Two users whose sessions have the same id have two sessions.
    """
    found: dict[tuple[str, str | None], Span] = {}
    for one in summaries:
        if one.session_id is not None:
            key = (one.session_id, one.user_id)
            if key not in found:
                found[key] = Span(one.session_id, one.user_id)
            found[key].add(one)
    return _newest_first(found.values())


def _newest_first(spans: Iterable[Span]) -> list[Span]:
    return sorted(
        spans, key=lambda span: (span.last_ns is None, -(span.last_ns or 0), span.name or "")
    )
