"""One line of the spool: a view of one run, finished on the writer thread.

A run that is open waits in the queue as itself; what has become of it until the writer takes it
is what is written. So a short run is one line, and a long one a line at its start and one at its
end, which leaves out what the first has told.
"""

import functools
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refinery.model.codec import encode
from refinery.model.trace import Json
from refinery.recorders import _source
from refinery.recorders._encoded import Encoded, is_encoded, settled, value_of
from refinery.recorders._failures import Failure
from refinery.recorders._metrics import Meter
from refinery.recorders._order import Place, dotted_order
from refinery.recorders._origin import Entry, Origin, entry_point
from refinery.recorders.sink import Record
from refinery.recorders.spool_file import SHARED
from refinery.safety.prefilter import Suspects
from refinery.safety.redact import Redaction, redact

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # absence of the module is the marker

_OURS = frozenset({"end_ns", "status", "kind"})
"""Fields that are never redacted, as ids, order and start are not: they hold no text."""
_HEAVY = ("inputs", "params", "tools")
"""Fields a view of the end leaves out when a view of the start has told them."""
_TELLING = (Failure, Meter)
"""What says itself what it stands for, on the writer thread."""
_LONG = 500
"""Length at which the diff of an entry point is told once a block, in bytes."""


_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Teller:
    """What all views of one book have in common."""

    project: str | None
    origin: Callable[[], Origin]
    redaction: Redaction | None
    suspects: Suspects


