"""Values that are JSON already, and floats that orjson cannot write: nan, inf and -inf."""

import json
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # absence of the module is the marker

MAX_WALKED = 200_000
"""Most containers looked through for such floats; above, it has become one that holds itself."""
NO_FLOATS = frozenset({str, int, bool, type(None)})


class Encoded:
    """A value that is JSON already.

    orjson writes null for a float that is no number. Whether it did is looked up in the host's
    value later, on the writer thread: looking here would cost more than the encoding.
    """

    __slots__ = ("raw", "source")

    def __init__(self, raw: bytes, source: Any = None) -> None:
        self.raw = raw
        self.source = source
        """The host's plain value, which it may have changed since; asked for its floats only."""

    def settled(self) -> bytes:
        """The JSON, with the names of floats that are no numbers."""
        source, self.source = self.source, None
        if source is not None and b"null" in self.raw and _has_odd_float(source):
            self.raw = _dumped(_with_odd_floats(_loaded(self.raw), source))
        return self.raw


def is_encoded(value: Any) -> bool:
    """Whether a value is JSON already."""
    return type(value) is Encoded or _is_fragment(value)


def _is_fragment(value: Any) -> bool:
    return orjson is not None and type(value) is orjson.Fragment


def value_of(encoded: Any) -> Any:
    """What was encoded, decoded again."""
    raw = encoded.settled() if type(encoded) is Encoded else orjson.dumps(encoded)
    return _loaded(raw)


def settled(held: Any, source: Any) -> Any:
    """What `fragment` made, with the names of floats that are no numbers."""
    if source is None or not _is_fragment(held) or not _has_odd_float(source):
        return held
    return Encoded(orjson.dumps(held), source)


def _loaded(raw: bytes) -> Any:
    return orjson.loads(raw) if orjson is not None else json.loads(raw)


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value) if orjson is not None else json.dumps(value).encode()


def _has_odd_float(value: Any) -> bool:
    """Whether a plain value holds a float that is no number."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is float:
            if item - item != 0:
                return True
        elif kind is dict:
            waiting += [held for held in list(item.values()) if type(held) not in NO_FLOATS]
        elif kind is list or kind is tuple:
            waiting += [held for held in item if type(held) not in NO_FLOATS]
        if len(waiting) > MAX_WALKED:  # it has become one that holds itself
            return False
    return False


def _with_odd_floats(value: Any, source: Any) -> Any:
    """A decoded value with the text of each float that is no number where `source` holds one."""
    kind = type(source)
    if value is None:
        return str(source) if kind is float and source - source != 0 else None
    if type(value) is dict and kind is dict:
        for key, item in value.items():
            if item is None or type(item) in (dict, list):
                value[key] = _with_odd_floats(item, source.get(key))
    elif type(value) is list and kind in (list, tuple):
        for at, (item, there) in enumerate(zip(value, source, strict=False)):
            if item is None or type(item) in (dict, list):
                value[at] = _with_odd_floats(item, there)
    return value
