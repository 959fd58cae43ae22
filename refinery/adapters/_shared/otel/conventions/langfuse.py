"""Langfuse's SDK over OTLP; names of langfuse 5 (`langfuse.observation.*`, `langfuse.trace.*`)."""

from collections.abc import Mapping
from decimal import Decimal

from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import amount, parsed
from refinery.model.trace import Json

_OBSERVATION = "langfuse.observation."
_TRACE = "langfuse.trace."


def read(facts: Facts) -> None:
    """Fill in what `langfuse.*` attributes say."""
    facts.put("inputs", facts.first(f"{_OBSERVATION}input", f"{_TRACE}input"))
    facts.put("outputs", facts.first(f"{_OBSERVATION}output", f"{_TRACE}output"))
    model = f"{_OBSERVATION}model.name"
    facts.put_text("model_requested", model)
    facts.put("params", _mapping(facts.take(f"{_OBSERVATION}model.parameters")))
    _usage(facts, _mapping(facts.take(f"{_OBSERVATION}usage_details")))
    facts.put_cost(_total(_mapping(facts.take(f"{_OBSERVATION}cost_details"))))
    facts.put_text("session_id", "session.id", "langfuse.session.id")
    facts.put_text("user_id", "user.id", "langfuse.user.id")
    facts.put_tags(facts.take(f"{_TRACE}tags"))
    for place in (_OBSERVATION, _TRACE):
        facts.add_metadata(_mapping(facts.take(f"{place}metadata")))
        under = facts.under(f"{place}metadata.")
        facts.add_metadata({name: parsed(value, scalars=True) for name, value in under.items()})
    if facts.attributes.get(f"{_OBSERVATION}level") == "ERROR":
        facts.error_message = str(facts.attributes.get(f"{_OBSERVATION}status_message") or "")


def _usage(facts: Facts, told: Mapping[str, Json]) -> None:
    """Tokens in Langfuse's own words, or as OpenAI's API wrote them."""
    into = _mapping(told.get("prompt_tokens_details")) or _mapping(
        told.get("input_tokens_details")
    )
    out = _mapping(told.get("completion_tokens_details")) or _mapping(
        told.get("output_tokens_details")
    )
    counts = {
        "input": ("input", "prompt_tokens", "input_tokens"),
        "output": ("output", "completion_tokens", "output_tokens"),
        "total": ("total", "total_tokens"),
        "cache_read": ("cache_read_input_tokens", "input_cached_tokens"),
        "cache_write": ("cache_creation_input_tokens",),
        "reasoning": ("output_reasoning_tokens", "output_reasoning", "reasoning_tokens"),
    }
    for name, words in counts.items():
        for word in words:
            facts.count(name, told.get(word))
    facts.count("cache_read", into.get("cached_tokens"))
    facts.count("reasoning", out.get("reasoning_tokens"))


def _total(costs: Mapping[str, Json]) -> str | None:
    """The total of a call's cost; the sum of its parts when no total is told."""
    if amount(costs.get("total")) is not None:
        return str(costs["total"])
    parts = [part for value in costs.values() if (part := amount(value)) is not None]
    return str(sum(parts, Decimal(0))) if parts else None


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
