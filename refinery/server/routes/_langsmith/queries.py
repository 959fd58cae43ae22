"""Which runs a query means: what the store can select, and the rest, checked run by run."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from refinery.adapters._shared import langsmith_documents as documents
from refinery.adapters._shared.langsmith_tree import project_id
from refinery.model.trace import RunStatus
from refinery.ports import RunFilter, StoredRun
from refinery.server.answers import RequestError
from refinery.server.routes._langsmith.around import Library
from refinery.server.routes._langsmith.asking import Question
from refinery.server.routes._langsmith.grammar import Comparison, Expression, Group, Search
from refinery.server.routes._langsmith.matching import Subject, fits, nanoseconds

V1_PAGE = 100
"""Runs a page of version 1 holds at most, as the service does."""

V2_PAGES = (100, 1_000)
"""Runs a page of version 2 holds by default and at most (`types/run_query_v2_params.py`)."""

_KINDS = {"llm", "embedding", "tool", "prompt", "parser"}
"""Run types that are one kind of ours, so that the store can select them."""

_RUN_TYPES = frozenset({"tool", "chain", "llm", "retriever", "embedding", "prompt", "parser"})
_TRACES = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, version 1 or 2."""

    ids: list[str] | None = None
    trace: str | None = None
    parent: str | None = None
    projects: frozenset[str] | None = None
    """UUIDs; None: all."""
    run_type: str | None = None
    is_root: bool | None = None
    has_error: bool | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    """Half-open: since <= start < until."""
    filter: Expression | None = None
    trace_filter: Expression | None = None
    tree_filter: Expression | None = None
    text: str | None = None
    is_nothing: bool = False
    """Asked for what this server never has, e.g. runs of a dataset's example."""
    is_oldest_first: bool = False


def of_v1(asked: Question) -> Wanted:
    """The query in a body of version 1.

    Raises:
        RequestError: a value or a filter cannot be read.
    """
    order = (asked.text("order") or "desc").lower()
    if order not in ("asc", "desc"):
        raise RequestError(422, "order must be asc or desc")
    sessions = asked.texts("session")
    return Wanted(
        ids=asked.texts("id"),
        trace=asked.text("trace"),
        parent=asked.text("parent_run"),
        projects=None if sessions is None else frozenset(one.lower() for one in sessions),
        run_type=_run_type(asked),
        is_root=asked.flag("is_root"),
        has_error=asked.flag("error"),
        since_ns=asked.time_ns("start_time"),
        until_ns=asked.time_ns("end_time"),
        filter=asked.expression("filter"),
        trace_filter=asked.expression("trace_filter"),
        tree_filter=asked.expression("tree_filter"),
        text=asked.text("query"),
        is_nothing=bool(asked.texts("reference_example")),
        is_oldest_first=order == "asc",
    )


def of_v2(asked: Question) -> Wanted:
    """The query in a body of version 2.

    Without `min_start_time` the service answers the last 24 hours only, and hides the rest
    without a word; here all runs are answered.

    Raises:
        RequestError: a value or a filter cannot be read.
    """
    projects = asked.texts("project_ids")
    return Wanted(
        ids=asked.texts("ids"),
        trace=asked.text("trace_id"),
        projects=None if projects is None else frozenset(one.lower() for one in projects),
        run_type=_run_type(asked),
        is_root=asked.flag("is_root"),
        has_error=asked.flag("has_error"),
        since_ns=asked.time_ns("min_start_time"),
        until_ns=asked.time_ns("max_start_time"),
        filter=asked.expression("filter"),
        trace_filter=asked.expression("trace_filter"),
        tree_filter=asked.expression("tree_filter"),
        is_nothing=bool(asked.texts("reference_examples") or "reference_dataset_id" in asked),
    )


def _run_type(asked: Question) -> str | None:
    given = asked.text("run_type")
    if given is not None and given.lower() not in _RUN_TYPES:
        raise RequestError(422, f"run_type must be one of {', '.join(sorted(_RUN_TYPES))}")
    return given.lower() if given else None


