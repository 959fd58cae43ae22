"""Reads JSON as clients really send it: with NaN, lone surrogates, bytes that are no UTF-8."""

import json
from functools import cache
from typing import Any

import orjson

from refinery.model.trace import Json
from refinery.model.walk import MAX_DEPTH
from refinery.safety.redact import Redaction, chosen_redaction

_NOT_COMPACT = rb'\\u00[2-7]|\\/|[^\\]"[ \t\r\n]*:[ \t\r\n]|[^\\]"[ \t\r\n]+:'
"""JSON not written as `safety.prefilter` expects it: blanks after keys, needless escapes."""


class UnreadableError(ValueError):
    """A document is no JSON; the text says why."""


def load(raw: bytes) -> Json:
    """A JSON value.

    What strict JSON forbids but encoders of Python write is taken: NaN and the infinities become
    strings of their names, lone surrogates and bytes that are no UTF-8 the replacement character.

    Raises:
        UnreadableError: it is no JSON, or nested too deep to be read.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _loosely(raw, error)


def load_redacted(raw: bytes, *, is_clean: bool = False) -> Json:
    """A JSON value without secrets, and no deeper than `model.walk.MAX_DEPTH`.

    Args:
        raw: the document.
        is_clean: `may_hold_secret` has been asked of bytes around it and said no.

    Raises:
        UnreadableError: as `load`.
    """
    value = load(raw)
    needs_look = not is_clean and may_hold_secret(raw)
    return _redaction().redact(value)[0] if needs_look or is_deep(raw, value) else value


def may_hold_secret(raw: bytes) -> bool:
    """Whether redaction could find anything in JSON documents, alone or in a body of parts."""
    return bool(_suspects()(raw)) or _not_compact()(raw) is not None


@cache
def _redaction() -> Redaction:
    """What the environment chose; secrets are taken out of what others send in any case."""
    return chosen_redaction() or Redaction()


@cache
def _suspects() -> Any:
    return _redaction().suspects()


def is_deep(raw: bytes, value: Json) -> bool:
    """Whether a value read from these bytes is nested deeper than `model.walk.MAX_DEPTH`."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _members(outer)]
        if not level:
            return False
    return True


def _members(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, dict | list)]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict | list)]
    return []


def _loosely(raw: bytes, error: ValueError) -> Json:
    try:
        value = json.loads(
            raw.decode("utf-8", "replace"), parse_constant=str, parse_int=_integer, strict=False
        )
        return _without_surrogates(value)
    except RecursionError:
        raise UnreadableError("it is nested too deep") from None
    except ValueError:
        raise UnreadableError(f"it is no JSON: {str(error)[:200]}") from None


def _integer(digits: str) -> int | float:
    """As orjson: what does not fit into 64 bits becomes a float."""
    return int(digits) if len(digits) < 19 else float(digits)


@cache
def _not_compact() -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(_NOT_COMPACT, options).search


def _without_surrogates(value: Any) -> Json:
    """The value with lone surrogates, which cannot be written as UTF-8, replaced."""
    if isinstance(value, str):
        return (
            value
            if value.isascii()
            else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value
