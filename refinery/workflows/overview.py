"""Traces as documents for looking at: one line of a list, and the tree without payloads."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from refinery.model import messages
from refinery.model.codec import encode
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace, TraceSummary, Usage
from refinery.workflows.what_if_outcome import cost_of

BRIEF = 240
"""Characters of a text in a list."""
MAX_ROWS = 20_000
"""Runs of one trace that are shown: about 7 MB, and more than anybody looks at."""
MAX_DEPTH_SHOWN = 1_000
"""Deepest level a run is said to be at; a chain of runs may be longer."""
_CALLS = (RunKind.LLM, RunKind.EMBEDDING)
_Spoken = Callable[[], tuple[messages.Message, ...]]


def line(summary: TraceSummary, trace: Trace | None) -> dict[str, Json]:
    """A trace as one line of a list.

    Args:
        summary: what the store says of it.
        trace: the whole of it, for cost and texts; None: they stay null.
    """
    root = trace.root if trace else None
    return {
        "trace_id": summary.trace_id,
        "name": cut(summary.name),
        "status": summary.status.value,
        "label": summary.label,
        "project": summary.project,
        "source": summary.source,
        "session_id": summary.session_id,
        "user_id": summary.user_id,
        **times(summary.start_ns, summary.end_ns),
        "runs": summary.runs,
        "errors": summary.errors,
        "tokens": summary.total_tokens,
        "cost_usd": money(cost(trace.runs)) if trace else None,
        "is_complete": trace.is_complete if trace else summary.end_ns is not None,
        "root_input": asked(root) if root else None,
        "root_output": answered(root) if root else None,
    }


def summary(trace: Trace, label: str | None) -> TraceSummary:
    """The summary of a trace at hand, as a store would list it."""
    root = trace.root
    calls = [run for run in _innermost(trace.runs) if tokens(run.usage) is not None]
    return TraceSummary(
        trace_id=trace.trace_id,
        name=(root.name if root else None) or "",
        status=trace.status,
        runs=len(trace.runs),
        errors=sum(run.is_failed for run in trace.runs),
        start_ns=root.start_ns if root else None,
        end_ns=root.end_ns if root else None,
        source=trace.source,
        project=trace.project,
        session_id=_first(run.session_id for run in trace.runs),
        user_id=_first(run.user_id for run in trace.runs),
        total_tokens=sum(tokens(run.usage) or 0 for run in calls) if calls else None,
        label=label,
    )


def tree(trace: Trace) -> list[dict[str, Json]]:
    """The first `MAX_ROWS` runs of a trace in tree order, without payloads."""
    depths: dict[str, int] = {}
    rows = []
    for order, run in enumerate(trace.runs[:MAX_ROWS]):
        depth = depths.get(run.parent_id or "", -1) + 1
        depths[run.run_id] = depth
        rows.append(_row(run, order, min(depth, MAX_DEPTH_SHOWN)))
    return rows


def _row(run: Run, order: int, depth: int) -> dict[str, Json]:
    error = run.error
    return {
        "run_id": run.run_id,
        "parent_id": run.parent_id,
        "name": cut(run.name or ""),
        "kind": run.kind.value if run.kind else None,
        "native_kind": cut(run.native_kind) if run.native_kind else None,
        "status": (run.status or RunStatus.UNKNOWN).value,
        **times(run.start_ns, run.end_ns),
        "depth": depth,
        "order": order,
        "model": cut(run.model_responded or run.model_requested or "") or None,
        "tokens": tokens(run.usage),
        "cost_usd": money(cost_of(run)[0]) if run.kind in _CALLS else money(run.cost_usd),
        "error_type": cut(error.type) if error else None,
        "error_message": cut(error.message) if error else None,
        "evaluations": len(run.evaluations or ()),
    }


def times(start_ns: int | None, end_ns: int | None) -> dict[str, Json]:
    """Start, end and duration in milliseconds, UTC; null when unknown."""
    known = start_ns is not None and end_ns is not None
    return {
        "start_ms": milliseconds(start_ns),
        "end_ms": milliseconds(end_ns),
        "duration_ms": (end_ns - start_ns) / 1e6 if known else None,  # type: ignore[operator]  # both are known
    }


def milliseconds(ns: int | None) -> float | None:
    """Nanoseconds as milliseconds; None stays None."""
    return None if ns is None else ns / 1e6


def tokens(usage: Usage | None) -> int | None:
    """All tokens of a call; None when the source did not say."""
    if usage is None:
        return None
    if usage.total is not None or usage.input is None or usage.output is None:
        return usage.total
    return usage.input + usage.output


def money(amount: Decimal | None) -> float | None:
    """An amount in USD as a JSON number; None when it is unknown or none."""
    return None if amount is None or not amount.is_finite() else float(amount)


def cost(runs: Sequence[Run]) -> Decimal | None:
    """What the model calls of a trace cost, as far as it is known; None when nothing is.

    Only the innermost calls count: several sources repeat their costs in the runs around them.
    """
    found = [cost_of(run)[0] for run in _innermost(runs)]
    known = [one for one in found if one is not None and one.is_finite()]
    return sum(known, Decimal(0)) if known else None


def _innermost(runs: Sequence[Run]) -> list[Run]:
    """Model calls that hold no other model call."""
    calls = [run for run in runs if run.kind in _CALLS]
    parents = {run.run_id: run.parent_id for run in runs}
    covering: set[str] = set()
    for run in calls:
        above = run.parent_id
        while above is not None and above not in covering:
            covering.add(above)
            above = parents.get(above)
    return [run for run in calls if run.run_id not in covering]


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def asked(root: Run) -> str | None:
    """The beginning of what a trace was asked: the last user message, else its input."""
    return _brief(root.inputs, lambda: messages.messages_in(root), "user")


def answered(root: Run) -> str | None:
    """The beginning of what a trace answered: the last message, else its output."""
    return _brief(root.outputs, lambda: messages.messages_out(root), "assistant")


def cut(text: str, limit: int = BRIEF) -> str:
    """The beginning of a text, free of what UTF-8 cannot write."""
    short = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return str(encode(short))


def _brief(value: Json, spoken: _Spoken, role: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return cut(value)
    said = [m.text for m in spoken() if m.role == role and m.text]
    if said:
        return cut(said[-1])
    pieces: list[str] = []
    _outline(value, pieces, [BRIEF])
    return cut("".join(pieces))


def _outline(value: Json, pieces: list[str], left: list[int], depth: int = 0) -> None:
    """Write the beginning of any JSON value, never more than is wanted of it."""
    if left[0] <= 0:
        return
    if isinstance(value, Mapping) and depth < 4:
        for number, (key, item) in enumerate(value.items()):
            _write(f"{', ' if number else ''}{str(key)[:BRIEF]}: ", pieces, left)
            _outline(item, pieces, left, depth + 1)
            if left[0] <= 0:
                return
    elif isinstance(value, list | tuple) and depth < 4:
        for number, item in enumerate(value):
            _write(", " if number else "", pieces, left)
            _outline(item, pieces, left, depth + 1)
            if left[0] <= 0:
                return
    else:
        _write(_atom(value), pieces, left)


def _atom(value: Json) -> str:
    if isinstance(value, str):
        return value[:BRIEF]
    is_small = value is None or isinstance(value, bool | float)
    if isinstance(value, int) and value.bit_length() < 200:  # Python writes no endless integers
        is_small = True
    return str(value) if is_small else "…"


def _write(text: str, pieces: list[str], left: list[int]) -> None:
    pieces.append(text)
    left[0] -= len(text)
