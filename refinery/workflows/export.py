"""Writes traces to files that other programs read, and that read back equal here."""

import inspect
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinery import plugins
from refinery.errors import InputError, NotFoundError
from refinery.model.trace import Feedback, Trace
from refinery.ports import TraceFilter
from refinery.workflows.ingest import FILES_OF
from refinery.workflows.wiring import Workspace

if TYPE_CHECKING:
    from refinery.workflows.export_markdown import Exported


def formats() -> list[str]:
    """Names of the formats that can be written."""
    found = plugins.names("adapters")
    return [name for name in found if hasattr(plugins.load("adapters", name), "write")]


def chosen_traces(workspace: Workspace, wanted: TraceFilter) -> list[str]:
    """Ids of the traces a filter matches, newest first.

    Raises:
        NotFoundError: none matches.
    """
    found = [summary.trace_id for summary in workspace.store.list_traces(wanted)]
    if not found:
        raise NotFoundError("no trace matches", hint="`refinery traces` lists them")
    return found


def export(workspace: Workspace, trace_ids: Sequence[str], format_name: str, target: Path) -> int:
    """Write traces to a file, whole or not at all; returns how many.

    Args:
        workspace: whose store holds them.
        trace_ids: which, in the order they are written.
        format_name: one of `formats`.
        target: the file; one that is there is replaced.

    Raises:
        InputError: the format cannot be written, or the file cannot.
    """
    adapter = _writer(format_name)
    options: dict[str, Any] = {}
    if "blob" in inspect.signature(adapter.write).parameters:
        options["blob"] = workspace.store.get_blob
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".refinery-") as folder:
            fresh = Path(folder) / "export"
            count: int = adapter.write(_labelled(workspace, trace_ids), fresh, **options)
            fresh.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}", hint="choose another file"
        ) from error
    return count


def export_markdown(workspace: Workspace, trace_ids: Sequence[str], max_tokens: int) -> "Exported":
    """Traces as markdown for a language model, at most so many tokens in all.

    Raises:
        InputError: the budget is too small to say anything.
    """
    from refinery.workflows import export_markdown as markdown
    from refinery.workflows.traces import label_of

    found = [
        (trace, label_of(workspace, trace.trace_id))
        for trace, _ in _labelled(workspace, trace_ids)
    ]
    return markdown.export_markdown(found, max_tokens)


def write_text(text: str, target: Path) -> None:
    """Write a text to a file, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".refinery-") as folder:
            fresh = Path(folder) / "export"
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}", hint="choose another file"
        ) from error


def _labelled(
    workspace: Workspace, trace_ids: Sequence[str]
) -> Iterator[tuple[Trace, list[Feedback]]]:
    for trace_id in trace_ids:
        trace = workspace.store.get_trace(trace_id)
        if trace is not None:  # deleted since it was listed
            yield trace, workspace.store.get_feedback(trace_id)


def _writer(name: str) -> Any:
    adapter = plugins.load("adapters", FILES_OF.get(name, name))
    if not hasattr(adapter, "write"):
        raise InputError(
            f"the format {name!r} can be read, not written",
            hint=f"one of: {', '.join(formats())}",
        )
    return adapter
