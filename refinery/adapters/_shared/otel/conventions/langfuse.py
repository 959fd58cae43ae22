"""Langfuse's SDK over OTLP; names of langfuse 5 (`langfuse.observation.*`, `langfuse.trace.*`)."""

from collections.abc import Mapping
from dataclasses import asdict

from refinery.adapters._shared.langfuse_usage import cost_of, usage_of
from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import parsed
from refinery.model.trace import Json

_OBSERVATION = "langfuse.observation."
_TRACE = "langfuse.trace."


def read(facts: Facts) -> None:
    """Fill in what `langfuse.*` attributes say."""
    facts.put("inputs", facts.first(f"{_OBSERVATION}input", f"{_TRACE}input"))
    facts.put("outputs", facts.first(f"{_OBSERVATION}output", f"{_TRACE}output"))
    facts.put_text("model_requested", f"{_OBSERVATION}model.name")
    facts.put("params", _mapping(facts.take(f"{_OBSERVATION}model.parameters")))
    _usage(facts, _mapping(facts.take(f"{_OBSERVATION}usage_details")))
    costs = facts.take(f"{_OBSERVATION}cost_details")
    if isinstance(costs, Mapping):
        facts.put_cost(str(cost_of({"costDetails": costs})))
    facts.put_text("session_id", "session.id", "langfuse.session.id")
    facts.put_text("user_id", "user.id", "langfuse.user.id")
    facts.put_tags(facts.take(f"{_TRACE}tags"))
    for place in (_OBSERVATION, _TRACE):
        facts.add_metadata(facts.take(f"{place}metadata"))
        under = facts.under(f"{place}metadata.")
        facts.add_metadata({name: parsed(value, scalars=True) for name, value in under.items()})
    if facts.attributes.get(f"{_OBSERVATION}level") == "ERROR":
        facts.error_message = str(facts.attributes.get(f"{_OBSERVATION}status_message") or "")


def _usage(facts: Facts, told: Mapping[str, Json]) -> None:
    """Tokens in Langfuse's own words, or as OpenAI's API wrote them, with details inside."""
    flat = {name: value for name, value in told.items() if not isinstance(value, Mapping)}
    for name in ("prompt", "input", "completion", "output"):
        details = _mapping(told.get(f"{name}_tokens_details"))
        inner = ("cached_tokens", "reasoning_tokens")
        flat |= {k: v for k, v in details.items() if k in inner and k not in flat}
    usage = usage_of({"usageDetails": flat})
    for name, count in asdict(usage).items() if usage else ():
        facts.count(name, count)


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
