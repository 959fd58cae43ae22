"""Cuts strings that are too long to be kept whole, and says so in their place."""

from refinery.model.trace import Json


def cut(value: Json, limit_chars: int) -> Json:
    """The value with each longer string cut to the limit, which its end then says."""
    if isinstance(value, str) and len(value) > limit_chars:
        return f"{value[:limit_chars]}… [cut by refinery: {len(value)} characters]"
    if isinstance(value, list):
        return [cut(item, limit_chars) for item in value]
    if isinstance(value, dict):
        return {key[:limit_chars]: cut(item, limit_chars) for key, item in value.items()}
    return value