class Selection:
    """A query made ready for one store."""

    def __init__(self, wanted: Wanted, library: Library) -> None:
        self._asked = wanted
        self._library = library
        self._traces: OrderedDict[str, bool] = OrderedDict()
        self._names = self._project_names()
        self.wanted = _narrowed(self._store_part(), wanted.filter, library)

    def accepts(self, stored: StoredRun) -> bool:
        """Whether a run of the store's part is meant; the cheap questions first."""
        asked, run = self._asked, stored.run
        if self._names is not None and stored.project not in self._names:
            return False
        if asked.is_nothing or asked.run_type not in (None, documents.run_type(run)):
            return False
        if asked.has_error not in (None, run.status is RunStatus.ERROR):
            return False
        subject = Subject(run, stored.project, self._library)
        if asked.filter is not None and not fits(asked.filter, subject):
            return False
        if asked.text and not fits(Search(asked.text), subject):
            return False
        return self._trace_fits(run.trace_id)

    def _project_names(self) -> frozenset[str | None] | None:
        if self._asked.projects is None:
            return None
        known = self._library.project_names()
        groups = [known[key] for key in self._asked.projects if key in known]
        return frozenset[str | None]().union(*groups)

    def _store_part(self) -> RunFilter:
        asked, library = self._asked, self._library
        names = self._names
        project = next(iter(names)) if names is not None and len(names) == 1 else None
        ids = None if asked.ids is None else library.native_runs(asked.ids)
        if asked.is_nothing or (names is not None and not names):
            ids = []
        return RunFilter(
            trace_id=library.native_trace(asked.trace) if asked.trace else None,
            run_ids=ids,
            parent_id=library.native_run(asked.parent) if asked.parent else None,
            is_root=asked.is_root,
            project=project,
            kind=asked.run_type if asked.run_type in _KINDS else None,
            status=RunStatus.ERROR.value if asked.has_error else None,
            since_ns=asked.since_ns,
            until_ns=asked.until_ns,
            is_oldest_first=asked.is_oldest_first,
        )

    def _trace_fits(self, trace_id: str) -> bool:
        asked = self._asked
        if asked.trace_filter is None and asked.tree_filter is None:
            return True
        if trace_id not in self._traces:
            self._traces[trace_id] = self._ask_trace(trace_id)
            while len(self._traces) > _TRACES:
                self._traces.popitem(last=False)
        return self._traces[trace_id]

    def _ask_trace(self, trace_id: str) -> bool:
        asked, library = self._asked, self._library
        if asked.trace_filter is not None:
            root = library.root(trace_id)
            if root is None or not fits(
                asked.trace_filter, Subject(root.run, root.project, library)
            ):
                return False
        tree = asked.tree_filter
        if tree is None:
            return True
        return any(
            fits(tree, Subject(stored.run, stored.project, library))
            for stored in library.runs(RunFilter(trace_id=trace_id))
        )


def _narrowed(wanted: RunFilter, expression: Expression | None, library: Library) -> RunFilter:
    """The store's part with what a filter demands of every run; the filter still decides."""
    if isinstance(expression, Comparison):
        parts: tuple[Expression, ...] = (expression,)
    elif isinstance(expression, Group) and expression.operator == "and":
        parts = expression.parts
    else:
        return wanted
    for part in parts:
        if isinstance(part, Comparison):
            wanted = _with(wanted, part, library)
    return wanted


def _with(wanted: RunFilter, part: Comparison, library: Library) -> RunFilter:
    if part.field == "start_time" and part.operator in ("gt", "gte", "lt", "lte"):
        return _within(wanted, part.operator, nanoseconds(part.value))
    if part.operator != "eq":
        return wanted
    found = _PUSHED[part.field](part.value, library) if part.field in _PUSHED else {}
    fresh = {name: value for name, value in found.items() if getattr(wanted, name) is None}
    return replace(wanted, **fresh)


def _within(wanted: RunFilter, operator: str, at_ns: int | None) -> RunFilter:
    if at_ns is None:
        return wanted
    if operator in ("gt", "gte"):
        since = at_ns if wanted.since_ns is None else max(at_ns, wanted.since_ns)
        return replace(wanted, since_ns=since)
    # Documents tell microseconds; a run may have begun within the one that is named.
    end = at_ns + 1000
    return replace(wanted, until_ns=end if wanted.until_ns is None else min(end, wanted.until_ns))


def _pushed_type(value: Any, library: Library) -> dict[str, Any]:
    kind = str(value).lower()
    return {"kind": kind} if kind in _KINDS else {}


def _pushed_text(name: str) -> Callable[[Any, Library], dict[str, Any]]:
    def pushed(value: Any, library: Library) -> dict[str, Any]:
        return {name: value} if isinstance(value, str) else {}

    return pushed


_PUSHED: dict[str, Callable[[Any, Library], dict[str, Any]]] = {
    "id": lambda value, library: (
        {"run_ids": library.native_runs([value])} if isinstance(value, str) else {}
    ),
    "trace_id": lambda value, library: (
        {"trace_id": library.native_trace(value)} if isinstance(value, str) else {}
    ),
    "is_root": lambda value, library: {"is_root": value} if isinstance(value, bool) else {},
    "status": lambda value, library: (
        {"status": RunStatus.ERROR.value} if str(value).lower() == "error" else {}
    ),
    "run_type": _pushed_type,
    "name": _pushed_text("name"),
    "thread_id": _pushed_text("session_id"),
}
"""What the store selects for `eq(field, value)`: never less than the filter means."""


def project_is(stored: StoredRun, wanted: str | None) -> bool:
    """Whether a run is in the project of a UUID; any project when none is named."""
    return wanted is None or project_id(stored.project) == wanted.lower()
