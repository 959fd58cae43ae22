"""The summary of a trace: derived from all its runs, or grown by runs that were added.

A long trace arrives in many pieces; reading all its runs again for each would take longer the
longer it gets. `grown` says None wherever only `summarise` knows; both give the same answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from refinery.stores._shared.layout import column_int

MODEL_CALLS = ("llm", "embedding")


@dataclass(frozen=True, slots=True)
class RunColumns:
    """What the summary of a trace needs of each run."""

    number: int
    run_id: str
    parent_id: str | None
    name: str | None
    kind: str | None
    status: str | None
    start_ns: int | None
    end_ns: int | None
    tokens: int | None
    session_id: str | None
    user_id: str | None

    @property
    def is_counted(self) -> bool:
        """Whether it is a model call that says its tokens."""
        return self.tokens is not None and self.kind in MODEL_CALLS


@dataclass(frozen=True, slots=True)
class Summary:
    """Derived columns of the table `traces`, in the table's order."""

    name: str
    status: str
    runs: int
    errors: int
    start_ns: int | None
    end_ns: int | None
    session_id: str | None
    user_id: str | None
    total_tokens: int | None
    root: int | None
    """Number of the root run; None: derive everything anew."""
    root_rank: int
    """2: it has the id of the trace; 1: it has no parent; 0: it is only the first that came."""
    first_ns: int | None
    last_ns: int | None
    """Earliest start and latest end of any run."""
    ended: int
    """Runs that have an end."""
    is_nested: int
    """1: some model call that says its tokens has runs below it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to the runs of one trace."""

    root: RunColumns
    """The root run of the summary before."""
    added: Sequence[RunColumns]
    """New runs, in order of arrival."""
    changed: Sequence[tuple[RunColumns, RunColumns]]
    """Runs before and after."""


def summarise(trace_id: str, runs: Sequence[RunColumns]) -> Summary:
    """The summary of a trace from all its runs, in order of arrival."""
    root = max(runs, key=lambda run: _rank(trace_id, run))  # the first of those that rank alike
    starts = [run.start_ns for run in runs if run.start_ns is not None]
    ends = [run.end_ns for run in runs if run.end_ns is not None]
    counted = {run.run_id for run in runs if run.is_counted}
    return _about_root(
        Summary(
            name="",
            status="",
            runs=len(runs),
            errors=sum(run.status == "error" for run in runs),
            start_ns=None,
            end_ns=None,
            session_id=_first([root.session_id, *(run.session_id for run in runs)]),
            user_id=_first([root.user_id, *(run.user_id for run in runs)]),
            total_tokens=column_int(_tokens_of_leaves(runs)),
            root=root.number,
            root_rank=_rank(trace_id, root),
            first_ns=min(starts, default=None),
            last_ns=max(ends, default=None),
            ended=len(ends),
            is_nested=int(any(run.parent_id in counted for run in runs)),
        ),
        root,
    )


def grown(trace_id: str, old: Summary, change: Change) -> Summary | None:
    """The summary of a trace after a change; None when all its runs must be looked at.

    `old` nests no model calls, and neither does the change (the caller looks): then every model
    call that says its tokens is a leaf.
    """
    if not _is_plain(trace_id, old, change):
        return None
    added, changed = change.added, change.changed
    now = [*added, *(new for _, new in changed)]
    starts = [run.start_ns for run in now if run.start_ns is not None]
    ends = [run.end_ns for run in now if run.end_ns is not None]
    tokens = [run.tokens or 0 for run in added if run.is_counted]
    tokens += [new.tokens or 0 for was, new in changed if new.is_counted and not was.is_counted]
    if old.total_tokens is not None:
        tokens.append(old.total_tokens)
    summary = replace(
        old,
        runs=old.runs + len(added),
        errors=old.errors
        + sum(run.status == "error" for run in now)
        - sum(was.status == "error" for was, _ in changed),
        session_id=_first([old.session_id, *(run.session_id for run in added)]),
        user_id=_first([old.user_id, *(run.user_id for run in added)]),
        total_tokens=column_int(sum(tokens)) if tokens else None,
        first_ns=min([*starts, *([] if old.first_ns is None else [old.first_ns])], default=None),
        last_ns=max([*ends, *([] if old.last_ns is None else [old.last_ns])], default=None),
        ended=old.ended + len(ends) - sum(was.end_ns is not None for was, _ in changed),
    )
    return _about_root(summary, change.root)


def _is_plain(trace_id: str, old: Summary, change: Change) -> bool:
    """Whether the root stays and nothing is taken back."""
    if any(_rank(trace_id, run) > old.root_rank for run in change.added):
        return False
    return all(
        new.number != old.root
        and was.parent_id == new.parent_id
        and was.start_ns in (None, new.start_ns)
        and was.end_ns in (None, new.end_ns)
        and (was.session_id, was.user_id) == (new.session_id, new.user_id)
        and (not was.is_counted or (was.tokens, was.kind) == (new.tokens, new.kind))
        for was, new in change.changed
    )


def _about_root(summary: Summary, root: RunColumns) -> Summary:
    last = root.end_ns
    if last is None and root.parent_id is not None and summary.ended == summary.runs:
        last = summary.last_ns
    return replace(
        summary,
        name=root.name or "",
        status=root.status or "unknown",
        start_ns=root.start_ns if root.start_ns is not None else summary.first_ns,
        end_ns=last,
    )


def _rank(trace_id: str, run: RunColumns) -> int:
    return 2 if run.run_id == trace_id else int(run.parent_id is None)


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _tokens_of_leaves(runs: Sequence[RunColumns]) -> int | None:
    """Tokens of model calls that hold no model call with tokens: SDKs repeat them in parents."""
    parents = {run.run_id: run.parent_id for run in runs}
    counted = [run for run in runs if run.is_counted]
    covering: set[str] = set()
    for run in counted:
        above = run.parent_id
        while above is not None and above not in covering:
            covering.add(above)
            above = parents.get(above)
    leaves = [run.tokens or 0 for run in counted if run.run_id not in covering]
    return sum(leaves) if leaves else None
