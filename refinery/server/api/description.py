"""`/docs`: the description of the API as one plain page, made of its OpenAPI document."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from refinery.server.tokens import API, CSRF_HEADER

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Refinery API</title><link rel="stylesheet" href="/ui/static/css/docs.css"></head>
<body><main><h1>Refinery API</h1>
<p>{summary} Every path begins with <code>{api}</code>; the machine's form is
<a href="{api}/openapi.json">openapi.json</a> (OpenAPI {version}).</p>
<p>Send <code>Authorization: Bearer TOKEN</code>. A page has a cookie instead, and repeats
<code>csrf</code> of <code>GET {api}/session</code> in the header <code>{csrf}</code> when it
changes something. Bodies are JSON. An error is
<code>{{"error": {{"code", "message", "hint"}}}}</code>.</p>
"""


def page(spec: Mapping[str, Any]) -> str:
    """The page, as HTML; every text of the document is escaped."""
    return "".join(_pieces(spec))


def _pieces(spec: Mapping[str, Any]) -> Iterator[str]:
    about = spec["info"]
    yield _HEAD.format(
        summary=escape(about.get("summary", "")),
        api=API,
        csrf=CSRF_HEADER,
        version=spec["openapi"],
    )
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            yield _operation(path, method, operation)
    yield "<h2>Shapes</h2>"
    for name, schema in sorted(spec.get("components", {}).get("schemas", {}).items()):
        yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3>'
        yield f"<p>{escape(schema.get('description', ''))}</p>"
        yield _table(
            ("field", "type", ""),
            (
                (escape(field), _type(about), escape(about.get("description", "")))
                for field, about in schema.get("properties", {}).items()
            ),
        )
        yield "</section>"
    yield "</main></body></html>\n"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = [
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]) + (", required" if one.get("required") else ""),
            _type(one.get("schema", {})),
            escape(one.get("description", "")),
        )
        for one in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {})
    answers = [
        (escape(status), ", ".join(_content(answer)), escape(answer.get("description", "")))
        for status, answer in operation.get("responses", {}).items()
        if status.startswith("2")
    ]
    return "".join(
        (
            f"<section><h2><span>{escape(method.upper())}</span> {escape(path)}</h2>",
            f"<p>{escape(operation.get('description', ''))}</p>",
            _table(("parameter", "in", "type", ""), parameters) if parameters else "",
            f"<p>Body: {', '.join(_content({'content': body}))}</p>" if body else "",
            _table(("answer", "shape", ""), answers),
            "</section>",
        )
    )


def _content(answer: Mapping[str, Any]) -> Iterator[str]:
    for kind, content in answer.get("content", {}).items():
        schema = content.get("schema")
        yield _type(schema) if schema and kind == "application/json" else escape(kind)


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words, linked where it has a name."""
    if reference := schema.get("$ref"):
        name = escape(str(reference).rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " or ".join(_type(one) for one in schema[word])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("type", "anything")))


def _table(head: tuple[str, ...], rows: Any) -> str:
    shown = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    if not shown:
        return ""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{shown}</tbody></table>"
