"""What may be asked for, and whose conversations may answer."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from refinery.errors import InputError, RefusedError
from refinery.model.trace import RunKind, RunStatus, TraceSummary
from refinery.ports import TraceFilter

FAILED = "failed"
"""Status that means: ended in an error, or labelled as a failure."""
UNLIMITED = 2**62
"""A limit that never cuts."""
MAX_TEXT = 20_000
"""Characters of a question that are read; a longer one is cut."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which interactions are wanted; None leaves a field open."""

    text: str = ""
    """Words or a sentence in any script; empty: everything that passes the filters."""
    user: str | None = None
    session: str | None = None
    project: str | None = None
    status: str | None = None
    """A `RunStatus`, or `failed`."""
    kind: str | None = None
    """A `RunKind`: only interactions with a run of that kind; words must be in such a run."""
    since_ns: int | None = None
    until_ns: int | None = None
    """Half-open: since <= start < until, nanoseconds UTC."""
    limit: int = 10

    def checked(self) -> "Query":
        """The query, cut to what is read, in valid Unicode.

        Raises:
            InputError: a status or kind is unknown, the frame ends before it begins, or the
                limit is below 1.
        """
        statuses = [FAILED, *RunStatus]
        if self.status is not None and self.status not in statuses:
            raise InputError(
                f"unknown status {self.status!r}", hint=f"one of: {', '.join(statuses)}"
            )
        if self.kind is not None and self.kind not in list(RunKind):
            raise InputError(f"unknown kind {self.kind!r}", hint=f"one of: {', '.join(RunKind)}")
        if self.limit < 1:
            raise InputError(f"the limit {self.limit} is below 1", hint="ask for 1 or more")
        since, until = self.since_ns, self.until_ns
        if since is not None and until is not None and until <= since:
            raise InputError(
                "the time frame ends before it begins",
                hint=f"in UTC: from {_iso(since)} to {_iso(until)}; the end does not belong to it",
            )
        return replace(
            self,
            text=(_clean(self.text) or "")[:MAX_TEXT].strip(),
            user=_clean(self.user),
            session=_clean(self.session),
            project=_clean(self.project),
        )

    def as_filter(self, *, text: str | None = None, limit: int = UNLIMITED) -> TraceFilter:
        """The same question to a trace store; the kind is no part of it."""
        return TraceFilter(
            status=self.status,
            project=self.project,
            session_id=self.session,
            user_id=self.user,
            since_ns=self.since_ns,
            until_ns=self.until_ns,
            text=text,
            limit=limit,
        )


def _clean(text: str | None) -> str | None:
    """A text without what no table takes: halves of characters, as of bytes that are no UTF-8."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _iso(ns: int) -> str:
    if not -(2**63) <= ns < 2**63:
        return "a time beyond 1678 to 2262"
    return datetime.fromtimestamp(ns // 10**9, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose conversations may be read: one user's, or everybody's.

    Whoever answers questions for others (the web API, by its token) makes one from what the
    caller may see, never from what the caller asks.
    """

    user: str | None = None
    """None: everybody's."""

    def limit(self, query: Query) -> Query:
        """The query, asking for the scope's user only.

        Raises:
            RefusedError: it asks for another user.
        """
        if self.user is None:
            return query
        if query.user is not None and query.user != self.user:
            raise RefusedError(
                f"the conversations of {query.user!r} are not open to this access",
                hint="leave the user out, or use an access of that user",
            )
        return replace(query, user=self.user)

    def covers(self, summary: TraceSummary) -> bool:
        """Whether a trace may be read."""
        return self.user is None or summary.user_id == self.user


EVERYBODY = Scope()
"""The scope of somebody who may read the whole store."""
