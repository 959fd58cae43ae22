"""Tokens and costs as Langfuse keeps them: maps with free names, of which some overlap."""

from collections.abc import Mapping
from decimal import Decimal

from refinery.adapters._shared.plain import as_cost, as_count, as_object
from refinery.model.trace import Json, Usage

_INPUT = ("input", "prompt_tokens", "input_tokens", "promptTokens")
_OUTPUT = ("output", "completion_tokens", "output_tokens", "completionTokens")
_TOTAL = ("total", "total_tokens", "totalTokens")
_READ = (
    *("cache_read_input_tokens", "input_cache_read", "input_cached_tokens"),
    *("prompt_details.cache_read", "input_cached", "cached_tokens", "cache_read"),
)
_WRITE = (
    *("cache_creation_input_tokens", "input_cache_creation", "input_cache_write"),
    *("prompt_details.cache_write", "cache_creation", "cache_write"),
)
_REASONING = (
    *("output_reasoning", "output_reasoning_tokens", "reasoning_tokens", "reasoning"),
    "completion_details.reasoning",
)


def usage_of(item: Mapping[str, Json]) -> Usage | None:
    """Tokens of an observation, cached ones counted as read; None when nobody counted them.

    Langfuse's integrations take what `input_cached…` and the like name out of `input` and leave
    `total` as it is, so the total tells whether parts are inside already.
    """
    told = as_object(item.get("usageDetails")) or _old(item)
    into, out = _named(told, _INPUT), _named(told, _OUTPUT)
    total = _named(told, _TOTAL)
    read, write = _named(told, _READ), _named(told, _WRITE)
    reasoning = _named(told, _REASONING)
    beside_in, beside_out = _parts(told, "input_", _READ, _WRITE), _parts(told, "output_")
    into, out = _whole(into, out, total, (beside_in, beside_out))
    usage = Usage(into, out, total, read, write, reasoning)
    # Observations without any count have every number at zero in exports.
    return usage if any(value for value in told.values()) else None


def cost_of(item: Mapping[str, Json]) -> Decimal | None:
    """US dollars of an observation; None when nobody reckoned them."""
    details = as_object(item.get("costDetails")) or as_object(item.get("providedCostDetails"))
    if (total := as_cost(details.get("total"))) is not None:
        return total
    parts = [cost for value in details.values() if (cost := as_cost(value)) is not None]
    if parts:
        return sum(parts, Decimal(0))
    found = (as_cost(item.get(name)) for name in ("totalCost", "calculatedTotalCost"))
    return next((cost for cost in found if cost), None)


def _old(item: Mapping[str, Json]) -> dict[str, Json]:
    """Counts in the fields of version 1 and of older exports."""
    if usage := as_object(item.get("usage")):
        return {key: value for key, value in usage.items() if key in (*_INPUT, *_OUTPUT, *_TOTAL)}
    names = (
        *(("input", "inputUsage"), ("output", "outputUsage"), ("total", "totalUsage")),
        *(("input", "promptTokens"), ("output", "completionTokens"), ("total", "totalTokens")),
    )
    return {key: item[name] for key, name in names if item.get(name)}


def _named(told: Mapping[str, Json], names: tuple[str, ...]) -> int | None:
    return as_count(*(told.get(name) for name in names))


def _parts(told: Mapping[str, Json], prefix: str, *others: tuple[str, ...]) -> int:
    """Sum of the entries that are parts of one side."""
    named = {name for group in others for name in group}
    found = {n: c for n, v in told.items() if (c := as_count(v)) is not None}
    sides = (*_INPUT, *_OUTPUT)
    return sum(
        count
        for name, count in found.items()
        if (name in named or name.startswith(prefix)) and name not in sides
    )


def _whole(
    into: int | None, out: int | None, total: int | None, parts: tuple[int, int]
) -> tuple[int | None, int | None]:
    """Both sides with their parts, as the total demands; as told when it demands nothing."""
    for with_in, with_out in ((0, 0), (parts[0], 0), (parts[0], parts[1]), (0, parts[1])):
        if total == (into or 0) + with_in + (out or 0) + with_out:
            return _added(into, with_in), _added(out, with_out)
    return into, out


def _added(count: int | None, more: int) -> int | None:
    return (count or 0) + more if more else count
