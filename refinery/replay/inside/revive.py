"""Values as a program had them, from their JSON form and the type the program says they have."""

import dataclasses
import types
import typing
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MAX_DEPTH = 20
_FROM_TEXT = (UUID, PurePath, Decimal)


def as_annotated(kind: Any, value: Any, depth: int = 0) -> Any:
    """The value as an instance of an annotation, as far as that is plain; else as it is.

    Dataclasses, named tuples, pydantic models, tuples, sets, enumerations, dates, UUIDs, paths
    and decimals are made; numbers and texts never become another type of number or text.
    """
    if depth > MAX_DEPTH or kind is None or kind is Any:
        return value
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        made = (as_annotated(item, value, depth + 1) for item in inner)
        return next((found for found in made if found is not value), value)
    if origin is typing.Annotated:
        return as_annotated(inner[0], value, depth + 1)
    if isinstance(value, list):
        return _listed(kind, origin, inner, value, depth)
    if isinstance(value, dict):
        return _mapped(kind, origin, inner, value, depth)
    if isinstance(kind, type):
        return _atom(kind, value)
    return value


def _listed(kind: Any, origin: Any, inner: tuple[Any, ...], value: list[Any], depth: int) -> Any:
    holder = origin or kind
    if holder is tuple:
        each = inner[:1] * len(value) if inner[1:] == (...,) else inner
        kinds = [*each, *[None] * len(value)]
        return tuple(as_annotated(k, v, depth + 1) for k, v in zip(kinds, value, strict=False))
    each_kind = inner[0] if inner else None
    made = [as_annotated(each_kind, item, depth + 1) for item in value]
    return holder(made) if holder in (set, frozenset) else made if inner else value


def _mapped(
    kind: Any, origin: Any, inner: tuple[Any, ...], value: dict[str, Any], depth: int
) -> Any:
    if origin is dict and len(inner) == 2:
        return {key: as_annotated(inner[1], item, depth + 1) for key, item in value.items()}
    if not isinstance(kind, type):
        return value
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    try:
        if dataclasses.is_dataclass(kind) or is_named_tuple:
            hints = typing.get_type_hints(kind)
            held = {k: as_annotated(hints.get(k), v, depth + 1) for k, v in value.items()}
            return kind(**held)
        if hasattr(kind, "model_validate"):
            return kind.model_validate(value)
    except Exception:  # noqa: BLE001  # classes of the agent's; their JSON form is left
        return value
    return value


def _atom(kind: type, value: Any) -> Any:
    try:
        if issubclass(kind, Enum):
            return kind(value)
        if not isinstance(value, str):
            return value
        if kind in (datetime, date):
            return kind.fromisoformat(value)
        return kind(value) if issubclass(kind, _FROM_TEXT) else value
    except (ValueError, ArithmeticError, TypeError):
        return value
