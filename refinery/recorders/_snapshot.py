"""Values as they are now: what the host may change later is copied, the rest is kept as it is.

With orjson a value is encoded on the spot, which is cheaper than copying it (0.4 µs for 2 KB of
plain values): nothing can change the bytes, and the writer splices them in. Without it, and for
what it refuses, the host's thread copies containers (dict, list, tuple, set, dataclass, pydantic
model, LangChain message and document) down to their leaves. Leaves JSON has no form for (a data
frame, a connection) are kept by reference until the writer thread takes their `repr`: taking it
here could cost the host any amount of time.
"""

import dataclasses
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from refinery.recorders._encoded import NO_FLOATS, Encoded, is_encoded

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # absence of the module is the marker

MAX_DEPTH = 60
"""Deepest nesting kept."""
MAX_NODES = 200_000
"""Most values kept of one snapshot; also what ends a walk of containers that hold themselves."""
HELD_DEPTH = 8
"""Levels down to which parts of a value that is not plain are tried to be encoded."""
MAX_OPENED = 5_000
"""Most values among which models are looked for before all are encoded together."""
MAX_TEXT = 4_000_000
"""Longest string kept, in characters; the rest is cut and said so."""
MAX_REPR = 10_000
"""Longest `repr` kept of an object JSON has no form for."""

_CUT = "… (cut by the recorder)"
_ATOMS = frozenset({int, float, bool, type(None)})
PLAIN = _ATOMS | {str}
_CLOSED_IN_MODELS = PLAIN | {dict}
_NEVER_CHANGING = frozenset({int, bool, type(None)})
"""Not floats: some of them are no numbers, which is looked up in what was encoded."""
_SHORT = 20
"""Most entries of a dictionary that is copied rather than encoded."""
_LEAF_BYTES = 20
"""Size counted for a key and what stands around its value."""


HOSTILE = (Exception, SystemExit, GeneratorExit)
"""What an object of the host may raise when it is looked at; Ctrl-C goes through."""


