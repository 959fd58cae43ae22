"""Plain values of foreign JSON: what is not of the expected type counts as not there."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from refinery.model.trace import Json


def as_object(value: Json) -> dict[str, Json]:
    """The value as an object; an empty one when it is none."""
    return dict(value) if isinstance(value, Mapping) else {}


def as_list(value: Json) -> list[Json]:
    """The value as a list; an empty one when it is none."""
    return list(value) if isinstance(value, list | tuple) else []


def as_objects(value: Json) -> list[dict[str, Json]]:
    """The objects of a list; none when it is no list."""
    return [dict(item) for item in as_list(value) if isinstance(item, Mapping)]


def as_text(value: Json) -> str | None:
    """The value when it is a text that is not empty."""
    return value if isinstance(value, str) and value else None


def as_name(value: Json) -> str | None:
    """A text, or a number as text: what an id or a version may be."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def as_count(*values: Json) -> int | None:
    """The first of the values that is a whole number that is not negative."""
    for value in values:
        if isinstance(value, bool):
            continue
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, int) and 0 <= value < 2**63:
            return value
    return None


def as_cost(value: Json) -> Decimal | None:
    """An amount that is finite and not negative."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 and cost.adjusted() < 12 else None


def as_score(value: Json) -> float | None:
    """A finite number; booleans count as 1 and 0."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def unpacked(value: Json, times: int = 1) -> Json:
    """A text that is the JSON of an object, a list or a text, read; all else as it is.

    Args:
        value: what may be such a text.
        times: how often a text within a text is unpacked.
    """
    for _ in range(times):
        if not isinstance(value, str) or value[:1].strip() not in ("{", "[", '"'):
            return value
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if not isinstance(found, dict | list | str):
            return value
        value = found
    return value
