"""MLflow's tracing; names of mlflow 3 (`mlflow.*`, every value JSON or JSON in a string)."""

from collections.abc import Mapping

from refinery.adapters._shared.otel.facts import Facts
from refinery.adapters._shared.otel.values import parsed, text
from refinery.model.trace import Json


def read(facts: Facts) -> None:
    """Fill in what `mlflow.*` attributes say."""
    facts.put("inputs", facts.take("mlflow.spanInputs", scalars=True))
    facts.put("outputs", facts.take("mlflow.spanOutputs", scalars=True))
    facts.put("provider", text(facts.take("mlflow.llm.provider")))
    facts.put("model_requested", text(facts.take("mlflow.llm.model")))
    usage = facts.take("mlflow.chat.tokenUsage")
    if isinstance(usage, Mapping):
        for name in ("input", "output", "total"):
            facts.count(name, usage.get(f"{name}_tokens"))
        facts.count("cache_read", usage.get("cache_read_input_tokens"))
        facts.count("cache_write", usage.get("cache_creation_input_tokens"))
    cost = facts.take("mlflow.llm.cost")
    if isinstance(cost, Mapping):
        facts.put_cost(cost.get("total_cost"))
    tools = facts.take("mlflow.chat.tools")
    if isinstance(tools, list):
        facts.put("tools", [parsed(tool) for tool in tools])
    facts.put("session_id", text(facts.take("mlflow.trace.session")))
    facts.put("user_id", text(facts.take("mlflow.trace.user")))
    _params(facts)


def _params(facts: Facts) -> None:
    """Parameters of the call, which some of MLflow's integrations give beside the inputs."""
    params: Json = facts.take("mlflow.invocation_params")
    if isinstance(params, Mapping):
        facts.put("params", dict(params))
