"""What a search found, as the command line and the API tell it."""

from datetime import UTC, datetime

from refinery.model.trace import Json, TraceSummary
from refinery.search.searching import Hit, Reason
from refinery.workflows.search import Found


def document(found: Found) -> dict[str, Json]:
    """What a search found, as JSON."""
    return {
        "results": [_hit(hit) for hit in found.hits],
        "arms": list(found.arms),
        "embedder": found.embedder,
        "indexed": found.indexed,
        "waiting": found.waiting,
        "notes": list(found.notes),
    }


def about(trace: TraceSummary) -> dict[str, Json]:
    """A trace's listing, as JSON."""
    return {
        "trace_id": trace.trace_id,
        "name": trace.name,
        "status": trace.status,
        "label": trace.label,
        "project": trace.project,
        "source": trace.source,
        "user_id": trace.user_id,
        "session_id": trace.session_id,
        "start": _iso_time(trace.start_ns),
        "end": _iso_time(trace.end_ns),
        "runs": trace.runs,
        "errors": trace.errors,
    }


def _hit(hit: Hit) -> dict[str, Json]:
    return {
        **about(hit.trace),
        "score": round(hit.score, 6),
        "asked": hit.asked,
        "answered": hit.answered,
        "why": [_reason(reason) for reason in hit.why],
    }


def _reason(reason: Reason) -> dict[str, Json]:
    return {
        "arm": reason.arm,
        "rank": reason.rank,
        "words": list(reason.words),
        "snippet": reason.snippet,
        "run_id": reason.run_id,
        "run_name": reason.run_name,
        "run_kind": reason.run_kind,
        "similarity": reason.similarity,
    }


def _iso_time(ns: int | None) -> str | None:
    """ISO 8601 in UTC with microseconds; None when unknown, or beyond what a trace may say."""
    if ns is None or not -(2**63) <= ns < 2**63:
        return None
    return datetime.fromtimestamp(ns / 1e9, tz=UTC).isoformat(timespec="microseconds")
