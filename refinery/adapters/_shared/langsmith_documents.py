"""Our run as LangSmith's API writes it: version 1 (`RunSchema`) and version 2 (`Run`).

Names and types are those of the SDK 0.14 (`schemas.py`, `types/run.py`). What its service
computes is computed here: status, tree keys, tokens and costs of leaf model calls upwards,
latency, statistics of feedback. `langsmith_runs.to_run` reads a document back as the same run.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from refinery.adapters._shared import langsmith_own
from refinery.adapters._shared.langsmith_runs import to_run
from refinery.adapters._shared.langsmith_tree import (
    WORKSPACE_ID,
    TraceShape,
    ancestors,
    moment,
    project_id,
    public_id,
)
from refinery.model.merge import OURS
from refinery.model.trace import Feedback, Json, Run, RunKind, RunStatus

RUN_TYPES = {
    RunKind.LLM: "llm",
    RunKind.EMBEDDING: "embedding",
    RunKind.TOOL: "tool",
    RunKind.RETRIEVER: "retriever",
    RunKind.RERANKER: "retriever",
    RunKind.PROMPT: "prompt",
    RunKind.PARSER: "parser",
}
"""LangSmith's word for a kind; it says `chain` for every other."""

_PREVIEW = 250
_MAX_COMMENTS = 20


@dataclass(frozen=True, slots=True)
class Setting:
    """What is around a run."""

    project: str | None = None
    shape: TraceShape | None = None
    """The tree it is in; None: the run is taken as the only one."""
    feedback: Sequence[Feedback] = ()
    """What was said of this run, or of its whole trace when it is the root."""
    url: str = ""
    """Address of the server that answers for attachments, without a slash at the end."""
    sign: Callable[[str], str] | None = None
    """What makes the query that opens an attachment's path; None: links have none."""


def to_v1(
    run: Run,
    project: str | None = None,
    feedback: Sequence[Feedback] = (),
    *,
    shape: TraceShape | None = None,
    url: str = "",
) -> dict[str, Json]:
    """The run as version 1 writes it, every field.

    Args:
        run: the run.
        project: name of the project its trace is filed under.
        feedback: what was said of the run.
        shape: the tree it is in; without it a run counts as the only one of its trace.
        url: where attachments are served; empty: they are named, but lead nowhere.
    """
    return v1(run, Setting(project, shape, feedback, url))


def to_v2(
    run: Run,
    project: str | None = None,
    feedback: Sequence[Feedback] = (),
    *,
    shape: TraceShape | None = None,
    url: str = "",
) -> dict[str, Json]:
    """The run as version 2 writes it, every field; arguments as for `to_v1`."""
    return v2(run, Setting(project, shape, feedback, url))


def v1(run: Run, setting: Setting) -> dict[str, Json]:
    """The run as version 1 writes it, every field."""
    item, shape = _common(run, setting)
    above = ancestors(item["dotted_order"])
    links = _attachment_links(run, setting)
    return {
        **item,
        "session_id": project_id(setting.project),
        "parent_run_id": public_id(run.parent_id) if run.parent_id else None,
        "parent_run_ids": above,
        "child_run_ids": shape.children(run),
        "serialized": None,
        "manifest_id": None,
        "s3_urls": {f"attachment.{name}": link for name, link in links.items()} or None,
        "inputs_s3_urls": None,
        "outputs_s3_urls": None,
        "in_dataset": False,
    }


def v2(run: Run, setting: Setting) -> dict[str, Json]:
    """The run as version 2 writes it, every field."""
    item, _ = _common(run, setting)
    latency = run.duration_ms
    links = _attachment_links(run, setting)
    details = {name: {"raw": value} for name, value in item.items() if name.endswith("_details")}
    return {
        **item,
        **details,
        "run_type": item["run_type"].upper(),
        "status": item["status"].upper(),
        "project_id": project_id(setting.project),
        "parent_run_ids": ancestors(item["dotted_order"]),
        "is_root": run.parent_id is None,
        "metadata": item["extra"]["metadata"],
        "latency_seconds": None if latency is None else latency / 1000,
        "attachments": {name: link["presigned_url"] for name, link in links.items()},
        "error_preview": _preview(item["error"]),
        "manifest": None,
        "is_in_dataset": False,
    }


