"""What LangSmith's run has no field for travels in its metadata, and comes back from there.

`metadata["refinery"]["document"]` of a run we write holds `fields` (values its document cannot
say), `added` (keys of the metadata that only the document has) and `wrapped` (`inputs` or
`outputs` that are no object in our run). It is there only when needed.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from refinery.model.codec import decode, encode
from refinery.model.merge import OURS
from refinery.model.trace import Json, Run

NOTE = "document"
WRAPPER = {"inputs": "input", "outputs": "output"}
"""Key of the object that a value is wrapped in: the SDK's own (`run_helpers.py`, 0.14)."""

_NAMES = frozenset(field.name for field in fields(Run))


def note(run: Run, back: Run, added: list[str], wrapped: list[str]) -> dict[str, Json]:
    """What a document must say besides, so that reading it gives the run again.

    Args:
        run: the run that is written.
        back: what the document without the note is read as.
        added: keys the document's metadata has besides the run's own.
        wrapped: which of `inputs` and `outputs` were put into an object.
    """
    unsaid = {}
    for field in fields(Run):
        name = field.name
        ours, theirs = getattr(run, name), getattr(back, name)
        if name == "metadata":
            theirs = {k: v for k, v in (theirs or {}).items() if k not in added} or None
        if name not in wrapped and ours != theirs:
            unsaid[name] = encode(ours)
    said: dict[str, Json] = {"fields": unsaid, "added": added, "wrapped": wrapped}
    return {name: value for name, value in said.items() if value}


def restore(run: Run) -> Run:
    """The run as it was before it was written, when its metadata tells; else as it is."""
    metadata = dict(run.metadata or {})
    ours = metadata.get(OURS)
    said = ours.get(NOTE) if isinstance(ours, Mapping) else None
    if not isinstance(ours, Mapping) or not isinstance(said, Mapping):
        return run
    rest = {name: value for name, value in ours.items() if name != NOTE}
    metadata = {**metadata, OURS: rest}
    for name in (*_listed(said, "added"), *([] if rest else [OURS])):
        metadata.pop(name, None)
    changes: dict[str, Any] = {"metadata": metadata or None}
    for name in _listed(said, "wrapped"):
        value = getattr(run, name, None) if name in WRAPPER else None
        if isinstance(value, Mapping):
            changes[name] = value.get(WRAPPER[name])
    return replace(run, **{**changes, **_decoded(run, said.get("fields"))})


def _listed(said: Mapping[str, Json], name: str) -> list[str]:
    given = said.get(name)
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def _decoded(run: Run, given: Json) -> dict[str, Any]:
    """The fields as the model holds them; none when any of them is not what it should be."""
    if not isinstance(given, Mapping):
        return {}
    known = {name: value for name, value in given.items() if name in _NAMES}
    try:
        read = decode(Run, {"run_id": run.run_id, "trace_id": run.trace_id, **known})
    except ValueError:
        return {}
    return {name: getattr(read, name) for name in known}