class View(Record):
    """A run, as its recorder fills it on the host's threads, and as the writer tells it."""

    __slots__ = (
        "ended",
        "entry",
        "extra",
        "fields",
        "gave",
        "given",
        "parent",
        "place",
        "subject",
        "teller",
        "told",
    )

    place: Place
    parent: Place | None
    teller: Teller
    fields: dict[str, Any]
    """Arguments of `model.trace.Run` known so far, beside those of `place`."""
    ended: dict[str, Any] | None
    """Fields known since the end; set at once, for the writer may look at any moment."""
    extra: dict[str, Any] | None
    """More for `metadata["refinery"]`; see `note`."""
    given: Any
    """The host's value of which `fragment` made `inputs`."""
    gave: Any
    """The same of `outputs`."""
    entry: Entry | None
    """Set on a root run until a line has told it."""
    subject: _source.Subject | None
    told: frozenset[str]
    """Heavy fields that a line has told."""

    if not TYPE_CHECKING:  # it would call `Record.__init__`; see `Place`
        __init__ = object.__init__

    def set_up(self, place: Place, fields: dict[str, Any], teller: Teller) -> None:
        """A run that begins; `size_bytes`, `given` and `subject` are set by whoever opens it."""
        self.place = place
        self.parent = place.parent
        self.fields = fields
        self.teller = teller
        self.counted_bytes = 0
        self.queue = self.ended = self.extra = self.gave = self.entry = None
        self.told = _NOTHING

    @property
    def parent_id(self) -> str | None:
        """Id of the run around it; None of a root."""
        return None if self.parent is None else self.parent.run_id

    def note(self, notes: Mapping[str, Any]) -> None:
        """Add to `metadata["refinery"]`."""
        if self.extra is None:
            self.extra = dict(notes)
        else:
            self.extra.update(notes)

    def line(self, shared: dict[str, bytes] | None) -> bytes:
        """`{"run", "source", "project"}` as a line; secrets are replaced unless that is off."""
        teller = self.teller
        entry, subject = self.entry, self.subject
        origin = teller.origin() if subject or entry else None
        ours, fields = self._told_now()
        metadata = fields.pop("metadata", None)
        notes = self.extra or {}
        if entry is not None and entry.argument is not None:
            notes = {**notes, "argument": entry.argument}
        raw = self._settled(fields)
        raw_notes = _encoded(dict(notes)) if notes else b"{}"
        raw_metadata = _encoded(metadata) if metadata is not None else b"{}"
        counts: dict[str, int] = {}
        looked_at = raw if raw_notes == raw_metadata == b"{}" else raw + raw_notes + raw_metadata
        if teller.redaction is not None and teller.suspects(looked_at):
            (raw, raw_notes, raw_metadata), counts = _redacted(
                teller.redaction, (raw, raw_notes, raw_metadata)
            )
        parts = [b'{"run":', _joined(_encoded(ours), raw)[:-1]]
        if subject is not None and origin is not None:
            parts += b',"code":', _code(subject, origin)
        noted = self._noted(entry, origin, raw_notes, counts, shared)
        if noted != b"{}":
            parts += b',"metadata":', _joined(raw_metadata, b'{"refinery":' + noted + b"}")
        elif metadata is not None:
            parts += b',"metadata":', raw_metadata
        parts.append(_tail(self.place.source, teller.project))
        return b"".join(parts)

    def is_written(self) -> None:
        """Remember what need not be told again."""
        self.entry = self.given = None
        self.told = frozenset(name for name in _HEAVY if self.fields.get(name) is not None)

    def document(self) -> dict[str, Any]:
        """The line as a reader sees it."""
        found: dict[str, Any] = json.loads(self.line(None))
        return found

    def _settled(self, fields: dict[str, Any]) -> bytes:
        """The fields, encoded, with the names of floats that orjson writes as null."""
        raw = _encoded(fields)
        if b"null" not in raw or (self.given is None and self.gave is None):
            return raw
        sources = {"inputs": self.given, "outputs": self.gave}
        known = {name: settled(fields.get(name), source) for name, source in sources.items()}
        odd = {name: held for name, held in known.items() if held is not fields.get(name)}
        return _encoded({**fields, **odd}) if odd else raw

    def _told_now(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What this line tells: fields of ours, and those that may hold anything."""
        place, ended, told = self.place, self.ended, self.told
        ours: dict[str, Any] = {
            "run_id": place.run_id,
            "trace_id": place.trace_id,
            "parent_id": self.parent_id,
            "dotted_order": dotted_order(place),
            "start_ns": place.start_ns,
            "status": "running" if ended is None else "ok",
        }
        fields: dict[str, Any] = {}
        known = self.fields.copy()
        if ended is not None:
            for name in told:
                known.pop(name, None)
            known.update(ended)
        for name, value in known.items():
            if name in _OURS:
                ours[name] = value
            elif value is not None:
                # The host's threads may add to these while they are encoded.
                fields[name] = value.copy() if type(value) in (list, dict) else value
        return ours, fields

    def _noted(
        self,
        entry: Entry | None,
        origin: Origin | None,
        raw_notes: bytes,
        counts: dict[str, int],
        shared: dict[str, bytes] | None,
    ) -> bytes:
        """`metadata["refinery"]`, encoded."""
        told = raw_notes
        if entry is not None and origin is not None:
            is_redacted = self.teller.redaction is not None
            point = _known_point(entry, origin, is_redacted)
            raw_point = _with_diff(point, shared)
            if raw_notes != b"{}":
                notes = json.loads(raw_notes)
                argument = {"argument": notes.pop("argument", None)}
                raw_point, told = _joined(raw_point, _dumped(argument)), _dumped(notes)
            if point.notes:
                told = _joined(told, _dumped(point.notes))
            told = _joined(told, b'{"entry_point":' + raw_point + b"}")
        return _joined(told, _dumped({"redacted": counts})) if counts else told


def _joined(left: bytes, right: bytes) -> bytes:
    """Two encoded objects as one; keys of both must differ."""
    if left == b"{}":
        return right
    return left[:-1] + b"," + right[1:] if right != b"{}" else left


def _encoded(value: Any) -> bytes:
    """Anything a recorder holds, as JSON."""
    if type(value) is Encoded:
        return value.settled()
    if orjson is not None:
        try:
            raw: bytes = orjson.dumps(value, _substitute)
        except TypeError:  # a lone surrogate, an integer of more than 64 bits, an odd key
            pass
        else:
            return raw
    return _dumped(encode(_expanded(value)))


def _dumped(value: Json) -> bytes:
    """JSON of plain values."""
    if orjson is not None:
        try:
            raw: bytes = orjson.dumps(value)
        except TypeError:
            pass
        else:
            return raw
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _substitute(value: Any) -> Any:
    """What orjson shall write for a value it does not know."""
    if type(value) is Encoded:
        return orjson.Fragment(value.settled())
    return encode(value.told() if isinstance(value, _TELLING) else value)


def _expanded(value: Any) -> Any:
    """The value with its encoded parts decoded."""
    if is_encoded(value):
        return value_of(value)
    if isinstance(value, _TELLING):
        return value.told()
    if type(value) is dict:
        return {key: _expanded(item) for key, item in value.items()}
    if type(value) is list:
        return [_expanded(item) for item in value]
    return value


def _redacted(
    redaction: Redaction, raws: tuple[bytes, bytes, bytes]
) -> tuple[tuple[bytes, bytes, bytes], dict[str, int]]:
    """Run, notes and metadata without secrets, and how many of each kind there were."""
    (run, notes, metadata), counts = redaction.redact([json.loads(raw) for raw in raws])
    return (_dumped(run), _dumped(notes), _dumped(metadata)), counts


@functools.lru_cache(maxsize=64)
def _tail(source: str, project: str | None) -> bytes:
    return (
        b'},"source":'
        + _dumped(encode(source))
        + b',"project":'
        + _dumped(encode(project))
        + b"}\n"
    )


_codes: dict[tuple[int, int], tuple[_source.Subject, Origin, bytes]] = {}


def _code(subject: _source.Subject, origin: Origin) -> bytes:
    """The code reference of a subject; described once, for its source is read."""
    key = (id(subject.code), id(origin))
    known = _codes.get(key)
    if known is None:
        if len(_codes) > 4096:
            _codes.clear()
        reference = _source.describe(subject, origin.root, origin.commit, origin.dirty)
        # The objects are kept with it, so that no other can get their address.
        known = _codes[key] = (subject, origin, _dumped(encode(reference)))
    return known[2]


@dataclass(frozen=True, slots=True)
class _Point:
    """An entry point without its argument."""

    raw: bytes
    """Encoded, without its diff."""
    diff: bytes
    """The diff, encoded, or null."""
    key: str | None
    """Name of the diff when it is long enough to be told once a block."""
    referring: bytes
    """Encoded, with the key in the place of the diff."""
    notes: dict[str, Json]
    """What `EntryPoint` has no field for."""


_latest: tuple[Entry, Origin, bool, _Point] | None = None


def _known_point(entry: Entry, origin: Origin, is_redacted: bool) -> _Point:
    """The entry point of a root run; most have that of the one before."""
    global _latest  # asked for by identity: comparing an origin compares its whole diff
    latest = _latest
    is_same = latest is not None and latest[0] is entry and latest[1] is origin
    if latest is not None and is_same and latest[2] is is_redacted:
        return latest[3]
    point = _point(entry.kind, entry.target, origin, is_redacted)
    _latest = (entry, origin, is_redacted, point)
    return point


@functools.lru_cache(maxsize=64)
def _point(kind: str, target: str, origin: Origin, is_redacted: bool) -> _Point:
    """The entry point of a root run; made once, for its diff may be large."""
    point: dict[str, Json] = encode(entry_point(Entry(kind, target), origin))
    point.pop("argument", None)
    if is_redacted:
        for name in ("target", "dirty_diff"):
            point[name], _ = redact(point[name])
    diff = _dumped(point.pop("dirty_diff"))
    notes: dict[str, Json] = {}
    if origin.folder not in (None, "."):
        notes["folder"] = origin.folder
    if origin.dirty and origin.dirty_diff is None:
        notes["dirty_diff_omitted"] = True
    key = f"{zlib.crc32(diff):08x}-{len(diff)}" if len(diff) > _LONG else None
    raw = _dumped(point)
    referring = _joined(raw, _dumped({"dirty_diff": {SHARED: key}}))
    return _Point(raw, diff, key, referring, notes)


def _with_diff(point: _Point, shared: dict[str, bytes] | None) -> bytes:
    """An entry point with its diff, or with the key under which the block tells it."""
    if shared is not None and point.key is not None:
        shared[point.key] = point.diff
        return point.referring
    return _joined(point.raw, b'{"dirty_diff":' + point.diff + b"}")
