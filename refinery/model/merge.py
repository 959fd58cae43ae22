"""How partial views of one run join, in any order and any number of times (PROTOCOLS 1.4)."""

from dataclasses import fields, replace
from typing import Any

from refinery.model.trace import Json, Run, RunStatus

_EMPTY: tuple[Json, ...] = (None, {}, [], "")


def _is_open(run: Run) -> bool:
    """Whether this view was sent before the run ended."""
    return run.end_ns is None and run.status in (None, RunStatus.RUNNING)


def _merged_metadata(base: dict[str, Json] | None, top: dict[str, Json] | None) -> Any:
    """Key-wise union, one level down for objects; `top` wins, its nulls never erase."""
    if not base or not top:
        return top or base
    joined = dict(base)
    for key, value in top.items():
        old = joined.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            joined[key] = {**old, **{k: v for k, v in value.items() if v is not None}}
        elif value is not None or key not in joined:
            joined[key] = value
    return joined


def merge(stored: Run, incoming: Run) -> Run:
    """Join two views of the same run.

    A null, an empty object or an empty list never erases; a view from before the end never
    overwrites what a view from the end said; between two views of the same age the later
    arrival wins. Metadata is joined key by key.
    """
    incoming_loses = _is_open(incoming) and not _is_open(stored)
    base, top = (incoming, stored) if incoming_loses else (stored, incoming)
    changes: dict[str, Any] = {}
    for field in fields(Run):
        below, above = getattr(base, field.name), getattr(top, field.name)
        if field.name == "metadata":
            changes["metadata"] = _merged_metadata(below, above)
        elif above in _EMPTY and below is not None:
            changes[field.name] = below
        else:
            changes[field.name] = above
    return replace(top, **changes)