_LANGCHAIN_STACK = "Traceback (most recent call last):\n\n\n"


def run_type(run: Run) -> str:
    """LangSmith's word for the run's kind."""
    return RUN_TYPES.get(run.kind, "chain") if run.kind else "chain"


def status(run: Run) -> str:
    """LangSmith's word for how the run ended: `success`, `error` or `pending`.

    An interrupt or an abandoned stream counts as a success, as it is not a failure.
    """
    if run.status is RunStatus.ERROR:
        return "error"
    if run.status in (RunStatus.OK, RunStatus.CANCELLED) or run.end_ns is not None:
        return "success"
    return "pending"


def error_text(run: Run) -> str | None:
    """The error and its traceback in one string, as the SDK records them."""
    error = run.error
    if error is None:
        return "unknown error" if run.status is RunStatus.ERROR else None
    head = f"{error.type}({error.message!r})" if error.type else error.message
    if not error.stack:
        return head or "unknown error"
    # `traceable` sets two line breaks before the traceback; LangChain's tracer none, and two
    # between its parts, which end with one already (SDK 0.14, langchain-core 1).
    separator = "" if error.stack.startswith(_LANGCHAIN_STACK) else "\n\n"
    return f"{head}{separator}{error.stack}"


def feedback_stats(feedback: Sequence[Feedback]) -> dict[str, Json]:
    """Count, mean, extremes and labels of feedback, by key."""
    by_key: dict[str, list[Feedback]] = {}
    for item in feedback:
        by_key.setdefault(item.key, []).append(item)
    return {key: _statistics(items) for key, items in by_key.items()}


def _common(run: Run, setting: Setting) -> tuple[dict[str, Any], TraceShape]:
    """The fields both versions have, and the tree they were taken from."""
    shape = setting.shape if setting.shape and run.run_id in setting.shape else TraceShape([run])
    run_id, trace_id = public_id(run.run_id), public_id(run.trace_id)
    start = shape.start_of(run)
    extra, added = _extra(run)
    inputs, outputs = _object(run.inputs, "inputs"), _object(run.outputs, "outputs")
    item: dict[str, Any] = {
        "id": run_id,
        "trace_id": trace_id,
        "name": run.name or run_type(run),
        "run_type": run_type(run),
        "status": status(run),
        "start_time": _time(start),
        "end_time": _time(run.end_ns),
        "error": error_text(run),
        "extra": extra,
        "inputs": inputs,
        "outputs": outputs,
        "events": [event for event in run.events or () if isinstance(event, dict)],
        "tags": list(run.tags or ()),
        "dotted_order": shape.dotted_order(run),
        "thread_id": run.session_id,
        "first_token_time": _time(run.first_token_ns),
        "reference_example_id": None,
        "reference_dataset_id": None,
        "feedback_stats": feedback_stats(setting.feedback) or None,
        "app_path": f"/o/{WORKSPACE_ID}/projects/p/{project_id(setting.project)}/r/{run_id}"
        f"?trace_id={trace_id}&start_time={quote(_time(start) or '')}",
        "inputs_preview": _preview(inputs),
        "outputs_preview": _preview(outputs),
        **_usage(run, shape),
    }
    _note(run, item, added)
    return item, shape


def _note(run: Run, item: dict[str, Any], added: list[str]) -> None:
    """Put into the metadata what the rest of the document does not say of the run."""
    wrapped = [
        name
        for name in langsmith_own.WRAPPER
        if getattr(run, name) is not None and not isinstance(getattr(run, name), dict)
    ]
    parent = public_id(run.parent_id) if run.parent_id else None
    named = {f"attachment.{name}": None for name in kept_attachments(run)}
    back = to_run({**item, "parent_run_id": parent, "s3_urls": named or None})
    if said := langsmith_own.note(run, back, added, wrapped):
        metadata = item["extra"]["metadata"]
        ours = metadata.get(OURS)
        metadata[OURS] = {**(ours if isinstance(ours, dict) else {}), langsmith_own.NOTE: said}


