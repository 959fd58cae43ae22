"""One line of the spool: a view of one run, finished on the writer thread."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refinery.model.codec import encode, encode_run
from refinery.model.trace import Json, Run
from refinery.recorders import _source
from refinery.recorders._origin import Entry, Origin, entry_point
from refinery.safety.redact import redact

SECRET_BEARING = (
    "inputs",
    "outputs",
    "error",
    "params",
    "tools",
    "tags",
    "metadata",
    "events",
    "user_id",
    "session_id",
)
"""Fields that are redacted; ids, order, times and code references are ours and hold no text."""

Redact = Callable[[Json], tuple[Json, dict[str, int]]]


@dataclass(slots=True)
class View:
    """What the host's thread knew of a run, in plain containers; `document` does the rest."""

    key: str
    """The run's id."""
    size_bytes: int
    fields: dict[str, Any]
    """Arguments of `Run`."""
    project: str | None
    source: str
    origin: Callable[[], Origin]
    subject: _source.Subject | None = None
    entry: Entry | None = None
    """Set on root runs."""
    extra: dict[str, Any] = field(default_factory=dict)
    """More for `metadata["refinery"]`."""

    def document(self) -> dict[str, Any]:
        """`{"run", "source", "project"}`; secrets are replaced unless `REFINERY_REDACT=0`."""
        origin = self.origin() if self.subject or self.entry else None
        encoded = encode_run(Run(**self.fields))
        point = encode(entry_point(self.entry, origin)) if self.entry and origin else None
        ours: dict[str, Json] = encode(self.extra)
        if replace := redaction():
            ours |= _redacted(encoded, point, replace)
        if point and origin:
            ours |= {"entry_point": point, **_notes(origin)}
        if self.subject and origin:
            reference = _source.describe(self.subject, origin.root, origin.commit, origin.dirty)
            encoded["code"] = encode(reference)
        if ours:
            encoded["metadata"] = {**(encoded.get("metadata") or {}), "refinery": ours}
        return {"run": encoded, "source": self.source, "project": self.project}


def redaction() -> Redact | None:
    """The redactor; None when it is switched off."""
    if os.environ.get("REFINERY_REDACT", "1").lower() in ("0", "false", "no", "off"):
        return None
    return redact


def _redacted(
    encoded: dict[str, Json], point: dict[str, Json] | None, replace: Redact
) -> dict[str, Json]:
    """Replace secrets in a run and its entry point; returns how many of each kind there were.

    One call for all of it, so that one secret has one token in the whole view.
    """
    parts = {name: encoded[name] for name in SECRET_BEARING if name in encoded}
    told = {name: point[name] for name in ("target", "argument", "dirty_diff")} if point else {}
    (clean, clean_point), counts = replace([parts, told])
    encoded.update(clean)
    if point:
        point.update(clean_point)
    return {"redacted": counts} if counts else {}


def _notes(origin: Origin) -> dict[str, Json]:
    """What `EntryPoint` has no field for."""
    notes: dict[str, Json] = {}
    if origin.folder not in (None, "."):
        notes["folder"] = origin.folder
    if origin.dirty and origin.dirty_diff is None:
        notes["dirty_diff_omitted"] = True
    return notes
