"""A trace under a token budget: what matters most in full, the rest shortened, and a receipt."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from refinery.model.codec import encode
from refinery.model.failure import RunReading
from refinery.model.trace import Json, Run, RunKind, Trace
from refinery.model.walk import MAX_DEPTH
from refinery.safety.redact import redact

BYTES_PER_TOKEN = 3
"""Cautious: English prose has four and more bytes to a token, JSON three to four."""
_LEAF_LIMITS = (4_000, 1_200, 400, 120)
"""Characters kept of each value when a run does not fit whole, tried in this order."""
_MAX_LEAVES = 400
"""Most values shown of a run that does not fit whole."""
_REPEATED = 160
"""Values at least this long are shown once and referred to afterwards."""
_SUMMARY = 140
"""Characters of input and of output in the summary of a run."""
_LARGEST_SHARE = 0.4
"""Most of the budget one run may take."""


Leaf: TypeAlias = tuple[str, str]
"""Path and text of one value."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What the analyst gets to see at first."""

    text: str
    """Runs in tree order; not yet fenced."""
    readings: tuple[RunReading, ...]
    """One per run, in tree order; the shares sum to 1."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return all(reading.extent == "whole" for reading in self.readings)


class Handles:
    """Short names of runs, `R1`, `R2`, … in tree order, and back."""

    def __init__(self, trace: Trace) -> None:
        self._runs = {f"R{number}": run for number, run in enumerate(trace.runs, start=1)}
        self._names = {run.run_id: name for name, run in self._runs.items()}

    def name(self, run_id: str | None) -> str:
        """The handle of a run; `-` when the trace has none of that id."""
        return self._names.get(run_id or "", "-")

    def run(self, handle: str) -> Run | None:
        """The run of a handle, written as it may be; None when there is none."""
        return self._runs.get(handle.strip().strip("[]`'\"").upper())

    def __len__(self) -> int:
        return len(self._runs)


@dataclass(slots=True)
class _Page:
    """What has been written so far."""

    handles: Handles
    left: int
    """Bytes that may still be written."""
    leaves: Mapping[str, Sequence[Leaf]]
    """Values of each run, redacted, by run id."""
    seen: dict[str, str] = field(default_factory=dict)
    """Where each long value was shown, by value."""


def summarise(trace: Trace, handles: Handles, focus: Sequence[str], tokens: int) -> Digest:
    """The digest of a trace.

    Args:
        trace: any trace, also one without runs.
        handles: of the same trace.
        focus: ids of runs that must be read, e.g. those of signals, most important first.
        tokens: estimated size of the text at most.
    """
    budget = tokens * BYTES_PER_TOKEN
    leaves = {run.run_id: _values(run) for run in trace.runs}
    page = _Page(handles, budget, leaves)
    blocks: dict[str, str] = {}
    extents: dict[str, str] = {}
    for run in _by_importance(trace, focus):
        block, extent = _fitting(run, page, int(budget * _LARGEST_SHARE))
        extents[run.run_id] = extent
        if block:
            blocks[run.run_id] = block
            page.left -= len(block.encode("utf-8", "replace")) + 1
    shown = [blocks[run.run_id] for run in trace.runs if run.run_id in blocks]
    missing = len(trace.runs) - len(shown)
    if missing:
        shown.append(f"[{missing} more runs are not shown; search_trace finds text in them]")
    return Digest("\n".join(shown), _readings(leaves, extents))


def describe_run(run: Run, handles: Handles) -> str:
    """A run as text: one line of facts, then one line per value, secrets redacted."""
    lines = [_headline(run, handles)]
    lines += [f"  {path}: {text}" for path, text in _values(run)]
    return "\n".join(lines)


def _shown(run: Run, page: _Page, limit: int | None) -> str:
    """A run for the digest: long values shown before are referred to, others cut to a limit."""
    lines = [_headline(run, page.handles)]
    leaves = page.leaves[run.run_id]
    kept = leaves if limit is None else leaves[:_MAX_LEAVES]
    for path, text in kept:
        if len(text) >= _REPEATED and text in page.seen:
            lines.append(f"  {path}: [same text as {page.seen[text]}]")
        else:
            lines.append(f"  {path}: {_clipped(text, limit)}")
    if len(kept) < len(leaves):
        lines.append(f"  [{len(leaves) - len(kept)} more values; read_run shows them]")
    return "\n".join(lines)


def _fitting(run: Run, page: _Page, largest: int) -> tuple[str, str]:
    """The fullest form of a run that fits, and its extent; an empty text when none does."""
    room = min(page.left, largest)
    whole = _shown(run, page, None)
    if len(whole.encode("utf-8", "replace")) < room:
        for path, text in page.leaves[run.run_id]:
            if len(text) >= _REPEATED:
                page.seen.setdefault(text, f"{page.handles.name(run.run_id)} {path}")
        return whole, "whole"
    for limit in _LEAF_LIMITS:
        part = _shown(run, page, limit)
        if len(part.encode("utf-8", "replace")) < room // 2:
            return part, "part"
    summary = _summary(run, page)
    if len(summary.encode("utf-8", "replace")) < page.left:
        return summary, "summary"
    return "", "skipped"


def _by_importance(trace: Trace, focus: Sequence[str]) -> list[Run]:
    """Signals' runs, failed ones, root, last and first model calls, slowest, then the rest."""
    wanted = [run for run_id in focus if (run := trace.run(run_id))]
    wanted += [run for run in trace.runs if run.is_failed]
    if trace.root:
        wanted.append(trace.root)
    models = [run for run in trace.runs if run.kind is RunKind.LLM]
    wanted += [*reversed(models[-2:]), *models[:1]]
    evidence = (RunKind.TOOL, RunKind.RETRIEVER)
    wanted += [run for run in trace.runs if run.kind in evidence]
    wanted += sorted(trace.runs, key=lambda run: -(run.duration_ms or 0))[:3]
    wanted += [*models, *trace.runs]
    return list({run.run_id: run for run in wanted}.values())


