"""What is known of one run beside its input and output, as lines of text."""

import json
from collections.abc import Iterator

from refinery.model.codec import encode
from refinery.model.trace import Evaluation, Json, Run

MAX_EVALUATIONS = 50
"""Most judged items listed; the rest is counted."""
_MAX_ITEM = 200
_MAX_LIST = 20

_METRICS = {
    "wall_ms": "{:,.1f} ms",
    "cpu_ms": "{:,.1f} ms of processor time",
    "rss_bytes": "{:,.0f} bytes of memory",
    "rss_delta_bytes": "{:+,.0f} bytes of memory",
    "io_bytes": "{:,.0f} bytes read and written",
}
_VERDICTS = {True: "✓", False: "✗", None: "?"}


def details(run: Run) -> Iterator[str]:
    """Why, what it judged, what it cost and where its code is; nothing for what is not known."""
    facts = {
        "Layer": run.layer,
        "Params": _compact(run.params),
        "Tokens": _tokens(run),
        "Cost": f"{run.cost_usd} USD ({run.cost_source})" if run.cost_usd is not None else None,
        "Took": _metrics(run),
        "Code": _code(run),
        "Session": run.session_id,
        "User": run.user_id,
        "Tags": ", ".join(run.tags or ()),
    }
    for name, value in facts.items():
        if value:
            yield f"{name:<7}{value}" if len(name) < 7 else f"{name} {value}"
    if run.reasoning:
        yield f"\nReasoning\n{run.reasoning}"
    if run.evaluations:
        yield from _evaluations(run.evaluations)
    for title, entries in (("Events", run.events), ("Links", run.links)):
        if entries:
            yield f"\n{title}"
            yield from (f"  {_short(_compact(entry) or '')}" for entry in entries[:_MAX_LIST])
            if len(entries) > _MAX_LIST:
                yield f"  … and {len(entries) - _MAX_LIST} more"


def tally(evaluations: list[Evaluation]) -> str:
    """How many of the judged items qualified."""
    passed = sum(item.qualified is True for item in evaluations)
    return f"{passed} of {len(evaluations)} qualified"


def _evaluations(evaluations: list[Evaluation]) -> Iterator[str]:
    yield f"\nJudged ({tally(evaluations)})"
    for item in evaluations[:MAX_EVALUATIONS]:
        parts = [_VERDICTS[item.qualified], item.item_id]
        parts += [_short(item.reasoning)] if item.reasoning else []
        parts += [_short(_compact(item.filters) or "")] if item.filters is not None else []
        yield "  " + "  ".join(parts)
    if len(evaluations) > MAX_EVALUATIONS:
        yield f"  … and {len(evaluations) - MAX_EVALUATIONS} more"


def _tokens(run: Run) -> str:
    known = encode(run.usage) or {}
    return ", ".join(f"{count} {name}" for name, count in known.items() if count is not None)


def _metrics(run: Run) -> str:
    found = run.metrics or {}
    return ", ".join(
        _METRICS[name].format(value) if name in _METRICS else f"{name} {value:,g}"
        for name, value in found.items()
    )


def _code(run: Run) -> str | None:
    code = run.code
    if code is None or not code.file:
        return None
    return f"{code.file}:{code.line or '?'} {code.qualname or ''}".rstrip()


def _compact(value: Json) -> str | None:
    return json.dumps(encode(value), ensure_ascii=False) if value is not None else None


def _short(text: str) -> str:
    return text if len(text) <= _MAX_ITEM else f"{text[:_MAX_ITEM]}…"
