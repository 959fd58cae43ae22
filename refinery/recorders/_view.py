"""One line of the spool: a view of one run, finished on the writer thread."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refinery.model.codec import encode, encode_run
from refinery.model.trace import Json, Run
from refinery.recorders import _source
from refinery.recorders._origin import Entry, Origin, entry_point

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
        ours: dict[str, Json] = encode(self.extra)
        if redact := redaction():
            ours |= _redacted(encoded, redact)
        if self.entry and origin:
            ours |= _entry(self.entry, origin, redact)
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
    from refinery.safety.redact import redact

    return redact


def _redacted(encoded: dict[str, Json], redact: Redact) -> dict[str, Json]:
    """Replace secrets in an encoded run; returns how many of each kind there were."""
    found: dict[str, int] = {}
    for name in SECRET_BEARING:
        if name in encoded:
            encoded[name], counts = redact(encoded[name])
            for kind, count in counts.items():
                found[kind] = found.get(kind, 0) + count
    return {"redacted": dict(found)} if found else {}


def _entry(entry: Entry, origin: Origin, redact: Redact | None) -> dict[str, Json]:
    point: dict[str, Json] = encode(entry_point(entry, origin))
    if redact:
        for name in ("target", "argument", "dirty_diff"):
            point[name], _ = redact(point[name])
    ours: dict[str, Json] = {"entry_point": point}
    if origin.folder not in (None, "."):
        ours["folder"] = origin.folder
    if origin.dirty and origin.dirty_diff is None:
        ours["dirty_diff_omitted"] = True
    return ours
