"""Reads and replaces one value inside JSON by its path."""

import json
from collections.abc import Mapping, Sequence

from refinery.errors import InputError
from refinery.model.trace import Json
from refinery.model.walk import MAX_DEPTH

_MAX_TEXT = 1_000_000
"""Longest text that is looked into as JSON, in characters."""


def put(value: Json, path: Sequence[str], new: Json, named: str) -> Json:
    """A copy of a value with one place replaced.

    A key that an object lacks is looked for in its `kwargs`, where LangChain's dumps keep fields,
    and a text that holds JSON is looked into, since tools often answer with one. The last part
    of the path may be a key that is not there yet.

    Args:
        value: stays as it is.
        path: keys and list positions, outermost first; empty replaces everything.
        new: what stands there afterwards.
        named: what the error calls the place.

    Raises:
        InputError: the path leads nowhere; the hint says what there is.
    """
    if not path:
        return new
    if len(path) > MAX_DEPTH:
        raise InputError(f"{named}: the path is deeper than {MAX_DEPTH}", hint="shorten it")
    head, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        inner = value.get("kwargs")
        if head not in value and isinstance(inner, Mapping) and (head in inner or not rest):
            return {**value, "kwargs": put(inner, path, new, named)}
        if head in value or not rest:
            return {**value, head: put(value.get(head), rest, new, named)}
        raise _lost(named, head, f"there are: {', '.join(map(str, list(value)[:12]))}")
    if isinstance(value, list):
        index = int(head) if head.lstrip("-").isdecimal() else None
        if index is None or not -len(value) <= index < len(value):
            raise _lost(named, head, f"the list has {len(value)} entries, from 0")
        changed = list(value)
        changed[index] = put(value[index], rest, new, named)
        return changed
    held = _held(value)
    if held is None:
        raise _lost(named, head, "there is no object or list at that place")
    return json.dumps(put(held, path, new, named), ensure_ascii=False)


def get(value: Json, path: Sequence[str]) -> Json:
    """The value at a path, found as `put` finds it.

    Raises:
        LookupError: there is none.
    """
    for part in path:
        if isinstance(value, str):
            value = _held(value)
        if isinstance(value, Mapping):
            inner = value.get("kwargs")
            holder = inner if part not in value and isinstance(inner, Mapping) else value
            value = holder[part]
        elif isinstance(value, list) and part.lstrip("-").isdecimal():
            value = value[int(part)]
        else:
            raise LookupError(part)
    return value


def _held(value: Json) -> Json:
    """What a text holds as JSON; None when it is no text or holds no object and no list."""
    if (
        not isinstance(value, str)
        or len(value) > _MAX_TEXT
        or value.lstrip()[:1] not in ("{", "[")
    ):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _lost(named: str, part: str, hint: str) -> InputError:
    return InputError(f"{named} leads nowhere: {part!r} is not there", hint=hint)
