"""LangSmith's SDK in OTEL mode; names of langsmith 0.14 (`langsmith.*`, `gen_ai.prompt`)."""

from collections.abc import Mapping

from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import parsed
from refinery.model.trace import Json

_METADATA = "langsmith.metadata."


def read(facts: Facts) -> None:
    """Fill in what `langsmith.*` attributes say."""
    if not any(name.startswith("langsmith.") for name in facts.attributes):
        return
    facts.put("inputs", facts.first("gen_ai.prompt"))
    facts.put("outputs", facts.first("gen_ai.completion"))
    metadata = {name: parsed(value) for name, value in facts.under(_METADATA).items()}
    for name in ("thread_id", "session_id", "conversation_id"):
        facts.put_text("session_id", _METADATA + name)
    facts.put_text("session_id", "langsmith.trace.session_id.override")
    facts.put_text("user_id", f"{_METADATA}user_id", f"{_METADATA}ls_user_id")
    facts.put_text("provider", f"{_METADATA}ls_provider")
    facts.put_text("model_requested", "gen_ai.request.model", f"{_METADATA}ls_model_name")
    facts.put("params", _params(metadata))
    _usage(facts, metadata.get("usage_metadata"))
    facts.put_tags(facts.attributes.get("langsmith.span.tags"))
    facts.used.add("langsmith.span.tags")
    facts.add_metadata(metadata)
    facts.project = facts.project or _text(facts.attributes.get("langsmith.trace.session_name"))


def _params(metadata: Mapping[str, Json]) -> dict[str, Json]:
    names = ("temperature", "max_tokens", "stop")
    return {n: metadata[f"ls_{n}"] for n in names if metadata.get(f"ls_{n}") is not None}


def _usage(facts: Facts, told: Json) -> None:
    if not isinstance(told, Mapping):
        return
    for name in ("input", "output", "total"):
        facts.count(name, told.get(f"{name}_tokens"))
    into, out = told.get("input_token_details"), told.get("output_token_details")
    if isinstance(into, Mapping):
        facts.count("cache_read", into.get("cache_read"))
        facts.count("cache_write", into.get("cache_creation"))
    if isinstance(out, Mapping):
        facts.count("reasoning", out.get("reasoning"))
    facts.put_cost(told.get("total_cost"))


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
