"""OpenLLMetry's own attributes around workflows, tasks and tools; names of traceloop-sdk 0.62."""

from refinery.adapters._shared.otel.envelopes import unwrapped
from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import parsed

_ASSOCIATED = "traceloop.association.properties."


def read(facts: Facts) -> None:
    """Fill in what `traceloop.*` attributes say."""
    for field, name, task in (
        ("inputs", "traceloop.entity.input", "gen_ai.task.input"),
        ("outputs", "traceloop.entity.output", "gen_ai.task.output"),
    ):
        value = facts.take(name, scalars=True)
        value = facts.take(task, scalars=True) if value is None else value
        facts.used.add(task)
        facts.put(field, unwrapped(facts, name, value))
    for name in ("session_id", "thread_id", "conversation_id"):
        facts.put_text("session_id", f"{_ASSOCIATED}{name}")
    facts.put_text("user_id", f"{_ASSOCIATED}user_id")
    properties = {name: parsed(value) for name, value in facts.under(_ASSOCIATED).items()}
    facts.put_tags(properties.get("tags"))
    facts.add_metadata(properties)
