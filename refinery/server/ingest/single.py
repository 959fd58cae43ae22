"""Runs that are sent one at a time, and need not say what trace they belong to."""

from dataclasses import replace
from typing import Any

from refinery.model.merge import OURS, merge
from refinery.model.trace import Run
from refinery.ports import RunBatch, Store
from refinery.server.answers import RequestError
from refinery.server.ingest.intake import SOURCE, Intake, canonical
from refinery.server.limits import Limits

GUESSED = "guessed_trace"
"""Set in `metadata.refinery` of a run whose trace was not said and not known."""


def batch_of(
    item: dict[str, Any], run_id: str | None, store: Store, limits: Limits
) -> list[RunBatch]:
    """The run of a body, placed in the trace it belongs to.

    Args:
        item: the run as sent.
        run_id: id in the path of an update; None for a new run.
        store: asked for the run and its parent.
        limits: bounds of what is taken.

    Raises:
        RequestError: it is no run.
        StoreError: the store cannot be read.
    """
    if run_id is not None:
        item = {**item, "id": run_id}
    stored = _stored(store, item.get("id"))
    ours = {}
    if not item.get("trace_id") and not item.get("dotted_order"):
        known = stored or _stored(store, item.get("parent_run_id"))
        trace_id = known.trace_id if known else item.get("parent_run_id") or item.get("id")
        item = {**item, "trace_id": trace_id}
        ours = {} if known else {GUESSED: True}
    intake = Intake(limits)
    run = intake.add_run(item, is_patch=run_id is not None, ours=ours)
    if run is None:
        raise RequestError(422, str(intake.refused[0]["reason"]))
    if stored is not None and stored.trace_id != run.trace_id and _is_guessed(stored):
        ((project, _),) = intake.runs.items()
        return [RunBatch([_moved(stored, run)], SOURCE, project)]
    return intake.batches()


def _stored(store: Store, run_id: object) -> Run | None:
    key = canonical(run_id)
    found = store.get_run(key) if key is not None else None
    return found.run if found is not None else None


def _is_guessed(run: Run) -> bool:
    ours = (run.metadata or {}).get(OURS)
    return isinstance(ours, dict) and ours.get(GUESSED) is True


def _moved(stored: Run, run: Run) -> Run:
    """Both views in the trace that is now known; as late a view as the stored one, so it wins."""
    both = merge(stored, run)
    metadata = dict(both.metadata or {})
    metadata[OURS] = {**metadata[OURS], GUESSED: False}
    return replace(
        both,
        trace_id=run.trace_id,
        parent_id=run.parent_id or both.parent_id,
        dotted_order=run.dotted_order or both.dotted_order,
        metadata=metadata,
    )