class Unencoded:
    """A leaf whose `repr` is taken on the writer thread, guarded."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        try:
            text = repr(self.value)
            return text if len(text) <= MAX_REPR else text[:MAX_REPR] + _CUT
        except HOSTILE as error:
            return f"<{_class_name(self.value)} whose repr raised {_class_name(error)}>"


class Snapshot:
    """Takes copies of values and estimates how many bytes they hold."""

    __slots__ = ("nodes", "size_bytes")

    def __init__(self) -> None:
        self.nodes = 0
        self.size_bytes = 0

    def take(self, value: Any, depth: int = 0) -> Any:
        """A copy the host cannot change; made of dicts, lists, atoms and `Unencoded` leaves.

        Floats that are no numbers become their text, as `codec.encode` writes them.
        """
        kind = type(value)
        self.nodes += 1
        if kind is str:
            self.size_bytes += len(value) + 3
            return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + _CUT
        if kind in _ATOMS:
            self.size_bytes += 5
            return value if kind is not float or value - value == 0 else str(value)
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            return _CUT
        self.size_bytes += 20
        if kind is dict:
            return self._mapping(value, depth)
        if kind is list or kind is tuple:
            return self._items(list(value), depth)
        try:
            return self._other(value, depth)
        except HOSTILE:  # a hostile object costs itself only
            return Unencoded(value)

    def hold(self, value: Any, depth: int = 0) -> Any:
        """The value as it is now, in any form a view takes: encoded where that is possible.

        orjson sees plain values only and calls nothing of ours, so nothing, not even another
        thread, can change what it walks through.
        """
        kind = type(value)
        if kind in NO_FLOATS or depth > HELD_DEPTH or orjson is None:
            return self.take(value, depth)
        if kind is dict or kind is list or kind is tuple:
            return self._encoded(value) or self._held_items(value, depth)
        try:
            fields = _fields(value)
        except HOSTILE:
            fields = None
        if fields is None:
            return self.take(value, depth)
        return self._encoded(fields) or self._held_items(fields, depth)

    def hold_models(self, value: Any) -> Any:
        """The same as `hold` for what most likely holds messages or other models.

        They are opened first and encoded together: orjson's refusal of each costs more.
        """
        try:
            opened = self._opened(value, False)
        except HOSTILE:
            self.nodes = 0
            return self.hold(value)
        return self._encoded(opened) or self.hold(value)

    def _opened(self, value: Any, is_of_model: bool, depth: int = 0) -> Any:
        """A value with its models replaced by their fields; what is plain is not copied.

        A dictionary inside a model is taken to be plain. What is left closed orjson refuses.
        """
        kind = type(value)
        if kind is dict or kind is list or kind is tuple:
            self.nodes += len(value)
            if (is_of_model and kind is dict) or depth > HELD_DEPTH or self.nodes > MAX_OPENED:
                return value
            if kind is dict:
                return {
                    key: item if type(item) in PLAIN else self._opened(item, False, depth + 1)
                    for key, item in value.items()
                }
            return [
                item if type(item) in PLAIN else self._opened(item, is_of_model, depth + 1)
                for item in value
            ]
        if _shape(kind) is not _MODEL:
            # LangChain's texts are of a class of their own, which orjson refuses.
            is_text = isinstance(value, str) and not isinstance(value, Enum)
            return str.__str__(value) if is_text else _fields(value) or value
        opened = {
            name: item if type(item) in _CLOSED_IN_MODELS else self._opened(item, True, depth + 1)
            for name, item in vars(value).items()
            if name[:1] != "_"
        }
        extra = getattr(value, "__pydantic_extra__", None)
        return {**opened, **extra} if type(extra) is dict and extra else opened

    def _encoded(self, value: Any) -> Any:
        try:
            raw = compact_json(value)
            if len(raw) > MAX_TEXT:
                return None
        except (TypeError, RuntimeError):  # not plain, too deep, a lone surrogate, changed
            return None
        self.size_bytes += len(raw)
        return Encoded(raw, value)

    def _held_items(self, value: Any, depth: int) -> Any:
        self.size_bytes += 20
        self.nodes += len(value)
        if self.nodes > MAX_NODES:
            return self.take(value, depth)
        if not isinstance(value, dict):
            return [self.hold(item, depth + 1) for item in list(value)]
        held = {}
        for key, item in list(value.items()):
            name = key if type(key) is str else _key(key)
            self.size_bytes += len(name) + 4
            held[name] = self.hold(item, depth + 1)
        return held

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        copied = {}
        for key, item in list(value.items()):
            if self.nodes > MAX_NODES:
                break
            name = key if type(key) is str else _key(key)
            self.size_bytes += len(name) + 4
            copied[name] = self.take(item, depth + 1)
        return copied

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.take(value.value, depth)
        if isinstance(value, str | int | float):
            return self.take(_plain(value), depth)
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, UUID | PurePath | Decimal):
            return str(value)
        if isinstance(value, bytes | bytearray):
            self.size_bytes += len(value) * 4 // 3
            return bytes(value)
        if isinstance(value, list | tuple | set | frozenset):
            listed = _listed(value)
            return (
                self._mapping(listed, depth)
                if type(listed) is dict
                else self._items(listed, depth)
            )
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if is_encoded(value):
            self.size_bytes += 200  # counted when it was made
            return value
        if (fields := _fields(value)) is not None:
            return self._mapping(fields, depth)
        self.size_bytes += 200
        return Unencoded(value)

    def _items(self, value: list[Any], depth: int) -> list[Any]:
        return [self.take(item, depth + 1) for item in value]


def fragment(value: Any) -> tuple[Any, int, Any]:
    """The same as `snapshot` for a value that the book is told of as well.

    What is encoded whole comes as orjson's `Fragment`: the garbage collector need not look at
    it, which costs a program that records much a fifth of all (benchmarks/record.py).

    Returns:
        The value, its size in bytes, and what `Book` is to be given with it: the host's own
        value, in which it may have to look for floats that are no numbers.
    """
    if orjson is not None and type(value) is dict:
        try:
            raw = b"".join((orjson.dumps(value, None, _OPTIONS), b""))  # `compact_json`
        except (TypeError, RuntimeError):
            pass
        else:
            size_bytes = len(raw)
            if size_bytes <= MAX_TEXT:
                return orjson.Fragment(raw), size_bytes, value
    taker = Snapshot()
    held = taker.hold(value)
    return held, taker.size_bytes, None


def fragment_of_own(value: dict[str, Any]) -> tuple[Any, int, Any]:
    """The same as `fragment` for a dictionary that nobody else will change.

    It is kept as it is when all in it is flat: texts, numbers and flags, and copies of short
    dictionaries of these, as most arguments and results are. The writer encodes it; doing so here
    costs the host 20 µs with cold caches.
    """
    size_bytes = 0
    for name, item in value.items():
        kind = type(item)
        if kind is str:
            size_bytes += len(item)
        elif kind is dict and len(item) <= _SHORT:
            copied = item.copy()
            for part in copied.values():
                kind = type(part)
                if kind is str:
                    size_bytes += len(part)
                elif kind not in _NEVER_CHANGING:
                    return fragment(value)
            size_bytes += _LEAF_BYTES * len(copied)
            value[name] = copied
        elif kind not in _NEVER_CHANGING:
            return fragment(value)
    if size_bytes > MAX_TEXT:
        return fragment(value)
    return value, size_bytes + _LEAF_BYTES * len(value), None


def snapshot(value: Any) -> tuple[Any, int]:
    """The value as it is now, in a form to be put into a run untouched, and its size in bytes."""
    if orjson is not None and type(value) is dict:  # the common case, without a walk's state
        try:
            raw = compact_json(value)
        except (TypeError, RuntimeError):
            pass
        else:
            if len(raw) <= MAX_TEXT:
                return Encoded(raw, value), len(raw)
    taker = Snapshot()
    held = taker.hold(value)
    return held, taker.size_bytes


def compact_json(value: Any) -> bytes:
    """A plain value as JSON, in memory of its own size.

    orjson makes room for eight bytes a character and gives back what it did not need. Kept as it
    is, every result begins a new page of memory, and the page faults of a program that records
    much cost six times as much as encoding (7.7 against 1.3 µs for two payloads of 0.8 KB).
    A copy leaves the large block to the next call.

    Raises:
        TypeError: the value is not plain.
        RuntimeError: it changed meanwhile.
    """
    return b"".join((orjson.dumps(value, None, _OPTIONS), b""))


if orjson is not None:
    # What is not plain is refused; enumerations and UUIDs orjson writes as `take` does.
    _OPTIONS = (
        orjson.OPT_PASSTHROUGH_SUBCLASS
        | orjson.OPT_PASSTHROUGH_DATACLASS
        | orjson.OPT_PASSTHROUGH_DATETIME
    )


def _listed(value: Any) -> Any:
    """A sequence or set as a list; a named tuple as an object of its fields."""
    names = getattr(type(value), "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple):
        return dict(zip(map(str, names), value, strict=False))
    return list(value)


def _fields(value: Any) -> Mapping[str, Any] | None:
    """Fields of a model, message, document or dataclass instance; None for anything else."""
    known = _shape(type(value))
    if known is _MODEL:
        held = {name: item for name, item in vars(value).items() if name[:1] != "_"}
        extra = getattr(value, "__pydantic_extra__", None)
        return {**held, **extra} if isinstance(extra, dict) else held
    if known is _CLOSED:
        return None
    return {name: getattr(value, name, None) for name in known}


_MODEL: tuple[str, ...] = ("*",)
_CLOSED: tuple[str, ...] = ("",)
_MOST_SHAPES = 4096
_shapes: dict[type, tuple[str, ...]] = {}
"""What is known of a class: `_MODEL`, `_CLOSED`, or the fields of a dataclass."""


def _shape(cls: type) -> tuple[str, ...]:
    known = _shapes.get(cls)
    if known is None:
        if len(_shapes) >= _MOST_SHAPES:
            _shapes.clear()
        known = _shapes[cls] = _looked_at(cls)
    return known


def _looked_at(cls: type) -> tuple[str, ...]:
    if hasattr(cls, "__pydantic_fields__") or hasattr(cls, "__fields_set__"):
        return _MODEL
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return _CLOSED


def _plain(value: Any) -> Any:
    """The built-in value inside a subclass of `str`, `int` or `float`."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(kind.__repr__(value))
    return value


def _key(key: Any) -> str:
    """The text of a mapping's key."""
    try:
        return str(getattr(key, "value", key)) if isinstance(key, str) else str(key)
    except Exception:  # noqa: BLE001  # the object is the host's
        return f"<{_class_name(key)}>"


def _class_name(value: Any) -> str:
    return getattr(type(value), "__name__", "object")
