"""One line of the spool: a view of one run, finished on the writer thread."""

import functools
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
    """Set on the first view of a root run; the store joins the views of a run."""
    extra: dict[str, Any] = field(default_factory=dict)
    """More for `metadata["refinery"]`."""

    def absorb(self, earlier: "View") -> None:
        """Take over what only an earlier view, which is not written now, would have told."""
        self.entry = self.entry or earlier.entry

    def document(self) -> dict[str, Any]:
        """`{"run", "source", "project"}`; secrets are replaced unless `REFINERY_REDACT=0`."""
        origin = self.origin() if self.subject or self.entry else None
        encoded = encode_run(Run(**self.fields))
        argument = encode(self.entry.argument) if self.entry else None
        ours: dict[str, Json] = encode(self.extra)
        if replace := redaction():
            (argument, clean), counts = replace([argument, _secret_bearing(encoded)])
            encoded.update(clean)
            ours |= {"redacted": counts} if counts else {}
        if self.entry and origin:
            point = _point(self.entry.kind, self.entry.target, origin, replace is not None)
            ours |= {"entry_point": {**point, "argument": argument}, **_notes(origin)}
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


def _secret_bearing(encoded: dict[str, Json]) -> dict[str, Json]:
    return {name: encoded[name] for name in SECRET_BEARING if name in encoded}


@functools.lru_cache(maxsize=64)
def _point(kind: str, target: str, origin: Origin, is_redacted: bool) -> dict[str, Json]:
    """An entry point without its argument; made once, for its diff may be large."""
    point: dict[str, Json] = encode(entry_point(Entry(kind, target), origin))
    if is_redacted:
        for name in ("target", "dirty_diff"):
            point[name], _ = redact(point[name])
    return point


def _notes(origin: Origin) -> dict[str, Json]:
    """What `EntryPoint` has no field for."""
    notes: dict[str, Json] = {}
    if origin.folder not in (None, "."):
        notes["folder"] = origin.folder
    if origin.dirty and origin.dirty_diff is None:
        notes["dirty_diff_omitted"] = True
    return notes
