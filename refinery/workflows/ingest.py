"""Takes in traces made elsewhere: files of any format an adapter reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinery import plugins
from refinery.errors import InputError, PartialError, RefineryError, TraceFormatError
from refinery.model.trace import Feedback, Trace
from refinery.workflows.wiring import Workspace


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file."""

    path: str
    format: str | None
    """The adapter that read it; None when none recognised it."""
    trace_ids: tuple[str, ...] = ()
    """In the order of the file; also those the store held already."""
    runs: int = 0
    new_runs: int = 0
    labels: int = 0
    """Traces the source judged."""
    error: RefineryError | None = None
    """Why nothing of the file was imported."""


def import_files(
    workspace: Workspace, paths: Sequence[Path], format_name: str | None = None
) -> list[FileReport]:
    """Import files, each whole or not at all; one report a file, in order.

    Args:
        workspace: whose store takes the traces.
        paths: the files.
        format_name: the adapter to use; None: the one that recognises each file.

    Raises:
        RefineryError: the only file given could not be imported.
        PluginError: no adapter is named `format_name`.
    """
    if format_name is not None:
        _file_adapter(format_name)
    reports = [_import_one(workspace, path, format_name) for path in paths]
    if len(reports) == 1 and reports[0].error:
        raise reports[0].error
    return reports


def failure_of(reports: Sequence[FileReport]) -> RefineryError | None:
    """The error of a whole import: None when all went well, `PartialError` when some did."""
    failed = [report for report in reports if report.error]
    if not failed:
        return None
    if len(failed) == len(reports):
        return TraceFormatError("none of the files could be imported", hint=str(failed[0].error))
    return PartialError(
        f"{len(failed)} of {len(reports)} files could not be imported",
        hint=str(failed[0].error),
    )


def _import_one(workspace: Workspace, path: Path, format_name: str | None) -> FileReport:
    chosen = format_name
    try:
        chosen = format_name or _recognised(path)
        adapter = _file_adapter(chosen)
        found = list(_labelled(adapter, path))
        if not found:
            raise TraceFormatError(f"{path} holds no trace", hint="check the file")
    except RefineryError as error:
        return FileReport(str(path), chosen, error=error)
    return _write(workspace, FileReport(str(path), chosen), found)


def _write(
    workspace: Workspace, report: FileReport, found: list[tuple[Trace, tuple[Feedback, ...]]]
) -> FileReport:
    """Store the traces of a file one by one, so that other writers wait only briefly."""
    new_runs = 0
    for trace, _ in found:
        new_runs += workspace.store.write_runs(
            trace.runs, source=trace.source, project=trace.project
        )
    workspace.store.write_feedback([item for _, said in found for item in said])
    return replace(
        report,
        trace_ids=tuple(trace.trace_id for trace, _ in found),
        runs=sum(len(trace.runs) for trace, _ in found),
        new_runs=new_runs,
        labels=sum(any(item.key == "label" for item in said) for _, said in found),
    )


def _labelled(adapter: Any, path: Path) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]:
    read_labelled = getattr(adapter, "read_labelled", None)
    if read_labelled is not None:
        yield from read_labelled(path)
    else:
        yield from ((trace, ()) for trace in adapter.read(path))


def _file_adapter(name: str) -> Any:
    adapter = plugins.load("adapters", name)
    if not hasattr(adapter, "read"):
        raise InputError(
            f"the adapter {name!r} reads a service, not files",
            hint=f"one of: {', '.join(_file_formats())}; to fetch, use `refinery fetch`",
        )
    return adapter


def _file_formats() -> list[str]:
    return [n for n in plugins.names("adapters") if hasattr(plugins.load("adapters", n), "read")]


def _recognised(path: Path) -> str:
    from refinery.adapters._shared import reading

    head = reading.head(path)
    for name in _file_formats():
        if plugins.load("adapters", name).recognise(head, path):
            return name
    raise TraceFormatError(
        f"{path} is in no format that can be read",
        hint=f"say which one it is with --from: {', '.join(_file_formats())}",
    )
