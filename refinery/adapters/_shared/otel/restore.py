"""Our own export, read back whole: files only, since a network may claim to be us."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from refinery.adapters._shared.otel.export import RUN, TRACE, trace_hex
from refinery.adapters._shared.otel.requests import SOURCE, without_secrets
from refinery.adapters._shared.otel.spans import SpanData
from refinery.model.codec import decode, decode_run
from refinery.model.trace import Feedback, Json, Run
from refinery.ports import RunBatch
from refinery.safety.redact import redact

_MAX_ID = 200


@dataclass(slots=True)
class Restored:
    """What our export says, and the spans that came from elsewhere."""

    batches: list[RunBatch] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    rest: list[SpanData] = field(default_factory=list)


def restored(spans: list[SpanData]) -> Restored:
    """Runs as they were when exported; spans that do not hold a whole run are left as they are."""
    found = Restored()
    about: dict[int, dict[str, Json]] = {}
    filed: dict[tuple[str, str | None], list[Run]] = {}
    for span in spans:
        # Spans of one request share the object their resource was read into.
        if id(span.resource) not in about:
            about[id(span.resource)] = _joined(span.resource.get(TRACE))
            found.feedback += _feedback(about[id(span.resource)])
        told = about[id(span.resource)]
        run = _run(span, told)
        if run is None:
            found.rest.append(span)
            continue
        source, project = told.get("source"), told.get("project")
        place = (
            source if isinstance(source, str) else SOURCE,
            project if isinstance(project, str) else None,
        )
        filed.setdefault(place, []).append(run)
    for (source, project), runs in filed.items():
        found.batches.append(RunBatch(without_secrets(runs), source, project))
    return found


def _run(span: SpanData, about: Mapping[str, Json]) -> Run | None:
    whole = _joined(span.attributes.get(RUN))
    trace_id = whole.get("trace_id")
    if not _is_id(trace_id) or not _is_id(whole.get("run_id")):
        return None
    if about.get("trace_id") != trace_id or trace_hex(str(trace_id)) != span.trace_id:
        return None
    for name, side in (("inputs", "input"), ("outputs", "output")):
        value = span.attributes.get(f"{side}.value")
        if name not in whole and isinstance(value, str):
            whole[name] = _parsed(value)
    try:
        return decode_run(whole)
    except (ValueError, RecursionError):
        return None


def _feedback(about: Mapping[str, Json]) -> list[Feedback]:
    given = about.get("feedback")
    found = []
    for item in given if isinstance(given, list) else []:
        try:
            said = decode(Feedback, redact(item)[0])
        except (ValueError, RecursionError):
            continue
        if said.trace_id == about.get("trace_id"):
            found.append(said)
    return found


def _joined(pieces: Json) -> dict[str, Json]:
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        return {}
    value = _parsed("".join(pieces))
    return value if isinstance(value, dict) else {}


def _parsed(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_id(value: Json) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID
