"""Refinery's own export: one JSON object a line.

A line holds a whole trace, `{"trace": {…}, "runs": […], "feedback": […]}` (what `refinery show
--json` prints is such a line), or one run, `{"run": {…}, "source": …, "project": …}` as recorders
write it, or the bare run. Several lines about one run are joined by `model.merge`. What runs refer
to (attachments, request bodies) stands in the trace's line under `blobs`, base64 by reference.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinery.adapters._shared import reading
from refinery.errors import TraceFormatError
from refinery.model.codec import decode, decode_run, encode, encode_run
from refinery.model.merge import merge
from refinery.model.trace import Feedback, Json, Run, Trace
from refinery.model.walk import in_tree_order
from refinery.safety.redact import redact

_ABOUT_CHARS = 4_000
"""Characters of a file's beginning in which another format would show itself."""
_NAMED_WITHIN = 300
"""Characters in which a line of ours names the trace's id."""
_FIRST_KEYS = ("run", "trace", "run_id", "trace_id", "schema_version")


@dataclass(slots=True)
class _Gathered:
    """What the lines read so far say of one trace."""

    source: str = "jsonl"
    project: str | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)


def recognise(head: bytes, path: Path) -> bool:
    """Whether the file begins with an object that looks like one of our lines."""
    start = head.decode("utf-8-sig", "replace").lstrip()
    if not start.startswith("{"):
        return False
    key = start[1:200].lstrip().partition(":")[0].strip().strip('"')
    # Other exports hold a `trace` or a `run` too, but name its id or its kind another way.
    is_foreign = '"run_type"' in start[:_ABOUT_CHARS]
    if len(start) > _NAMED_WITHIN:
        is_foreign = is_foreign or '"run_id"' not in start
    if key == "trace" and len(start) > _NAMED_WITHIN:
        is_foreign = is_foreign or '"trace_id"' not in start[:_NAMED_WITHIN]
    return key in _FIRST_KEYS and not is_foreign


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in order of their first line; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]:
    """The traces of a file with their feedback; the whole file is read before the first.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: a line is malformed; its number is in the message.
    """
    gathered: dict[str, _Gathered] = {}
    for number, line in reading.lines(path):
        try:
            _take(redact(line)[0], gathered)
        except (ValueError, RecursionError) as error:
            raise TraceFormatError(
                f"{path} line {number}: {error}",
                hint="each line must hold a trace with its runs, or one run",
            ) from error
    for trace_id, found in gathered.items():
        runs = in_tree_order(list(found.runs.values()))
        yield Trace(trace_id, runs, found.source, found.project), tuple(found.feedback)


def read_blobs(path: Path) -> Iterator[tuple[str, bytes]]:
    """What the runs of a file refer to, each with the id of its trace.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: a line is malformed.
    """
    for number, line in reading.lines(path):
        held = line.get("blobs") if isinstance(line, Mapping) else None
        if not isinstance(held, Mapping):
            continue
        about = line.get("trace")
        trace_id = about.get("trace_id") if isinstance(about, Mapping) else None
        for text in held.values():
            try:
                yield str(trace_id), base64.b64decode(text, validate=True)
            except (ValueError, TypeError) as error:
                raise TraceFormatError(
                    f"{path} line {number}: a blob is not base64", hint="export it again"
                ) from error


def write(
    labelled: Iterable[tuple[Trace, Iterable[Feedback]]],
    path: Path,
    blob: Callable[[str], bytes | None] | None = None,
) -> int:
    """Write traces and their feedback, one a line, for `read_labelled`; returns how many.

    Args:
        labelled: traces with what was said of them.
        path: the file; one that is there is replaced.
        blob: the bytes behind a reference; None: references stay, without their bytes.

    Raises:
        OSError: the file cannot be written.
    """
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for trace, feedback in labelled:
            line: dict[str, Json] = {
                "trace": {
                    "trace_id": trace.trace_id,
                    "source": trace.source,
                    "project": trace.project,
                },
                "runs": [encode_run(run) for run in trace.runs],
                "feedback": [encode(item) for item in feedback],
            }
            if blob and (held := _blobs(trace, blob)):
                line["blobs"] = held
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


def _blobs(trace: Trace, blob: Callable[[str], bytes | None]) -> dict[str, str]:
    references = {
        reference
        for run in trace.runs
        for reference in (run.raw_ref, *map(_reference, run.attachments or ()))
        if isinstance(reference, str)
    }
    found = {reference: blob(reference) for reference in sorted(references)}
    return {
        reference: base64.b64encode(content).decode("ascii")
        for reference, content in found.items()
        if content is not None
    }


def _reference(attachment: Json) -> Json:
    return attachment.get("reference") if isinstance(attachment, Mapping) else None


def _take(line: Json, gathered: dict[str, _Gathered]) -> None:
    """Add what one line says.

    Raises:
        ValueError: the line is not one of our forms.
    """
    if not isinstance(line, Mapping):
        raise ValueError(f"expected an object, not {type(line).__name__}")
    if "runs" in line:
        _take_trace(line, gathered)
        return
    run = decode_run(_checked_run(line.get("run", line), None))
    about = line if "run" in line else {}
    found = gathered.setdefault(run.trace_id, _Gathered())
    _describe(found, about)
    _join(found, run)


def _take_trace(line: Mapping[str, Any], gathered: dict[str, _Gathered]) -> None:
    about = line.get("trace")
    if not isinstance(about, Mapping) or not _is_id(about.get("trace_id")):
        raise ValueError("`trace` must be an object with a `trace_id`")
    if not isinstance(line["runs"], list) or not line["runs"]:
        raise ValueError("`runs` must be a list that is not empty")
    trace_id = about["trace_id"]
    runs = [decode_run(_checked_run(run, trace_id)) for run in line["runs"]]
    said = line.get("feedback") or []
    if not isinstance(said, list):
        raise ValueError("`feedback` must be a list")
    feedback = [decode(Feedback, item) for item in said]
    found = gathered.setdefault(trace_id, _Gathered())
    _describe(found, about)
    found.feedback += feedback
    for run in runs:
        _join(found, run)


def _checked_run(run: Json, trace_id: str | None) -> dict[str, Json]:
    """The run as an object with both ids."""
    if not isinstance(run, Mapping):
        raise ValueError(f"a run must be an object, not {type(run).__name__}")
    whole = {"trace_id": trace_id, **run} if trace_id else dict(run)
    for name in ("run_id", "trace_id"):
        if not _is_id(whole.get(name)):
            raise ValueError(f"a run has no usable `{name}`")
    if trace_id and whole["trace_id"] != trace_id:
        raise ValueError(f"run {whole['run_id']} belongs to another trace")
    return whole


def _is_id(value: Json) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _describe(found: _Gathered, about: Mapping[str, Any]) -> None:
    if isinstance(about.get("source"), str):
        found.source = about["source"]
    if isinstance(about.get("project"), str):
        found.project = about["project"]


def _join(found: _Gathered, run: Run) -> None:
    known = found.runs.get(run.run_id)
    found.runs[run.run_id] = merge(known, run) if known else run
