"""To and from JSON: every model class, without reviving anything but data.

`encode` turns dataclasses, enums, decimals, bytes, tuples and sets into JSON values and makes
any other object a marked representation. `decode` builds one named dataclass from JSON, ignoring
unknown keys, so that older programs read what newer ones wrote.
"""

import base64
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from refinery.model.trace import Json, Run
from refinery.model.walk import MAX_DEPTH

T = TypeVar("T")

UNREPRESENTABLE = "__repr__"
"""Key of the object that stands for a value JSON has no form for."""


def _clean(text: str) -> str:
    """Text without lone surrogates, each replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def encode(value: Any, depth: int = 0) -> Json:
    """Turn any value into JSON.

    Non-finite floats become strings, lone surrogates U+FFFD, values nested deeper than
    `walk.MAX_DEPTH` the string "…", unknown objects `{"__repr__": "<repr>"}`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return encode(value.value, depth)
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if value - value == 0 else str(value)
    if depth > MAX_DEPTH:
        return "…"
    return _encode_compound(value, depth)


def _encode_compound(value: Any, depth: int) -> Json:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return {"__base64__": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, Mapping):
        return {_clean(str(key)): encode(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [encode(item, depth + 1) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: encode(item, depth + 1) for name, item in pairs}
    return {UNREPRESENTABLE: _clean(repr(value))}


def encode_run(run: Run) -> dict[str, Json]:
    """One run as JSON without its absent fields."""
    encoded = {field.name: encode(getattr(run, field.name)) for field in fields(Run)}
    return {name: value for name, value in encoded.items() if value is not None}


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def decode(cls: type[T], value: Json) -> T:
    """Build a dataclass of the model from JSON; unknown keys are ignored.

    Raises:
        ValueError: a required field is missing, or a value has the wrong shape.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{cls.__name__} must be an object, not {type(value).__name__}")
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    arguments = {
        field.name: _decode_as(
            hints[field.name], value[field.name], f"{cls.__name__}.{field.name}"
        )
        for field in fields(cls)  # type: ignore[arg-type]  # cls is a dataclass by contract
        if field.name in value
    }
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from error


def decode_run(value: Json) -> Run:
    """Build a run from JSON.

    Raises:
        ValueError: `run_id` or `trace_id` is missing, or a value has the wrong shape.
    """
    return decode(Run, value)


def _decode_as(hint: Any, value: Json, where: str) -> Any:
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _decode_as(next(a for a in arguments if a is not types.NoneType), value, where)
    if origin is tuple or origin is list:
        return _decode_sequence(origin, arguments, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be an object, not {type(value).__name__}")
        return {str(key): _decode_as(arguments[1], item, where) for key, item in value.items()}
    return _decode_scalar(hint, value, where)


def _decode_sequence(origin: Any, arguments: tuple[Any, ...], value: Json, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} must be a list, not {type(value).__name__}")
    return origin(_decode_as(arguments[0], item, where) for item in value)


def _decode_scalar(hint: Any, value: Json, where: str) -> Any:
    try:
        if is_dataclass(hint):
            return decode(hint, value)  # type: ignore[arg-type]  # a class, checked just above
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint(value)
        if hint is bytes:
            return base64.b64decode(value["__base64__"])
        if hint is Decimal:
            return Decimal(value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
    except (InvalidOperation, KeyError, TypeError) as error:
        raise ValueError(f"{where}: {value!r} is not a {hint.__name__}") from error
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where} must be {hint.__name__}, not {type(value).__name__}")
    return value
