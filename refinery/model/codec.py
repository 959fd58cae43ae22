"""To and from JSON: every model class, without reviving anything but data.

`encode` turns dataclasses, enums, decimals, bytes, tuples and sets into JSON values and makes
any other object a marked representation. `decode` builds one named dataclass from JSON, ignoring
unknown keys, so that older programs read what newer ones wrote.
"""

import base64
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar

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
    kind = type(value)
    if kind in _ITSELF or (kind is str and value.isascii()):
        return value
    if kind is dict and depth <= MAX_DEPTH:
        return {
            key if type(key) is str and key.isascii() else _clean(str(key)): encode(
                item, depth + 1
            )
            for key, item in value.items()
        }
    if kind is list and depth <= MAX_DEPTH:
        return [encode(item, depth + 1) for item in value]
    return _encode_other(value, depth)


_ITSELF = (types.NoneType, bool, int)
"""Types whose values JSON has as they are."""


def _encode_other(value: Any, depth: int) -> Json:
    """What is none of the usual: a rarer type, a subclass, text to be cleaned."""
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


def decode(cls: type[T], value: Json) -> T:
    """Build a dataclass of the model from JSON; unknown keys are ignored.

    Raises:
        ValueError: a required field is missing, or a value has the wrong shape.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{cls.__name__} must be an object, not {type(value).__name__}")
    steps = _steps(cls)  # type: ignore[arg-type]  # classes are hashable
    arguments: dict[str, Any] = {}
    for name, given in value.items():
        if name in steps:
            step = steps[name]
            arguments[name] = given if step is None else step(given)
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


_Step: TypeAlias = Callable[[Json], Any]
"""Turns the JSON of one value into the value, or raises `ValueError`."""


@cache
def _steps(cls: type) -> dict[str, _Step | None]:
    """What is to be done for each field of a dataclass; None: it stays as it is.

    Looking at type hints takes longer than decoding, so it is done once for each class.
    """
    hints = typing.get_type_hints(cls)
    return {
        field.name: _step(hints[field.name], f"{cls.__name__}.{field.name}")
        for field in fields(cls)
    }


def _step(hint: Any, where: str) -> _Step | None:
    if hint is Any:
        return None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in arguments if a is not types.NoneType)
        return _or_none(_step(inner, where))
    if origin is tuple or origin is list:
        return _sequence(origin, _step(arguments[0], where), where)
    if origin is dict:
        return _object(_step(arguments[1], where), where)
    if isinstance(hint, type) and is_dataclass(hint):
        return partial(decode, hint)
    return _scalar(hint, where)


def _or_none(inner: _Step | None) -> _Step | None:
    return inner and (lambda value: None if value is None else inner(value))


def _sequence(origin: type, inner: _Step | None, where: str) -> _Step:
    def build(value: Json) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} must be a list, not {type(value).__name__}")
        return origin(value if inner is None else map(inner, value))

    return build


def _object(inner: _Step | None, where: str) -> _Step:
    def build(value: Json) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be an object, not {type(value).__name__}")
        if inner is None:
            return {str(key): item for key, item in value.items()}
        return {str(key): inner(item) for key, item in value.items()}

    return build


_NOT_FINITE = ("nan", "inf", "-inf")
"""How `encode` writes floats that JSON has no form for."""


def _scalar(hint: Any, where: str) -> _Step:
    """Numbers, texts and what is written as one of them."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if hint is bytes or hint is Decimal:
        return _written(hint, where)

    def check(value: Json) -> Any:
        if type(value) is hint:
            return value
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if hint is float and value in _NOT_FINITE:
            return float(value)
        if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
            raise ValueError(f"{where} must be {hint.__name__}, not {type(value).__name__}")
        return value

    return check


def _written(hint: Any, where: str) -> _Step:
    """Bytes and decimals, which JSON has as text."""

    def read(value: Json) -> Any:
        try:
            return base64.b64decode(value["__base64__"]) if hint is bytes else Decimal(value)
        except (InvalidOperation, KeyError, TypeError) as error:
            raise ValueError(f"{where}: {value!r} is not a {hint.__name__}") from error

    return read
