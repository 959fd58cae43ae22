"""How a trace looks: as JSON, as a tree, and one run in full."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refinery.cli import output, run_view
from refinery.model import messages
from refinery.model.codec import encode, encode_run
from refinery.model.trace import Json, Label, Run, RunKind, Trace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

_FIXED = ("run_id", "parent_id", "name", "kind", "status", "error", "inputs", "outputs", "usage")
"""Keys every run of the JSON document has, null when the source did not say."""

_MARKS = {"ok": "✓", "error": "✗", "running": "…", "cancelled": "○"}
_COLOURS = {"ok": "green", "error": "red"}
_MAX_VALUE = 4_000
_MAX_TREE_DEPTH = 60
"""Deeper runs are drawn at this depth: terminals are not wider, and rich draws recursively."""


def to_document(
    trace: Trace, label: Label | None, runs: Sequence[Run] | None = None
) -> dict[str, Any]:
    """The trace as the JSON of `refinery show`, which `refinery import` also reads."""
    root = trace.root
    about = {
        "trace_id": trace.trace_id,
        "name": root.name if root else None,
        "status": trace.status,
        "complete": trace.is_complete,
        "source": trace.source,
        "project": trace.project,
        "start": output.iso_time(root.start_ns if root else None),
        "end": output.iso_time(root.end_ns if root else None),
        "errors": sum(run.is_failed for run in trace.runs),
        "session_id": root.session_id if root else None,
        "user_id": root.user_id if root else None,
        "label": encode(label),
    }
    return {"trace": about, "runs": [_run_document(run) for run in runs or trace.runs]}


def _run_document(run: Run) -> dict[str, Json]:
    return {**dict.fromkeys(_FIXED), **encode_run(run)}


def show_trace(trace: Trace, label: Label | None, screen: "Console") -> None:
    """Draw a trace: what it was asked and answered, and its runs as a tree."""
    root = trace.root
    _line(screen, f"Trace  {trace.trace_id}")
    _line(screen, f"From   {trace.source}{f', project {trace.project}' if trace.project else ''}")
    if root:
        _line(screen, f"Start  {output.local_time(root.start_ns)}")
    if label:
        _line(
            screen,
            f"Label  {label.outcome}{f': {label.expectation}' if label.expectation else ''}",
        )
    if not trace.is_complete:
        _line(screen, "Note   not complete: some runs have not ended or not arrived")
    screen.print(_tree(trace))
    if root:
        _line(screen, "")
        _show_side(screen, "Asked", messages.messages_in(root), root.inputs)
        _show_side(screen, "Answered", messages.messages_out(root), root.outputs)


def show_run(run: Run, screen: "Console") -> None:
    """Draw one run in full: times, usage, messages or values, and its error."""
    _line(screen, f"Run    {run.run_id}")
    _line(screen, _summary(run))
    if run.model_requested:
        _line(screen, f"Model  {run.model_requested}")
    for line in run_view.details(run):
        _line(screen, line)
    _show_side(screen, "In", messages.messages_in(run), run.inputs)
    _show_side(screen, "Out", messages.messages_out(run), run.outputs)
    if run.error:
        _line(screen, f"\nError  {run.error.type}: {run.error.message}".replace("  : ", "  "))
        _line(screen, run.error.stack)
    if run.metadata:
        _line(screen, f"\nMetadata\n{_json(run.metadata)}")


def _tree(trace: Trace) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    top = Tree(Text(f"{len(trace.runs)} runs"), hide_root=False)
    drawn: dict[str, tuple[Tree, int]] = {}
    for run in trace.runs:  # tree order: a parent comes before its children
        above, depth = drawn.get(run.parent_id or "", (top, 0))
        colour = _COLOURS.get(run.status or "", "")
        branch = above.add(output.marked(output.safe(_summary(run)), colour))
        drawn[run.run_id] = (branch, depth + 1) if depth < _MAX_TREE_DEPTH else (above, depth)
        if run.error:
            reason = run.error.message.strip().split("\n")[0]
            kind = f"{run.error.type}: " if run.error.type else ""
            branch.add(Text(output.safe(_short(kind + reason, 160)), style="red"))
    return top


def _summary(run: Run) -> str:
    """One line: mark, kind, name, id, duration, tokens."""
    parts = [_MARKS.get(run.status or "", "?"), run.kind or "run", run.name or "(no name)"]
    parts.append(f"[{run.run_id[:18]}]")
    if run.duration_ms is not None:
        parts.append(_duration(run.duration_ms))
    usage = run.usage
    if usage and run.kind in (RunKind.LLM, RunKind.EMBEDDING):
        parts.append(f"{_count(usage.input)} in / {_count(usage.output)} out tokens")
    if run.evaluations:
        parts.append(run_view.tally(run.evaluations))
    return _short(" ".join(parts), 300).replace("\n", " ")


def _duration(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if abs(ms) >= 1000 else f"{ms:.0f} ms"


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)


def _show_side(
    screen: "Console", title: str, found: tuple[messages.Message, ...], value: Json
) -> None:
    """Print messages as a conversation, anything else as JSON."""
    if value is None:
        return
    _line(screen, f"\n{title}")
    if not found:
        _line(screen, _short(value if isinstance(value, str) else _json(value), _MAX_VALUE))
        return
    for message in found:
        speaker = f"{message.role} ({message.name})" if message.name else message.role
        if message.text:
            _line(screen, f"  {speaker}: {_indent(_short(message.text, _MAX_VALUE))}")
        for call in message.tool_calls:
            arguments = json.dumps(encode(call.arguments), ensure_ascii=False)
            _line(screen, f"  {speaker} calls {call.name}({_short(arguments, _MAX_VALUE)})")


def _line(screen: "Console", text: str) -> None:
    if text:
        screen.print(output.safe(text))


def _indent(text: str) -> str:
    return text.replace("\n", "\n    ")


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def _json(value: Json) -> str:
    return json.dumps(encode(value), ensure_ascii=False, indent=2)
