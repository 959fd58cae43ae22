"""One span, one log record: plain, whatever encoding they came in; and the ids they get here."""

import hashlib
import re
import uuid
from dataclasses import dataclass, field
from functools import lru_cache

from refinery.model.trace import Json

_HEX_TRACE = re.compile(r"[0-9a-f]{32}\Z")
_FOREIGN = uuid.UUID("7b7e1c55-6d0c-5d7e-9a44-0a8f3c9e2f10")
"""Namespace of trace ids that are not 16 bytes; chosen once, at random."""
_UUID5_KEPT = ~(0xF000 << 64 | 0xC000 << 48)
_UUID5_SET = 0x5000 << 64 | 0x8000 << 48


@dataclass(frozen=True, slots=True)
class SpanData:
    """A span of any source, its attributes flat and dotted."""

    trace_id: str
    """Lower-case hexadecimal, 32 digits by the specification; other lengths occur in the wild."""
    span_id: str
    """Lower-case hexadecimal, 16 digits by the specification."""
    parent_id: str | None
    name: str
    start_ns: int | None = None
    """Nanoseconds since the Unix epoch, UTC."""
    end_ns: int | None = None
    status_code: str = "UNSET"
    """`UNSET`, `OK` or `ERROR`."""
    status_message: str = ""
    attributes: dict[str, Json] = field(default_factory=dict)
    events: list[dict[str, Json]] = field(default_factory=list)
    """`{"name", "time_ns", "attributes"}` each."""
    links: list[dict[str, Json]] = field(default_factory=list)
    """`{"trace_id", "span_id", "attributes"}` each."""
    resource: dict[str, Json] = field(default_factory=dict)
    """Attributes of the process that sent it."""
    scope: str = ""
    """Name of the library that made it."""
    span_kind: str | None = None
    """`INTERNAL`, `SERVER`, `CLIENT`, `PRODUCER` or `CONSUMER`."""
    details: dict[str, Json] = field(default_factory=dict)
    """What else the source said: trace state, flags, version of the scope, dropped counts."""


@dataclass(frozen=True, slots=True)
class LogData:
    """A log record, joined to its span when it names one."""

    name: str
    """The event's name, e.g. `gen_ai.user.message`; empty for plain log lines."""
    body: Json
    attributes: dict[str, Json]
    time_ns: int | None
    """When it happened, else when it was seen; nanoseconds since the Unix epoch, UTC."""
    trace_id: str = ""
    """Empty: it was written outside any span."""
    span_id: str = ""
    severity: str = ""
    resource: dict[str, Json] = field(default_factory=dict)
    scope: str = ""
    details: dict[str, Json] = field(default_factory=dict)


@lru_cache(maxsize=1024)
def trace_uuid(trace_id: str) -> str:
    """Id of our trace: the same 16 bytes as a UUID; any other text becomes a UUID of its own."""
    if _HEX_TRACE.match(trace_id):
        return str(uuid.UUID(hex=trace_id))
    return str(uuid.uuid5(_FOREIGN, trace_id))


@lru_cache(maxsize=4096)
def run_uuid(trace_id: str, span_id: str) -> str:
    """Id of our run: span ids are unique within their trace only, so it is made of both."""
    named = _namespace(trace_id) + span_id.encode()
    digest = hashlib.sha1(named, usedforsecurity=False).digest()
    # `uuid.uuid5` (RFC 9562 section 5.5) without the detour over an object: version 5, variant 10.
    digits = (
        (int.from_bytes(digest[:16], "big") & _UUID5_KEPT | _UUID5_SET).to_bytes(16, "big").hex()
    )
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@lru_cache(maxsize=1024)
def _namespace(trace_id: str) -> bytes:
    return uuid.UUID(trace_uuid(trace_id)).bytes
