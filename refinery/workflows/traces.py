"""Finds traces by what people type, lists them, and keeps what people say of them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from refinery import clock
from refinery.errors import InputError, NotFoundError
from refinery.model.trace import Feedback, Json, Label, Run, Trace, TraceSummary
from refinery.ports import Store, TraceFilter
from refinery.workflows.wiring import Workspace

LABEL_KEY = "label"
"""Key of the feedback that says what a trace should have been."""

QUEUE = "queue:"
"""What names an item of the optimisation queue (`refinery perf queue`) instead of a trace."""

MIN_PREFIX = 4
"""Shortest beginning of an id that is looked up."""

_SHOWN = 5
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def resolve(workspace: Workspace, text: str) -> Trace:
    """The trace a person means.

    Args:
        workspace: where to look.
        text: an id, a unique beginning of one (at least `MIN_PREFIX` characters), `latest`,
            `latest-failed`, `queue:next` or `queue:` and an item of the optimisation queue
            (which is then taken), a file (imported first), or a LangSmith URL (fetched first).

    Raises:
        NotFoundError: nothing matches.
        InputError: several traces match; their ids are in the hint.
    """
    store = workspace.store
    if text in ("latest", "latest-failed"):
        return _latest(store, failed=text == "latest-failed")
    if text.startswith(QUEUE):
        return _queued(workspace, text.removeprefix(QUEUE))
    if is_web_address(text):
        return _fetched(workspace, text)
    if text and (trace := store.get_trace(text)):
        return trace
    if is_file(text):
        return _imported(workspace, Path(text))
    return _by_prefix(store, text)


def find_run(trace: Trace, text: str) -> Run:
    """The run of a trace a person means.

    Args:
        trace: where to look.
        text: an id, or a unique beginning of one (at least `MIN_PREFIX` characters).

    Raises:
        NotFoundError: nothing matches.
        InputError: several runs match; their ids are in the hint.
    """
    if exact := trace.run(text):
        return exact
    matches = [run for run in trace.runs if run.run_id.startswith(text)]
    if len(text) < MIN_PREFIX or not matches:
        raise NotFoundError(
            f"no run {text!r} in trace {trace.trace_id}",
            hint=f"`refinery show {trace.trace_id}` lists its runs",
        )
    if len(matches) > 1:
        ids = ", ".join(run.run_id for run in matches[:_SHOWN])
        raise InputError(f"several runs begin with {text!r}", hint=f"name one: {ids}")
    return matches[0]


def listing(workspace: Workspace, wanted: TraceFilter) -> list[TraceSummary]:
    """Matching traces, newest start first."""
    return workspace.store.list_traces(wanted)


def label(where: Workspace | Store, trace_id: str, said: Label, evidence: Json = None) -> None:
    """Keep what a trace should have been; the newest label counts, older ones stay.

    Args:
        where: where to keep it.
        trace_id: the trace.
        said: the label.
        evidence: how its checks were tested; None: they were not.

    Raises:
        NotFoundError: there is no such trace.
        InputError: the outcome is neither `pass` nor `fail`, or a check cannot be read.
    """
    from refinery.replay import checks

    if said.outcome not in ("pass", "fail"):
        raise InputError(f"unknown outcome {said.outcome!r}", hint="say pass or fail")
    for check in said.checks:
        checks.parse(check)
    store = where.store if isinstance(where, Workspace) else where
    if store.get_trace(trace_id) is None:
        raise _unknown(trace_id)
    value = {
        "outcome": said.outcome,
        "expectation": said.expectation,
        "checks": list(said.checks),
        **({"evidence": evidence} if evidence is not None else {}),
    }
    feedback = Feedback(
        feedback_id=clock.new_uuid(),
        trace_id=trace_id,
        key=LABEL_KEY,
        value=value,
        source="human",
        created_ns=clock.now_ns(),
    )
    store.write_feedback([feedback])


def label_of(where: Workspace | Store, trace_id: str) -> Label | None:
    """The newest label of a whole trace; None when nobody gave one."""
    store = where.store if isinstance(where, Workspace) else where
    for feedback in reversed(store.get_feedback(trace_id)):
        if feedback.key == LABEL_KEY and feedback.run_id is None:
            return _to_label(feedback)
    return None


def since_ns(text: str) -> int:
    """The moment `text` names, in nanoseconds UTC.

    Args:
        text: a span back from now such as `30m`, `24h`, `7d` or `2w`, `now`, or an ISO 8601 date
            or time; without an offset it is UTC.

    Raises:
        InputError: it is neither.
    """
    if text.strip() == "now":
        return clock.now_ns()
    if span := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
        return clock.now_ns() - int(span[1]) * _UNITS_S[span[2]] * 10**9
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"cannot read the time {text!r}",
            hint="write 7d, 24h, now, 2026-11-21, or 2026-11-21T10:15",
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def is_web_address(text: str) -> bool:
    """Whether the text is a web address."""
    try:
        return urlsplit(text).scheme in ("http", "https")
    except ValueError:
        return False


def _latest(store: Store, *, failed: bool) -> Trace:
    found = store.list_traces(TraceFilter(status="failed" if failed else None, limit=1))
    trace = store.get_trace(found[0].trace_id) if found else None
    if trace is None:
        what = "failed trace" if failed else "trace"
        raise NotFoundError(
            f"the store holds no {what}",
            hint="record one with `refinery record`, or `refinery import` a file",
        )
    return trace


def _queued(workspace: Workspace, text: str) -> Trace:
    """The example of an item of the optimisation queue."""
    from refinery.performance.queue import Queue

    item = Queue(workspace.home).take(text)
    trace = workspace.store.get_trace(item.trace_id)
    if trace is None:
        raise NotFoundError(
            f"the trace of {item.name!r} is gone", hint="audit again: refinery perf audit"
        )
    return trace


def _fetched(workspace: Workspace, url: str) -> Trace:
    from refinery.workflows import fetch

    return fetch.fetch_one(workspace, url)


def _imported(workspace: Workspace, path: Path) -> Trace:
    from refinery.workflows import ingest

    report = ingest.import_files(workspace, [path])[0]
    if len(report.trace_ids) != 1:
        raise _ambiguous(f"{path} holds {len(report.trace_ids)} traces", report.trace_ids)
    trace = workspace.store.get_trace(report.trace_ids[0])
    if trace is None:
        raise _unknown(report.trace_ids[0])
    return trace


def _by_prefix(store: Store, text: str) -> Trace:
    if len(text) < MIN_PREFIX:
        raise NotFoundError(
            f"no trace {text!r}",
            hint=f"give an id, at least {MIN_PREFIX} characters of its beginning, or `latest`",
        )
    found = store.find_ids(text, limit=_SHOWN + 1)
    if len(found) > 1:
        raise _ambiguous(f"several traces begin with {text!r}", found)
    trace = store.get_trace(found[0]) if found else None
    if trace is None:
        raise _unknown(text)
    return trace


def is_file(text: str) -> bool:
    """Whether the text names a file there is."""
    try:
        return bool(text) and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _ambiguous(message: str, trace_ids: Sequence[str]) -> InputError:
    more = " …" if len(trace_ids) > _SHOWN else ""
    return InputError(message, hint=f"name one: {', '.join(trace_ids[:_SHOWN])}{more}")


def _unknown(text: str) -> NotFoundError:
    return NotFoundError(f"no trace {text!r}", hint="`refinery traces` lists what there is")


def _to_label(feedback: Feedback) -> Label | None:
    value = feedback.value
    if isinstance(value, str) and value in ("pass", "fail"):
        return Label(value)
    if not isinstance(value, dict) or value.get("outcome") not in ("pass", "fail"):
        return None
    expectation, checks = value.get("expectation"), value.get("checks")
    return Label(
        outcome=value["outcome"],
        expectation=expectation if isinstance(expectation, str) else None,
        checks=tuple(str(check) for check in checks) if isinstance(checks, list) else (),
    )
