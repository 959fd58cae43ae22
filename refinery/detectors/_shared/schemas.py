"""Tool schemas offered to a model, and where arguments do not fit them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from refinery.detectors._shared.view import ModelCall
from refinery.model.trace import Json

MAX_DEPTH = 20
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """One way in which arguments do not fit a schema."""

    argument: str
    """Dotted path; empty for the arguments as a whole."""
    rule: str
    """`required`, `type`, `enum` or `unknown`."""
    message: str
    value: Json = None


def offered_tools(model: ModelCall) -> dict[str, Json] | None:
    """Argument schema of each offered tool by name (None when it has none).

    None instead of a dict: the tools were not recorded. A vendor's built-in tool goes by its type.
    """
    tools = model.run.tools or model.parameters.get("tools") or model.parameters.get("functions")
    if not isinstance(tools, list) or not tools:
        return None
    found: dict[str, Json] = {}
    for tool in tools:
        if not isinstance(tool, Mapping):
            return None
        inner = tool.get("function")
        described = inner if isinstance(inner, Mapping) else tool
        name = described.get("name") or tool.get("type")
        if not isinstance(name, str):
            return None
        schema = described.get("parameters", described.get("input_schema"))
        found[name] = schema if isinstance(schema, Mapping) else described.get("args_schema")
    return found


def misfits(value: Json, schema: Json) -> Iterator[Misfit]:
    """Where a value breaks a JSON schema.

    Checked are type, required, enum, const, properties, items, additionalProperties, anyOf, oneOf
    and local references; every other keyword is taken as kept (JSON Schema 2020-12).
    """
    yield from _misfits(value, schema, schema, "", 0)


def _misfits(value: Json, schema: Json, root: Json, path: str, depth: int) -> Iterator[Misfit]:
    schema = _resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return
    options = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(options, list) and options:
        tried = [list(_misfits(value, option, root, path, depth + 1)) for option in options]
        if all(tried):
            yield tried[0][0] if len(tried) == 1 else Misfit(path, "type", _none_fits(path), value)
        return
    wrong = _wrong_type(value, schema, path)
    if wrong is not None:
        yield wrong
        return
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(allowed, list) and value not in allowed:
        yield Misfit(path, "enum", f"{path or 'the value'} must be one of {allowed[:8]}", value)
    if isinstance(value, dict):
        yield from _object_misfits(value, schema, root, path, depth)
    if isinstance(value, list):
        for index, item in enumerate(value[:100]):
            yield from _misfits(item, schema.get("items"), root, f"{path}.{index}", depth + 1)


def _object_misfits(
    value: dict[str, Json], schema: Mapping[str, Json], root: Json, path: str, depth: int
) -> Iterator[Misfit]:
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and name not in value:
            where = f"{path}.{name}".strip(".")
            yield Misfit(where, "required", f"{where} is missing")
    properties = schema.get("properties")
    known: Mapping[str, Json] = properties if isinstance(properties, Mapping) else {}
    for name, item in list(value.items())[:200]:
        where = f"{path}.{name}".strip(".")
        if name in known:
            yield from _misfits(item, known[name], root, where, depth + 1)
        elif schema.get("additionalProperties") is False:
            yield Misfit(where, "unknown", f"the tool has no argument {where}", item)


def _wrong_type(value: Json, schema: Mapping[str, Json], path: str) -> Misfit | None:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not names:
        return None
    known = [n for n in names if isinstance(n, str) and n in _TYPES]
    if len(known) < len(names) or any(_is_a(value, name) for name in known):
        return None
    said = " or ".join(known)
    return Misfit(path, "type", f"{path or 'the arguments'} must be {said}", value)


def _is_a(value: Json, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _none_fits(path: str) -> str:
    return f"{path or 'the value'} fits none of the allowed forms"


def _resolved(schema: Json, root: Json) -> Json:
    """A schema behind a local reference (`#/$defs/Name`)."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        schema = root
        for part in reference[2:].split("/"):
            schema = schema.get(part) if isinstance(schema, Mapping) else None
    return None
