"""Envelopes OpenLLMetry puts around what a LangChain callback was given; traceloop-sdk 0.62."""

from collections.abc import Mapping

from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import literal
from refinery.model.trace import Json

_AROUND = {"inputs", "input_str", "outputs", "output", "tags", "metadata", "kwargs"}


def unwrapped(facts: Facts, attribute: str, value: Json) -> Json:
    """What an envelope holds; any other value as it is.

    The rest of the envelope goes to the metadata under the attribute's name. Arguments of a tool
    may stand in it only as Python wrote them (`{'city': 'Paris'}`), which is not JSON.
    """
    if not isinstance(value, Mapping) or not set(value) <= _AROUND or "kwargs" not in value:
        return value
    for name in ("inputs", "outputs", "output", "input_str"):
        held = literal(value[name]) if name == "input_str" else value.get(name)
        if name in value and held is not None:
            rest = {k: v for k, v in value.items() if k != name or held is not v}
            facts.add_metadata({attribute: rest})
            if isinstance(rest.get("tags"), list):
                facts.put_tags(rest["tags"])
            return held
    return value
