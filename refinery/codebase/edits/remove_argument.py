"""Remove a keyword argument from a call."""

import libcst as cst

from refinery.codebase.calls import find_call
from refinery.codebase.python_source import PythonSource
from refinery.codebase.splices import LINE, Example, Splice, schema, shorten, text
from refinery.errors import EditError
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["call", "name"],
    line=LINE,
    call=text("dotted name of what is called, or its last parts, e.g. ChatOpenAI"),
    name=text("name of the keyword argument"),
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """Remove the keyword with its comma; a line of its own goes with its comment.

    Raises:
        EditError: no call or several calls fit, or the call has no such keyword.
    """
    parsed = PythonSource(source, path)
    call = find_call(parsed, path, arguments["call"], arguments.get("line"))
    name = arguments["name"]
    for index, given in enumerate(call.args):
        if given.keyword is not None and given.keyword.value == name:
            start, end = _removed(parsed, call, index)
            return [Splice(start, end, b"")]
    raise EditError(f"the call of {arguments['call']} in {path} has no argument {shorten(name)}")


def _removed(parsed: PythonSource, call: cst.Call, index: int) -> tuple[int, int]:
    argument = call.args[index]
    start, end = parsed.span(argument)
    comma_end = parsed.span(argument.comma)[1] if isinstance(argument.comma, cst.Comma) else end
    lines = _own_lines(parsed, start, comma_end)
    if lines is not None and parsed.span(call)[1] > lines[1]:
        return lines
    if index + 1 < len(call.args):
        return start, parsed.span(call.args[index + 1])[0]
    if index > 0:
        return parsed.span(call.args[index - 1])[1], end
    return start, comma_end


def _own_lines(parsed: PythonSource, start: int, end: int) -> tuple[int, int] | None:
    """The whole lines of an argument that shares them with nothing but a comment."""
    first = parsed.line_span(parsed.line_at(start))[0]
    last = parsed.line_span(parsed.line_at(end))[1]
    rest = parsed.bytes[end:last].strip()
    is_alone = not parsed.bytes[first:start].strip() and (not rest or rest.startswith(b"#"))
    return (first, last) if is_alone else None


EXAMPLES = [
    Example(
        "m = f('x', stop=['é'], top_p=1)\n",
        {"call": "f", "name": "stop"},
        "m = f('x', top_p=1)\n",
    ),
    Example("m = f('x', stop=['y'])\n", {"call": "f", "name": "stop"}, "m = f('x')\n"),
    Example("m = f('x', stop=['y'],)\n", {"call": "f", "name": "stop"}, "m = f('x',)\n"),
    Example("m = f(stop=1,)\n", {"call": "f", "name": "stop"}, "m = f()\n"),
    Example(
        "m = f(\n    'x',  # first\n    stop=[\n        'y',\n    ],  # gone\n    n=1,\n)\n",
        {"call": "f", "name": "stop"},
        "m = f(\n    'x',  # first\n    n=1,\n)\n",
    ),
    Example(
        "m = f(\n    'x',  # first\n    stop=1\n)\n",
        {"call": "f", "name": "stop"},
        "m = f(\n    'x',  # first\n)\n",
    ),
    Example("m = f('x')\n", {"call": "f", "name": "stop"}, message="no argument 'stop'"),
    Example("m = f('stop')\n", {"call": "g", "name": "stop"}, message="no call of 'g'"),
]