def _headline(run: Run, handles: Handles) -> str:
    facts = [
        handles.name(run.run_id),
        str(run.kind or run.native_kind or "run"),
        json.dumps(run.name or "", ensure_ascii=False),
        f"parent={handles.name(run.parent_id)}",
        f"status={run.status or 'unknown'}",
    ]
    if run.duration_ms is not None:
        facts.append(f"{run.duration_ms:.0f} ms")
    if run.model_responded or run.model_requested:
        facts.append(f"model={run.model_responded or run.model_requested}")
    if run.usage and run.usage.total is not None:
        facts.append(f"tokens={run.usage.total}")
    return " ".join(facts)


def _values(run: Run) -> list[Leaf]:
    """What is shown of a run, redacted."""
    shown: dict[str, Json] = {"inputs": run.inputs, "outputs": run.outputs}
    if run.error:
        shown["error"] = {
            "type": run.error.type,
            "message": run.error.message,
            "stack": run.error.stack,
        }
    shown |= {"params": run.params, "reasoning": run.reasoning}
    present = {key: encode(value) for key, value in shown.items() if value not in (None, "", {})}
    return list(_leaves(redact(present)[0]))


def _leaves(value: Json, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every scalar and every empty list or object, as (path, text)."""
    if depth < MAX_DEPTH and isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str):
        yield path, value
    elif value is not None:
        yield path, json.dumps(value, ensure_ascii=False, default=str)


def _clipped(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    head, tail = text[: limit * 2 // 3], text[-(limit // 3) :]
    return f"{head} [… {len(text) - len(head) - len(tail)} characters left out …] {tail}"


def _summary(run: Run, page: _Page) -> str:
    parts = [_headline(run, page.handles)]
    for key in ("inputs", "outputs"):
        texts = (t for path, t in page.leaves[run.run_id] if path.startswith(key) and t.strip())
        if first := next(texts, ""):
            parts.append(f"{key}: {_clipped(' '.join(first.split()), _SUMMARY)}")
    return " | ".join(parts)


def _readings(
    leaves: Mapping[str, Sequence[Leaf]], extents: Mapping[str, str]
) -> tuple[RunReading, ...]:
    sizes = {key: sum(len(text) for _, text in values) + 1 for key, values in leaves.items()}
    total = sum(sizes.values())
    return tuple(RunReading(key, extents[key], size / total) for key, size in sizes.items())
