"""OpenTelemetry traces and logs: files of OTLP requests, and what a collector is sent.

A file holds one export request, a list of them, or one a line, in JSON or protobuf, packed by
gzip or not. Messages that GenAI instrumentations write into log records become inputs and outputs
of the runs they belong to. `write` makes files any OTLP reader understands and `read` turns back
into equal traces.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from refinery.adapters._shared import reading
from refinery.adapters._shared.otel import bodies, export, restore
from refinery.adapters._shared.otel.bodies import Signals
from refinery.adapters._shared.otel.requests import (
    SOURCE,
    batches_of_logs,
    batches_of_spans,
)
from refinery.errors import TraceFormatError
from refinery.model.merge import merge
from refinery.model.trace import Feedback, Run, Trace
from refinery.model.walk import in_tree_order
from refinery.ports import RunBatch
from refinery.safety.prefilter import suspects_anywhere

_JSON_HEAD = re.compile(
    rb'\s*[\[{].{0,2048}?"(?:resource_?[sS]pans|resource_?[lL]ogs)"\s*:\s*\[', re.DOTALL
)
_BARE_SPAN = re.compile(rb'"(?:startTimeUnixNano|start_time_unix_nano)"')
_PACKED_SPAN_IDS = (0x0A, 0x12)


def decode_traces(body: bytes, content_type: str, project: str | None = None) -> list[RunBatch]:
    """Runs of a request to `/v1/traces`, without secrets.

    Args:
        body: unpacked.
        content_type: of the request; empty counts as protobuf.
        project: named by the request's headers, stronger than the service's name.

    Raises:
        TraceFormatError: it cannot be read.
    """
    with _bounded():
        is_clean = not suspects_anywhere()(body)
    return batches_of_spans(bodies.spans_of(body, content_type), project, is_clean=is_clean)


def decode_logs(body: bytes, content_type: str, project: str | None = None) -> list[RunBatch]:
    """Partial runs of a request to `/v1/logs`, without secrets; see `decode_traces`.

    Raises:
        TraceFormatError: it cannot be read.
    """
    with _bounded():
        return batches_of_logs(bodies.logs_of(body, content_type), project)


def recognise(head: bytes, path: Path) -> bool:
    """Whether a file begins like an OTLP request, in JSON or protobuf."""
    if _JSON_HEAD.match(head):
        return True
    if head.lstrip()[:1] in (b"{", b"["):
        return b'"traceId"' in head[:2048] and _BARE_SPAN.search(head[:8192]) is not None
    return _looks_packed(head)


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in order of their first span; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]:
    """The traces of a file with the feedback our own export keeps beside them.

    The whole file is read before the first.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it is no OTLP; the line is in the message where there is one.
    """
    runs: dict[str, dict[str, Run]] = {}
    about: dict[str, tuple[str, str | None]] = {}
    feedback: dict[str, dict[str, Feedback]] = {}
    for signals in _signals(path):
        with _bounded():
            ours = restore.restored(signals.spans)
            batches = [*ours.batches, *batches_of_spans(ours.rest)]
            batches += batches_of_logs(signals.logs)
        for batch in batches:
            for run in batch.runs:
                found = runs.setdefault(run.trace_id, {})
                known = found.get(run.run_id)
                found[run.run_id] = merge(known, run) if known else run
                about.setdefault(run.trace_id, (batch.source, batch.project))
        for said in ours.feedback:
            feedback.setdefault(said.trace_id, {})[said.feedback_id] = said
    for trace_id, found in runs.items():
        source, project = about.get(trace_id, (SOURCE, None))
        trace = Trace(trace_id, in_tree_order(list(found.values())), source, project)
        yield trace, tuple(feedback.get(trace_id, {}).values())


def write(
    traces: Iterable[Trace | tuple[Trace, Iterable[Feedback]]],
    path: Path,
) -> int:
    """Write traces as OTLP JSON for `read` and any other reader; returns how many.

    A path ending in `.jsonl` gets one request a line, any other path one request.

    Args:
        traces: traces, or pairs of a trace and its feedback.
        path: overwritten when it exists.

    Raises:
        OSError: the file cannot be written.
    """
    is_lines = path.suffix == ".jsonl"
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("" if is_lines else '{"resourceSpans":[')
        for item in traces:
            trace, feedback = (item, ()) if isinstance(item, Trace) else item
            groups = export.resource_spans(trace, list(feedback))
            texts = [json.dumps(group, separators=(",", ":")) for group in groups]
            if is_lines:
                file.write('{"resourceSpans":[' + ",".join(texts) + "]}\n")
            else:
                file.write(("," if count else "") + ",\n".join(texts))
            count += 1
        file.write("" if is_lines else "]}\n")
    return count


@contextmanager
def _bounded() -> Iterator[None]:
    """Says so when values are nested deeper than the stack has room for.

    Raises:
        TraceFormatError: they are.
    """
    try:
        yield
    except RecursionError as error:
        raise TraceFormatError("nested too deeply", hint="send smaller values") from error


def _signals(path: Path) -> Iterator[Signals]:
    """What a file holds: as a whole, or line by line."""
    content = reading.content(path)
    if content.lstrip()[:1] not in (b"{", b"[", b"\xef"):
        yield _at(path, "", lambda: bodies.signals_of_protobuf(content))
        return
    lines = [(n, line) for n, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    try:
        whole = bodies.parse(content)
    except TraceFormatError:
        for number, line in lines:
            yield _at(path, f" line {number}", partial(_parsed_signals, line))
        return
    yield _at(path, "", lambda: bodies.signals_of(whole))


def _parsed_signals(line: bytes) -> Signals:
    return bodies.signals_of(bodies.parse(line))


def _at(path: Path, place: str, take: Callable[[], Signals]) -> Signals:
    """What `take` reads.

    Raises:
        TraceFormatError: it is no OTLP; the file and the place are in the message.
    """
    try:
        return take()
    except TraceFormatError as error:
        raise TraceFormatError(f"{path}{place}: {error}", hint=error.hint) from error


def _looks_packed(head: bytes) -> bool:
    """Whether bytes begin like a request in protobuf: field 1, its length, field 1 or 2."""
    if head[:1] != b"\n":
        return False
    at = 1
    while at < min(len(head), 6) and head[at] & 0x80:
        at += 1
    rest = head[at + 1 : at + 2]
    return bool(rest) and rest[0] in _PACKED_SPAN_IDS
