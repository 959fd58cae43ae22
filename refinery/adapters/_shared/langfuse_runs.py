"""Reads Langfuse's traces, observations and scores as its API and its exports write them.

One observation becomes one run. Shapes: API v2 and v1 (`langfuse` 5.0 `api/`), and the exports of
its web page, whose texts may be JSON in JSON. Latencies are not read: they are seconds in the API
and milliseconds in most exports; start and end say the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from refinery.adapters._shared import plain, remote
from refinery.adapters._shared.langfuse_usage import cost_of, usage_of
from refinery.adapters._shared.plain import as_name, as_object, as_text, unpacked
from refinery.adapters._shared.remote import Labelled
from refinery.errors import TraceFormatError
from refinery.model.trace import Feedback, Json, Run, RunKind, RunStatus, Trace

SOURCE = "langfuse"

_KINDS = {"generation": RunKind.LLM, "span": RunKind.CHAIN}
_MAPPED = frozenset(
    (
        *("id", "traceId", "parentObservationId", "type", "name", "startTime", "endTime"),
        *("completionStartTime", "statusMessage", "input", "output", "metadata"),
        *("modelParameters", "model", "latency", "userId", "sessionId", "tags", "traceName"),
        *("release", "isRootObservation", "createdAt", "updatedAt"),
    )
)
"""Fields of an observation that a field of a run holds, or that change by themselves."""
_OF_TRACE = frozenset(
    (
        *("id", "observations", "scores", "userId", "sessionId", "tags", "timestamp", "latency"),
        *("htmlPath", "createdAt", "updatedAt", "projectId"),
    )
)
"""Fields of a trace that are not repeated in the metadata of its root run."""
_FEEDBACK_SOURCE = {"annotation": "human", "eval": "llm", "api": "api"}


def labelled_of(
    trace: Mapping[str, Json],
    observations: Sequence[Mapping[str, Json]],
    scores: Iterable[Mapping[str, Json]] = (),
) -> Labelled:
    """A trace and what was said of it; its ids depend on nothing but Langfuse's ids.

    Args:
        trace: the trace's own record; only its `id` when nothing else is known.
        observations: all its observations, in any order; none: the trace itself is the only run.
        scores: of the trace and its observations, any version.

    Raises:
        TraceFormatError: ids are missing, or an observation is of another trace.
    """
    native = as_name(trace.get("id"))
    if native is None:
        raise TraceFormatError("a Langfuse trace without `id`", hint="export the trace again")
    known = {name for item in observations if (name := as_name(item.get("id")))}
    runs = [_run(item, native, trace, known) for item in observations]
    if not runs:
        runs = [_run_of_trace(trace, native)]
    ordered = _with_trace(remote.tree(runs), trace)
    about = next((item for item in (trace, *observations) if item.get("projectId")), trace)
    built = Trace(ordered[0].trace_id, ordered, SOURCE, as_text(about.get("projectId")))
    said = [item for score in scores if (item := _feedback(score, native)) is not None]
    return built, tuple({item.feedback_id: item for item in said}.values())


def _run(item: Mapping[str, Json], native: str, trace: Mapping[str, Json], known: set[str]) -> Run:
    span = as_name(item.get("id"))
    if span is None:
        raise TraceFormatError("a Langfuse observation without `id`", hint="export it again")
    if item.get("traceId") not in (None, native):
        raise TraceFormatError(
            f"observation {span} is of trace {item['traceId']}, not {native}",
            hint="each observation must stand with its trace",
        )
    given = as_object(unpacked(item.get("metadata"), 2))
    metadata = {key: unpacked(value) for key, value in given.items()}
    attributes = as_object(metadata.get("attributes"))
    kind = _kind(item, attributes)
    is_model_call = kind in (RunKind.LLM, RunKind.EMBEDDING)
    start, end = remote.ns_of(item.get("startTime")), remote.ns_of(item.get("endTime"))
    if kind is RunKind.EVENT and end is None:
        end = start
    model = as_text(item.get("model"))
    cost = cost_of(item) if is_model_call else None
    inputs = unpacked(item.get("input"), 2)
    return Run(
        run_id=remote.run_id_of(SOURCE, native, span),
        trace_id=remote.trace_id_of(SOURCE, native),
        name=as_text(item.get("name")),
        kind=kind,
        parent_id=_parent(item, native, span, known),
        native_kind=as_text(item.get("type")),
        start_ns=start,
        end_ns=end,
        status=_status(item, end),
        error=_error(item),
        inputs=inputs,
        outputs=unpacked(item.get("output"), 2),
        provider=_provider(metadata, attributes),
        model_requested=as_text(metadata.get("ls_model_name")) or model,
        model_responded=model if is_model_call else None,
        params=_params(item.get("modelParameters")),
        tools=_tools(inputs),
        usage=usage_of(item) if is_model_call else None,
        cost_usd=cost,
        cost_source="reported" if cost is not None else None,
        first_token_ns=remote.ns_of(item.get("completionStartTime")),
        session_id=_first(item, trace, "sessionId") or as_text(metadata.get("thread_id")),
        user_id=_first(item, trace, "userId"),
        metadata=_metadata(metadata, item, native, span),
    )


def _first(item: Mapping[str, Json], trace: Mapping[str, Json], name: str) -> str | None:
    return as_name(item.get(name)) or as_name(trace.get(name))


def _kind(item: Mapping[str, Json], attributes: Mapping[str, Json]) -> RunKind:
    """By the type; a plain span may name its kind in the attributes it was made from."""
    said = str(item.get("type") or "").lower()
    if said in ("span", ""):
        told = remote.kind_of(attributes.get("openinference.span.kind"))
        return told or RunKind.CHAIN
    return remote.kind_of(said, _KINDS) or RunKind.CHAIN


def _parent(item: Mapping[str, Json], native: str, span: str, known: set[str]) -> str | None:
    parent = as_name(item.get("parentObservationId"))
    # Langfuse marks the first span of the application as root below spans it never got.
    is_root = item.get("isRootObservation") is True and parent not in known
    if parent is None or parent in (span, native) or is_root:
        return None
    return remote.run_id_of(SOURCE, native, parent)


def _status(item: Mapping[str, Json], end_ns: int | None) -> RunStatus:
    if str(item.get("level") or "").upper() == "ERROR":
        return RunStatus.ERROR
    # What has an answer has ended, even where nobody wrote down when.
    has_ended = end_ns is not None or item.get("output") is not None
    return RunStatus.OK if has_ended else RunStatus.RUNNING


def _error(item: Mapping[str, Json]) -> Any:
    if str(item.get("level") or "").upper() != "ERROR":
        return None
    return remote.error_of(as_text(item.get("statusMessage")) or "")


def _provider(metadata: Mapping[str, Json], attributes: Mapping[str, Json]) -> str | None:
    names = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
    found = (as_text(attributes.get(name)) for name in names)
    return as_text(metadata.get("ls_provider")) or next((name for name in found if name), None)


def _params(value: Json) -> dict[str, Json] | None:
    given = {key: unpacked(entry) for key, entry in as_object(unpacked(value)).items()}
    return {k: v for k, v in given.items() if v not in (None, "", "null")} or None


def _tools(inputs: Json) -> list[Json] | None:
    tools = inputs.get("tools") if isinstance(inputs, dict) else None
    return tools if isinstance(tools, list) and tools else None


def _metadata(
    metadata: dict[str, Json], item: Mapping[str, Json], native: str, span: str
) -> dict[str, Json]:
    rest = {key: value for key, value in item.items() if key not in _MAPPED and _says(value)}
    plain = unpacked(item.get("metadata"))
    if not isinstance(plain, dict) and _says(plain):
        rest["metadata"] = plain
    if item.get("level") != "ERROR" and _says(item.get("statusMessage")):
        rest["statusMessage"] = item["statusMessage"]
    return {**metadata, SOURCE: {"id": span, "trace_id": native, **rest}}


def _says(value: Json) -> bool:
    return value not in (None, "", [], {})


def _run_of_trace(trace: Mapping[str, Json], native: str) -> Run:
    """The only run of a trace that has no observations."""
    start = remote.ns_of(trace.get("timestamp"))
    own = remote.trace_id_of(SOURCE, native)
    has_output = trace.get("output") is not None
    return Run(
        run_id=own,
        trace_id=own,
        name=as_text(trace.get("name")),
        kind=RunKind.CHAIN,
        start_ns=start,
        end_ns=start,
        status=RunStatus.OK if has_output else RunStatus.UNKNOWN,
        session_id=as_name(trace.get("sessionId")),
        user_id=as_name(trace.get("userId")),
        metadata={SOURCE: {"trace_id": native}},
    )


def _with_trace(runs: tuple[Run, ...], trace: Mapping[str, Json]) -> tuple[Run, ...]:
    """The runs, the first root with what was said of the trace as a whole.

    What went in and out of the trace goes to its only root where that says nothing itself.
    """
    roots = [run for run in runs if run.parent_id is None]
    root = roots[0] if roots else runs[0]
    rest = {key: value for key, value in trace.items() if key not in _OF_TRACE and _says(value)}
    given = {side: unpacked(rest.pop(side, None), 2) for side in ("input", "output")}
    own = {"input": root.inputs, "output": root.outputs}
    for side, value in given.items():
        if len(roots) == 1 and own[side] is None:
            own[side] = value
        elif _says(value) and value != own[side]:
            rest[side] = value
    if "metadata" in rest:
        rest["metadata"] = unpacked(rest["metadata"], 2)
    metadata = dict(root.metadata or {})
    if rest:
        metadata[SOURCE] = {**as_object(metadata.get(SOURCE)), "trace": rest}
    tags = [tag for tag in plain.as_list(trace.get("tags")) if isinstance(tag, str)]
    told = replace(
        root, inputs=own["input"], outputs=own["output"], tags=tags or None, metadata=metadata
    )
    return tuple(told if run is root else run for run in runs)


def _feedback(score: Mapping[str, Json], native: str) -> Feedback | None:
    """One score of this trace; None when it is of a session or of another trace."""
    subject = as_object(score.get("subject"))
    kind = subject.get("kind")
    observation = score.get("observationId")
    of_trace = score.get("traceId", native)
    if kind == "observation":
        observation, of_trace = subject.get("id"), subject.get("traceId") or native
    elif kind is not None:
        of_trace = subject.get("id") if kind == "trace" else None
    name, key = as_name(score.get("id")), as_text(score.get("name"))
    if of_trace != native or name is None or key is None:
        return None
    span = as_name(observation)
    value, number = score.get("value"), plain.as_score(score.get("value"))
    text = as_text(score.get("stringValue")) or as_text(value)
    is_correction = str(score.get("dataType") or "").upper() == "CORRECTION"
    return Feedback(
        feedback_id=remote.feedback_id_of(SOURCE, native, name),
        trace_id=remote.trace_id_of(SOURCE, native),
        run_id=remote.run_id_of(SOURCE, native, span) if span else None,
        key=key,
        score=number,
        value=None if is_correction else text if text is not None else value,
        comment=as_text(score.get("comment")),
        correction=text if is_correction else None,
        source=_FEEDBACK_SOURCE.get(str(score.get("source") or "").lower(), "api"),
        created_ns=remote.ns_of(score.get("timestamp") or score.get("createdAt")) or 0,
    )
