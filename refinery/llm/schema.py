"""The JSON schema of an answer, as strict structured output wants it on the wire."""

from typing import Any

from pydantic import BaseModel


def wire_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """A schema without references in which every property is required and none is unknown.

    Models fill in what the schema requires, so it asks for everything; reading an answer stays
    lenient, because pydantic applies the defaults of the class.
    """
    from langchain_core.utils.function_calling import convert_to_openai_function

    function = convert_to_openai_function(schema)
    strict: dict[str, Any] = _strict(function["parameters"])
    return {"title": function["name"], "description": function["description"], **strict}


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _strict(value) for key, value in node.items() if key not in ("default", "title")}
    if isinstance(node.get("properties"), dict):
        # A property may itself be called `title` or `default`, so they are taken from the source.
        kept["properties"] = {name: _strict(part) for name, part in node["properties"].items()}
        kept["required"] = list(node["properties"])
        kept["additionalProperties"] = False
    return kept
