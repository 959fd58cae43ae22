"""LangSmith's runs in files: exports of its API, and uploads its client could not send.

Read are: a JSON list of runs, `{"runs": […]}` as `POST /runs/query` answers (v2: `items`), one run
a line, and `trace_*.json`, which the SDK leaves in `LANGSMITH_FAILED_TRACES_DIR` (`{"version",
"endpoint", "headers", "body_base64"}`, the body being the request that failed). `write` makes the
second form; `langsmith_documents` says how it holds what LangSmith has no field for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from refinery.adapters._shared import langsmith_documents, reading
from refinery.adapters._shared.langsmith_runs import to_run
from refinery.adapters._shared.langsmith_tree import NO_PROJECT, TraceShape, public_id
from refinery.errors import TraceFormatError
from refinery.model.codec import decode, encode
from refinery.model.merge import merge
from refinery.model.trace import Feedback, Json, Run, Trace
from refinery.model.walk import in_tree_order
from refinery.safety.redact import redact

SOURCE = "langsmith"
_ABOUT_CHARS = 8_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOURCES = ("human", "llm", "code", "api")
Labelled = tuple[Trace, tuple[Feedback, ...]]


@dataclass(slots=True)
class _Gathered:
    """What a file says of one trace."""

    project: str | None = None
    source: str = SOURCE
    runs: dict[str, Run] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)


def recognise(head: bytes, path: Path) -> bool:
    """Whether it begins like runs of LangSmith, or like a failed upload."""
    start = head.decode("utf-8-sig", "replace").lstrip()[:_ABOUT_CHARS]
    if not start.startswith(("{", "[")):
        return False
    if '"body_base64"' in start and '"endpoint"' in start:
        return True
    return '"run_type"' in start and ('"trace_id"' in start or '"dotted_order"' in start)


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file, in order of their first run; see `read_labelled`."""
    return (trace for trace, _ in read_labelled(path))


def read_labelled(path: Path) -> Iterator[Labelled]:
    """The traces of a file with their feedback; the whole file is read before the first.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it holds something else, or a run without an id.
    """
    whole = _whole(path)
    if isinstance(whole, Mapping) and "body_base64" in whole:
        from refinery.adapters._shared.langsmith_ingest import failed_upload

        found: dict[str, _Gathered] = {}
        upload = failed_upload(whole, str(path))
        for run in upload.runs:
            _join(found.setdefault(run.trace_id, _Gathered(upload.project)), run)
    else:
        found = _from_export(redact(whole)[0], path)
    for trace_id, item in found.items():
        if item.runs:
            runs_in_order = in_tree_order(list(item.runs.values()))
            yield Trace(trace_id, runs_in_order, item.source, item.project), tuple(item.feedback)


def read_blobs(path: Path) -> Iterator[tuple[str, bytes]]:
    """Attachments of a failed upload, each with the id of its trace; exports hold none.

    Raises:
        InputError: the file is missing or cannot be read.
        TraceFormatError: it holds something else.
    """
    whole = _whole(path)
    if isinstance(whole, Mapping) and "body_base64" in whole:
        from refinery.adapters._shared.langsmith_ingest import failed_upload

        yield from failed_upload(whole, str(path)).blobs


def _whole(path: Path) -> Json:
    """The file's JSON; one value a line counts as a list."""
    text = reading.text(path)
    try:
        return reading.parse(text, str(path))
    except TraceFormatError:
        if "\n" not in text.strip():
            raise
        return [value for _, value in reading.lines(path)]


def _from_export(whole: Json, path: Path) -> dict[str, _Gathered]:
    about = whole if isinstance(whole, Mapping) else {}
    listed = about.get("runs", about.get("items")) if about else whole
    if about and listed is None:
        listed = [about]
    if not isinstance(listed, list):
        raise TraceFormatError(f"{path} holds no list of runs", hint="export the runs again")
    names = _project_names(about)
    sources = about.get("refinery")
    found: dict[str, _Gathered] = {}
    for number, item in enumerate(listed, start=1):
        if not isinstance(item, Mapping):
            raise TraceFormatError(f"{path} run {number} is no object", hint="correct the file")
        if not isinstance(item.get("id"), str):
            raise TraceFormatError(
                f"{path} run {number} has no `id`", hint="are these runs of LangSmith?"
            )
        run = to_run({**item, "trace_id": _trace_id(item)})
        gathered = found.setdefault(run.trace_id, _Gathered())
        gathered.project = gathered.project or _project(item, names)
        if isinstance(sources, Mapping):
            gathered.source = str(sources.get(public_id(run.trace_id), gathered.source))
        _join(gathered, run)
    for value in about.get("feedback") or ():
        if isinstance(value, Mapping) and (said := _feedback(value, found)):
            found[said.trace_id].feedback.append(said)
    return found