def _extra(run: Run) -> tuple[dict[str, Json], list[str]]:
    """`extra`, and the keys of its metadata that the run's own has not."""
    metadata = dict(run.metadata or {})
    params = run.params or {}
    said: dict[str, Json] = {
        "ls_provider": run.provider,
        "ls_model_name": run.model_requested,
        **{f"ls_{name}": params.get(name) for name in ("temperature", "max_tokens", "stop")},
        "thread_id": None if _has_thread(metadata) else run.session_id,
        "user_id": None if "ls_user_id" in metadata else run.user_id,
    }
    added = [name for name, value in said.items() if value is not None and name not in metadata]
    extra: dict[str, Json] = {"metadata": metadata | {name: said[name] for name in added}}
    if params or run.tools:
        extra["invocation_params"] = params | ({"tools": run.tools} if run.tools else {})
    return extra, added


def _has_thread(metadata: Mapping[str, Json]) -> bool:
    return any(metadata.get(name) for name in ("thread_id", "session_id", "conversation_id"))


def _object(value: Json, name: str) -> dict[str, Json]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {langsmith_own.WRAPPER[name]: value}


def _usage(run: Run, shape: TraceShape) -> dict[str, Json]:
    totals = shape.totals(run)
    read = {"cache_read": totals.cache_read, "cache_creation": totals.cache_write}
    written = {"reasoning": totals.reasoning}
    cost_in, cost_out = _split_cost(run)
    return {
        "prompt_tokens": totals.input,
        "completion_tokens": totals.output,
        "total_tokens": totals.total,
        "prompt_token_details": {k: v for k, v in read.items() if v is not None},
        "completion_token_details": {k: v for k, v in written.items() if v is not None},
        "prompt_cost": cost_in,
        "completion_cost": cost_out,
        "total_cost": None if totals.cost_usd is None else _number(totals.cost_usd),
        "prompt_cost_details": {},
        "completion_cost_details": {},
    }


def _split_cost(run: Run) -> tuple[Json, Json]:
    """Cost of what went in and out, where the source said so."""
    said = (run.metadata or {}).get("usage_metadata")
    given = said if isinstance(said, dict) else {}
    return _number(given.get("input_cost")), _number(given.get("output_cost"))


def _number(value: Json) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _time(ns: int | None) -> str | None:
    return None if ns is None else moment(ns).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def _preview(value: Json) -> str | None:
    """The beginning of the first text in a value."""
    waiting, looked = [value], 0
    while waiting and looked < _PREVIEW:
        looked += 1
        one = waiting.pop()
        if isinstance(one, str) and one:
            return one[:_PREVIEW]
        if isinstance(one, dict):
            waiting.extend(reversed(list(one.values())[:_PREVIEW]))
        elif isinstance(one, list):
            waiting.extend(reversed(one[:_PREVIEW]))
    return None


def kept_attachments(run: Run) -> dict[str, dict[str, Json]]:
    """Description of every attachment whose bytes the store keeps, by name."""
    entries = [entry for entry in run.attachments or () if isinstance(entry, dict)]
    return {
        entry["name"]: entry
        for entry in entries
        if isinstance(entry.get("name"), str) and isinstance(entry.get("reference"), str)
    }


def _attachment_links(run: Run, setting: Setting) -> dict[str, dict[str, Json]]:
    links: dict[str, dict[str, Json]] = {}
    for name, entry in kept_attachments(run).items():
        path = f"/runs/{public_id(run.run_id)}/attachments/{name}"
        opened = f"?{setting.sign(path)}" if setting.sign else ""
        url = f"{setting.url}{quote(path.encode('utf-8', 'replace'))}{opened}"
        links[name] = {"presigned_url": url, "mime_type": entry.get("mime_type")}
    return links


def _statistics(items: Sequence[Feedback]) -> dict[str, Json]:
    scores = [item.score for item in items if item.score is not None]
    labels: dict[str, int] = {}
    for item in items:
        if isinstance(item.value, str):
            labels[item.value] = labels.get(item.value, 0) + 1
    return {
        "n": len(items),
        "avg": statistics.fmean(scores) if scores else None,
        "min": min(scores, default=None),
        "max": max(scores, default=None),
        "stdev": statistics.stdev(scores) if len(scores) > 1 else None,
        "values": labels,
        "errors": 0,
        "comments": [item.comment for item in items if item.comment][:_MAX_COMMENTS],
        "sources": sorted({item.source for item in items}),
        "contains_thread_feedback": False,
    }
