"""A store as one user may see it: that user's traces alone, nothing changed but opinions of them.

Whose a trace is, the store says itself (`Trace.owner`): every run at its top names the user, and
no run names another. Traces of nobody are the owner's of the server.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

from refinery.model.trace import Feedback, Json, Run, Trace, TraceSummary
from refinery.ports import (
    ProjectSummary,
    RankedTrace,
    Ranking,
    RunBatch,
    RunFilter,
    RunPage,
    Store,
    StoredRun,
    TraceFilter,
)
from refinery.server.answers import RequestError
from refinery.server.grants import Grant
from refinery.workflows.traces import LABEL_KEY

NOT_OPEN = "this token reads the traces of one user and opens nothing else"
"""Why a user's token is refused."""
ASK = "ask whoever runs the server"


def confined(store: Store, grant: Grant) -> Store:
    """The part of a store that a token opens."""
    return _RankingPart(store, grant) if isinstance(store, Ranking) else _Part(store, grant)


class _Part:
    """A `Store`; what it does not hold and what is another's cannot be told apart."""

    def __init__(self, store: Store, grant: Grant) -> None:
        self._whole = store
        self._user, self._project = grant.user, grant.project

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """Matching traces, newest start first."""
        if not self._may_ask(wanted):
            return []
        if wanted.after is not None and not self._holds(wanted.after[1]):
            # Where a page begins must not tell whether another has a trace of that id.
            wanted = replace(wanted, after=(wanted.after[0], ""))
        return self._whole.list_traces(self._narrowed(wanted))

    def find_runs(self, wanted: RunFilter) -> RunPage:
        """Matching runs, a page at a time."""
        if not self._may_ask(wanted):
            return RunPage(())
        owned = replace(wanted, owner=self._user, project=self._project or wanted.project)
        return self._whole.find_runs(owned)

    def get_trace(self, trace_id: str) -> Trace | None:
        """A whole trace; None when there is none of that id, or it is another's."""
        if not self._holds(trace_id):  # asked first: how long it takes to read must not tell
            return None
        trace = self._whole.get_trace(trace_id)
        if trace is None or trace.owner != self._user:
            return None
        return trace if self._project in (None, trace.project) else None

    def get_run(self, run_id: str) -> StoredRun | None:
        """One run of a trace that may be seen; None when there is none."""
        found = self.find_runs(RunFilter(run_ids=[run_id], limit=1)).runs
        return found[0] if found else None

    def get_feedback(self, trace_id: str) -> list[Feedback]:
        """Feedback of a trace and its runs, oldest first."""
        return self._whole.get_feedback(trace_id) if self._holds(trace_id) else []

    def write_feedback(self, feedback: Iterable[Feedback]) -> None:
        """Write what the user says of traces that may be seen.

        Raises:
            RequestError: 403, it is of another trace, or a label: labels say what traces should
                be, and fixes are measured by them.
        """
        given = list(feedback)
        if any(one.key == LABEL_KEY for one in given):
            raise RequestError(403, f"{NOT_OPEN}: labels are the owner's")
        if not all(self._holds(one.trace_id) for one in given):
            _refuse()
        self._whole.write_feedback(given)

    def find_ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Refused: names of all traces are looked at."""
        _refuse()

    def write_runs(
        self, runs: Iterable[Run], *, source: str = "unknown", project: str | None = None
    ) -> int:
        """Refused."""
        _refuse()

    def write_batches(self, batches: Sequence[RunBatch]) -> int:
        """Refused."""
        _refuse()

    def projects(self) -> list[ProjectSummary]:
        """Refused: all traces are counted."""
        _refuse()

    def put_blob(self, content: bytes, trace_id: str) -> str:
        """Refused."""
        _refuse()

    def get_blob(self, reference: str) -> bytes | None:
        """Refused: bytes do not say whose they are."""
        _refuse()

    def delete_traces(self, trace_ids: Sequence[str]) -> int:
        """Refused."""
        _refuse()

    def stats(self) -> dict[str, Json]:
        """Refused: all traces are counted."""
        _refuse()

    def close(self) -> None:
        """Refused: the whole store is others' as well."""
        _refuse()

    def _holds(self, trace_id: str) -> bool:
        return bool(self.find_runs(RunFilter(trace_id=trace_id, limit=1)).runs)

    def _may_ask(self, wanted: TraceFilter | RunFilter) -> bool:
        return self._project is None or wanted.project in (None, self._project)

    def _narrowed(self, wanted: TraceFilter) -> TraceFilter:
        return replace(wanted, owner=self._user, project=self._project or wanted.project)


class _RankingPart(_Part):
    """The same of a store that ranks."""

    def rank_traces(self, wanted: TraceFilter, kind: str | None = None) -> list[RankedTrace]:
        """Traces with any of the rarer words, best fit first; nothing of others is ranked."""
        assert isinstance(self._whole, Ranking)
        return (
            self._whole.rank_traces(self._narrowed(wanted), kind) if self._may_ask(wanted) else []
        )


def _refuse() -> NoReturn:
    raise RequestError(403, NOT_OPEN)
