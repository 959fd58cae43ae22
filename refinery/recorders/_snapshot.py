"""Values as they are now: what the host may change later is copied, the rest is kept as it is.

The host's thread copies containers (dict, list, tuple, set, dataclass, pydantic model, LangChain
message and document) down to their leaves, which costs about as much as walking them. Leaves
JSON has no form for (a data frame, a connection) are kept by reference until the writer thread
takes their `repr`: taking it here could cost the host any amount of time.
"""

import dataclasses
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MAX_DEPTH = 60
"""Deepest nesting kept."""
MAX_NODES = 200_000
"""Most values kept of one snapshot; also what ends a walk of containers that hold themselves."""
MAX_TEXT = 4_000_000
"""Longest string kept, in characters; the rest is cut and said so."""
MAX_REPR = 10_000
"""Longest `repr` kept of an object JSON has no form for."""

_CUT = "… (cut by the recorder)"
_ATOMS = frozenset({int, float, bool, type(None)})


class Unencoded:
    """A leaf whose `repr` is taken on the writer thread, guarded."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        try:
            text = repr(self.value)
        except Exception as error:  # noqa: BLE001  # the object is the host's
            return f"<{_class_name(self.value)} whose repr raised {_class_name(error)}>"
        return text if len(text) <= MAX_REPR else text[:MAX_REPR] + _CUT


class Snapshot:
    """Takes copies of values and estimates how many bytes they hold."""

    __slots__ = ("nodes", "size_bytes")

    def __init__(self) -> None:
        self.nodes = 0
        self.size_bytes = 0

    def take(self, value: Any, depth: int = 0) -> Any:
        """A copy the host cannot change; made of dicts, lists, atoms and `Unencoded` leaves."""
        kind = type(value)
        self.nodes += 1
        if kind is str:
            self.size_bytes += len(value) + 3
            return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + _CUT
        if kind in _ATOMS:
            self.size_bytes += 5
            return value
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            return _CUT
        self.size_bytes += 20
        if kind is dict:
            return self._mapping(value, depth)
        if kind is list or kind is tuple:
            return [self.take(item, depth + 1) for item in list(value)]
        try:
            return self._other(value, depth)
        except Exception:  # noqa: BLE001  # a hostile object costs itself only
            return Unencoded(value)

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
            return self._sequence(value, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if (fields := _fields(value)) is not None:
            return self._mapping(fields, depth)
        self.size_bytes += 200
        return Unencoded(value)

    def _sequence(self, value: Any, depth: int) -> Any:
        names = getattr(type(value), "_fields", None)
        if isinstance(value, tuple) and isinstance(names, tuple):
            return self._mapping(dict(zip(map(str, names), value, strict=False)), depth)
        return [self.take(item, depth + 1) for item in list(value)]


def snapshot(value: Any) -> tuple[Any, int]:
    """A copy of a value, and an estimate of its size in bytes."""
    taker = Snapshot()
    copied = taker.take(value)
    return copied, taker.size_bytes


def _fields(value: Any) -> Mapping[str, Any] | None:
    """Fields of a model, message, document or dataclass instance; None for anything else."""
    cls = type(value)
    if hasattr(cls, "__pydantic_fields__") or hasattr(cls, "__fields_set__"):
        held = {name: item for name, item in vars(value).items() if not name.startswith("_")}
        extra = getattr(value, "__pydantic_extra__", None)
        return {**held, **extra} if isinstance(extra, dict) else held
    if dataclasses.is_dataclass(cls):
        names = (field.name for field in dataclasses.fields(cls))
        return {name: getattr(value, name, None) for name in names}
    return None


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
