"""Takes in traces made elsewhere: files of any format an adapter reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Any

from refinery import plugins
from refinery.errors import InputError, PartialError, RefineryError, TraceFormatError
from refinery.model.merge import OURS
from refinery.model.trace import Feedback, Trace
from refinery.ports import Indexing
from refinery.workflows.wiring import Workspace

MAX_FILES = 10_000
"""Most files looked at inside one folder."""

FILES_OF = {"langsmith": "langsmith_files"}
"""Sources whose files have an adapter beside the one that asks the service."""

Labelled = tuple[Trace, tuple[Feedback, ...]]


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
    notes: tuple[str, ...] = ()
    """What had to be assumed, for people."""


def import_files(
    workspace: Workspace,
    paths: Sequence[Path],
    format_name: str | None = None,
    timezone: tzinfo | None = None,
) -> list[FileReport]:
    """Import files and stores, each whole or not at all; one report each, in order.

    A folder is a store when an adapter recognises it, else every file in it that one recognises
    is imported.

    Args:
        workspace: whose store takes the traces.
        paths: files and folders.
        format_name: the adapter to use; None: the one that recognises each.
        timezone: zone of times that name none; None: what each source assumes, as its notes say.

    Raises:
        RefineryError: the only file given could not be imported.
        PluginError: no adapter is named `format_name`.
    """
    if format_name is not None:
        _file_adapter(format_name)
    reports = [
        report for path in paths for report in _import_path(workspace, path, format_name, timezone)
    ]
    if isinstance(workspace.store, Indexing) and any(report.error is None for report in reports):
        workspace.store.index()  # now, that the first search need not
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


def _import_path(
    workspace: Workspace, path: Path, format_name: str | None, timezone: tzinfo | None
) -> Iterator[FileReport]:
    """What a path names: one file or store, or what a folder holds."""
    try:
        chosen = [(path, format_name or _recognised(path))]
    except RefineryError as error:
        if not path.is_dir():
            yield FileReport(str(path), format_name, error=error)
            return
        chosen = list(_held(path))
        if not chosen:
            yield FileReport(str(path), format_name, error=error)
            return
    for place, name in chosen:
        yield _import_one(workspace, place, name, timezone)


def _held(folder: Path, depth: int = 0) -> Iterator[tuple[Path, str]]:
    """Files and stores inside a folder that an adapter recognises, in order of their names."""
    if depth > 6:
        return
    for number, path in enumerate(sorted(folder.iterdir())):
        if number >= MAX_FILES or path.is_symlink():
            continue
        try:
            yield path, _recognised(path)
        except RefineryError:
            if path.is_dir():
                yield from _held(path, depth + 1)


def _import_one(
    workspace: Workspace, path: Path, chosen: str, timezone: tzinfo | None
) -> FileReport:
    try:
        found = list(_labelled(_file_adapter(chosen), path, timezone))
        if not found:
            raise TraceFormatError(f"{path} holds no trace", hint="check the file")
    except RefineryError as error:
        return FileReport(str(path), chosen, error=error)
    if read_blobs := getattr(_file_adapter(chosen), "read_blobs", None):
        for trace_id, content in read_blobs(path):
            workspace.store.put_blob(content, trace_id)
    return _write(workspace, FileReport(str(path), chosen, notes=_notes(found)), found)


def _write(workspace: Workspace, report: FileReport, found: list[Labelled]) -> FileReport:
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


def _notes(found: Sequence[Labelled]) -> tuple[str, ...]:
    zones: set[str] = set()
    for trace, _ in found:
        ours = (trace.root.metadata or {}).get(OURS) if trace.root else None
        if isinstance(ours, dict) and ours.get("assumed_timezone"):
            zones.add(str(ours["assumed_timezone"]))
    return tuple(
        f"times without a zone were taken as {zone}; --timezone says otherwise"
        for zone in sorted(zones)
    )


def _labelled(adapter: Any, path: Path, timezone: tzinfo | None) -> Iterator[Labelled]:
    options = (timezone,) if getattr(adapter, "NEEDS_TIMEZONE", False) else ()
    read_labelled = getattr(adapter, "read_labelled", None)
    if read_labelled is not None:
        yield from read_labelled(path, *options)
    else:
        yield from ((trace, ()) for trace in adapter.read(path, *options))


def _file_adapter(name: str) -> Any:
    adapter = plugins.load("adapters", FILES_OF.get(name, name))
    if not hasattr(adapter, "read"):
        raise InputError(
            f"the adapter {name!r} reads a service, not files",
            hint=f"one of: {', '.join(_file_formats())}; to fetch, use `refinery fetch`",
        )
    return adapter


def _file_formats() -> list[str]:
    """Names of the file adapters, those last that take what no other format claims."""
    found = {name: plugins.load("adapters", name) for name in plugins.names("adapters")}
    readers = [name for name, adapter in found.items() if hasattr(adapter, "read")]
    return sorted(readers, key=lambda name: getattr(found[name], "IS_GENERAL", False))


def _recognised(path: Path) -> str:
    from refinery.adapters._shared import reading

    head = b"" if path.is_dir() else reading.head(path)
    for name in _file_formats():
        if plugins.load("adapters", name).recognise(head, path):
            return name
    what = "holds nothing" if path.is_dir() else "is in no format"
    raise TraceFormatError(
        f"{path} {what} that can be read",
        hint=f"say which format it is with --from: {', '.join(_file_formats())}",
    )