def _trace_id(item: Mapping[str, Json]) -> Json:
    """The trace's id; old exports name it only as the first segment of the tree key."""
    order = str(item.get("dotted_order") or "").partition(".")[0].partition("Z")[2]
    return item.get("trace_id") or order or item.get("id")


def _join(gathered: _Gathered, run: Run) -> None:
    known = gathered.runs.get(run.run_id)
    gathered.runs[run.run_id] = merge(known, run) if known else run


def _project_names(about: Mapping[str, Json]) -> dict[str, str]:
    listed = about.get("sessions")
    return {
        str(one.get("id")): str(one.get("name"))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping) and one.get("name")
    }


def _project(item: Mapping[str, Json], names: Mapping[str, str]) -> str | None:
    name = item.get("session_name") or names.get(str(item.get("session_id")))
    return str(name) if name and name != NO_PROJECT else None


def _feedback(value: Mapping[str, Json], found: Mapping[str, _Gathered]) -> Feedback | None:
    """Feedback as we wrote it, else as LangSmith's API writes it."""
    if isinstance(value.get("refinery"), Mapping):
        try:
            said = decode(Feedback, value["refinery"])
        except ValueError:
            return None
        return said if said.trace_id in found else None
    run_id = str(value.get("run_id") or "")
    trace_id = str(value.get("trace_id") or "")
    owners = [key for key, item in found.items() if run_id in item.runs or key == trace_id]
    if not owners:
        return None
    origin = value.get("feedback_source")
    kind = str(origin.get("type")) if isinstance(origin, Mapping) else "api"
    score = value.get("score")
    return Feedback(
        feedback_id=str(value.get("id") or f"{run_id}:{value.get('key')}"),
        trace_id=owners[0],
        run_id=run_id or None,
        key=str(value.get("key") or "feedback"),
        score=float(score) if isinstance(score, int | float) else None,
        value=value.get("value"),
        comment=value["comment"] if isinstance(value.get("comment"), str) else None,
        correction=value.get("correction"),
        source=kind if kind in _SOURCES else "api",
        created_ns=_ns(value.get("created_at")),
    )


def _ns(value: Json) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def write(labelled: Iterable[tuple[Trace, Iterable[Feedback]]], path: Path) -> int:
    """Write traces as LangSmith's API answers them, for `read_labelled`; returns how many.

    Raises:
        OSError: the file cannot be written.
    """
    sources: dict[str, str] = {}
    said: list[Json] = []
    with path.open("w", encoding="utf-8") as file:
        file.write('{"runs": [')
        separator = "\n"
        for trace, feedback in labelled:
            given = tuple(feedback)
            sources[public_id(trace.trace_id)] = trace.source
            said += [_document(item) for item in given]
            shape = TraceShape(trace.runs)
            for run in trace.runs:
                item = langsmith_documents.to_v1(run, trace.project, (), shape=shape)
                item["session_name"] = trace.project
                file.write(separator + json.dumps(item, ensure_ascii=False))
                separator = ",\n"
        file.write('\n], "cursors": {"next": null}, "feedback": ')
        json.dump(said, file, ensure_ascii=False)
        file.write(f', "refinery": {json.dumps(sources)}}}\n')
    return len(sources)


def _document(item: Feedback) -> dict[str, Json]:
    created = _EPOCH + timedelta(microseconds=max(0, item.created_ns) // 1000)
    return {
        "id": public_id(item.feedback_id),
        "run_id": public_id(item.run_id or item.trace_id),
        "trace_id": public_id(item.trace_id),
        "key": item.key,
        "score": item.score,
        "value": item.value,
        "comment": item.comment,
        "correction": item.correction,
        "feedback_source": {"type": item.source},
        "created_at": created.isoformat(),
        "refinery": encode(item),
    }
