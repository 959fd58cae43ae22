"""What adapters of other programs' stores share: ids, times, statuses and JSON in text."""

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation

from refinery.model.codec import decode_run, encode, encode_run
from refinery.model.merge import OURS
from refinery.model.trace import Json, Run, RunError
from refinery.safety.redact import redact

NAMESPACE = uuid.UUID("a3a3f0b2-5b0e-5c0e-8e5c-0f1f6e1d7c21")
"""Namespace of ids made of other programs' ids; chosen once, never changed."""
MAX_TEXT = 4_000_000
"""Longest text kept of one value, in characters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_2286_S = 10_000_000_000
"""Numbers below are seconds since the epoch; a thousand times as large are milliseconds."""


def stable_id(source: str, *parts: object) -> str:
    """The last part when it is a UUID, else a UUID made of the source and all parts."""
    try:
        return str(uuid.UUID(str(parts[-1])))
    except ValueError:
        return str(uuid.uuid5(NAMESPACE, "\0".join([source, *map(str, parts)])))


@dataclass(slots=True)
class Clock:
    """Turns a source's times into nanoseconds UTC, and remembers what it had to assume."""

    zone: tzinfo | None
    """Zone of times that name none; None: it is not known."""
    fallback: tzinfo
    """Zone assumed then."""
    why: str = "this machine's zone"
    """Where the fallback is from, for people."""
    assumed: set[str] = field(default_factory=set)

    def ns(self, value: Json) -> int | None:
        """Nanoseconds UTC of an ISO text or of a number since the epoch; None when unreadable.

        Numbers are taken as seconds, milliseconds, microseconds or nanoseconds by their size.
        """
        if isinstance(value, bool) or value is None:
            return None
        if isinstance(value, int | float):
            return _from_number(value)
        try:
            moment = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        except ValueError:
            return None
        if moment.tzinfo is None:
            if self.zone is None:
                self.assumed.add(f"{self.fallback.tzname(moment) or self.fallback} ({self.why})")
            moment = moment.replace(tzinfo=self.zone or self.fallback)
        try:
            return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        except OverflowError:
            return None


def local_zone() -> tzinfo:
    """The zone of this machine, as a fixed offset."""
    return datetime.now().astimezone().tzinfo or UTC


def offset(seconds: float) -> tzinfo:
    """The zone of an offset, rounded to a quarter of an hour."""
    quarters = max(-56, min(56, round(seconds / 900)))
    return timezone(timedelta(minutes=15 * quarters))


def _from_number(value: float) -> int | None:
    if not math.isfinite(value):
        return None
    size, scale = abs(value), 10**9
    while size >= _YEAR_2286_S and scale > 1:
        size, scale = size / 1000, scale // 1000
    found = int(value * scale)
    return found if abs(found) < 2**63 else None


def milliseconds(value: Json) -> int:
    """Nanoseconds of a duration in milliseconds; 0 when it is none."""
    number = number_of(value)
    return int(number * 1_000_000) if number and abs(number) < 1e12 else 0


def number_of(value: Json) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def count_of(value: Json) -> int | None:
    """A whole number of at least 0; None for anything else."""
    number = number_of(value)
    return int(number) if number is not None and 0 <= number < 2**53 else None


def cost_of(value: Json) -> Decimal | None:
    """An amount; None for anything that is no finite number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() else None


def json_of(value: Json) -> Json:
    """The JSON inside a text; the value itself when it is no text or holds none."""
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        return value
    try:
        return encode(json.loads(value))
    except (ValueError, RecursionError):
        return value


def object_of(value: Json, name: str) -> dict[str, Json] | None:
    """Inputs or outputs as an object: one that is none gets a name; None stays None."""
    if value is None:
        return None
    return dict(value) if isinstance(value, Mapping) else {name: value}


def text_of(value: Json) -> str | None:
    """A text that is not empty; numbers become texts; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def error_of(value: Json) -> RunError | None:
    """An error told as one text, with its type when it begins with one."""
    text = text_of(value)
    if text is None:
        return None
    head, colon, rest = text.partition(":")
    if colon and head.isidentifier() and head.endswith(("Error", "Exception", "Timeout")):
        return RunError(head, rest.strip())
    return RunError("", text)


def finished(run: Run, clock: Clock | None = None) -> Run:
    """The run as it leaves an adapter: values as JSON, secrets taken out, assumptions noted."""
    notes: dict[str, Json] = {}
    if clock and clock.assumed:
        notes["assumed_timezone"] = ", ".join(sorted(clock.assumed))
    clean, counts = redact(encode_run(run))
    if counts:
        notes["redacted"] = counts
    done = decode_run(clean)
    # Ids and times are no text of the trace, and must not change.
    done = replace(done, run_id=run.run_id, trace_id=run.trace_id, parent_id=run.parent_id)
    if not notes:
        return done
    metadata = dict(done.metadata or {})
    known = metadata.get(OURS)
    metadata[OURS] = {**(known if isinstance(known, Mapping) else {}), **notes}
    return replace(done, metadata=metadata)
