"""How partial views of one run join, in any order and any number of times (PROTOCOLS 1.4)."""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from refinery.model.logged import with_logged_content, without_logged_content
from refinery.model.trace import Json, Run, RunStatus

_EMPTY: tuple[Json, ...] = (None, {}, [], "")


_GATHERED = ("events", "links", "attachments")
"""Lists whose entries add up: each view may tell of others."""

OURS = "refinery"
"""Key of `metadata` under which what we say of a run ourselves is kept."""

IS_PATCH = "is_patch"
"""Set in `metadata["refinery"]` of a view sent as an update of an earlier one."""


def _age(run: Run) -> tuple[bool, bool]:
    """How late in the run's life a view was made: it has ended, it is an update."""
    has_ended = run.end_ns is not None or run.status not in (None, RunStatus.RUNNING)
    ours = (run.metadata or {}).get(OURS)
    return has_ended, isinstance(ours, dict) and bool(ours.get(IS_PATCH))


def _gathered(entries: Iterable[Json]) -> list[Json]:
    """Entries in order, each once."""
    seen: dict[str, Json] = {}
    for entry in entries:
        seen.setdefault(json.dumps(entry, sort_keys=True, default=str), entry)
    return list(seen.values())


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
    overwrites what a view from the end said, nor a first view what an update said; between two
    views of the same age the later arrival wins. Metadata is joined key by key; events, links
    and attachments add up. Content that came as events is derived anew from all of them.
    """
    stored, incoming = without_logged_content(stored), without_logged_content(incoming)
    incoming_loses = _age(incoming) < _age(stored)
    base, top = (incoming, stored) if incoming_loses else (stored, incoming)
    changes: dict[str, Any] = {}
    for field in fields(Run):
        below, above = getattr(base, field.name), getattr(top, field.name)
        if field.name == "metadata":
            changes["metadata"] = _merged_metadata(below, above)
        elif field.name in _GATHERED and below and above and below != above:
            changes[field.name] = _gathered([*below, *above])
        elif above in _EMPTY and below is not None:
            changes[field.name] = below
        else:
            changes[field.name] = above
    return with_logged_content(replace(top, **changes))
