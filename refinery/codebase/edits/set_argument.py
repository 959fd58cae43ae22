"""Add a keyword argument to a call, or replace its value."""

import libcst as cst

from refinery.codebase.calls import check_name, check_value, find_call
from refinery.codebase.python_source import PythonSource
from refinery.codebase.splices import LINE, Example, Splice, newline_of, schema, text
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["call", "name", "value"],
    line=LINE,
    call=text("dotted name of what is called, or its last parts, e.g. ChatOpenAI"),
    name=text("name of the argument"),
    value=text("Python source of its value, e.g. 0 or 'json'"),
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """Replace the value of the keyword, or add it after the last argument.

    Raises:
        EditError: no call or several calls fit, or the value is no expression.
    """
    name = arguments["name"]
    check_name(name)
    value = check_value(arguments["value"])
    parsed = PythonSource(source, path)
    call = find_call(parsed, path, arguments["call"], arguments.get("line"))
    for given in call.args:
        if given.keyword is not None and given.keyword.value == name:
            start, end = parsed.span(given.value)
            return [Splice(start, end, value.encode("utf-8"))]
    return _added(parsed, call, f"{name}={value}", newline_of(source))


def _added(parsed: PythonSource, call: cst.Call, addition: str, newline: str) -> list[Splice]:
    if not call.args:
        end = parsed.span(call)[1] - 1
        return [Splice(end, end, addition.encode("utf-8"))]
    last = call.args[-1]
    start, end = parsed.span(last)
    line_start, line_end = parsed.line_span(parsed.line_at(start))
    before = parsed.bytes[line_start:start]
    has_own_line = not before.strip() and parsed.span(call)[1] > line_end
    if not has_own_line or parsed.line_at(end) != parsed.line_at(start):
        return [Splice(end, end, f", {addition}".encode())]
    # One argument a line: the new one gets a line too, behind the last one's comment.
    comma = isinstance(last.comma, cst.Comma)
    line = f"{before.decode('utf-8')}{addition}{',' if comma else ''}{newline}".encode()
    at_comma = [] if comma else [Splice(end, end, b",")]
    return [*at_comma, Splice(line_end, line_end, line)]


EXAMPLES = [
    Example(
        "m = ChatOpenAI('x', temperature = 0.7)  # warm\n",
        {"call": "ChatOpenAI", "name": "temperature", "value": "0"},
        "m = ChatOpenAI('x', temperature = 0)  # warm\n",
    ),
    Example(
        "m = ChatOpenAI(('é'))\n",
        {"call": "ChatOpenAI", "name": "temperature", "value": "0"},
        "m = ChatOpenAI(('é'), temperature=0)\n",
    ),
    Example("r = make( )\n", {"call": "make", "name": "k", "value": "5"}, "r = make( k=5)\n"),
    Example(
        "m = init(\n    'x',\n    temperature=0,  # why\n)\n",
        {"call": "init", "name": "max_retries", "value": "3"},
        "m = init(\n    'x',\n    temperature=0,  # why\n    max_retries=3,\n)\n",
    ),
    Example(
        "m = init(\r\n    'x'  # why\r\n)\r\n",
        {"call": "init", "name": "k", "value": "1, 2"},
        "m = init(\r\n    'x',  # why\r\n    k=(1, 2)\r\n)\r\n",
    ),
    Example(
        "from a.b import make as m\nx = m(1)\ny = n(1)\n",
        {"call": "a.b.make", "name": "k", "value": "5"},
        "from a.b import make as m\nx = m(1, k=5)\ny = n(1)\n",
    ),
    Example(
        "a = f(1)\nb = f(2)\n",
        {"line": 2, "call": "f", "name": "k", "value": "5"},
        "a = f(1)\nb = f(2, k=5)\n",
    ),
    Example(
        "r = client.with_options().chat.create(model='x')\n",
        {"call": "chat.create", "name": "temperature", "value": "0"},
        "r = client.with_options().chat.create(model='x', temperature=0)\n",
    ),
    Example(
        "a = f(1)\nb = f(2)\n",
        {"call": "f", "name": "k", "value": "5"},
        message="2 calls of 'f', on lines 1, 2",
    ),
    Example("a = f(1)\n", {"call": "g", "name": "k", "value": "5"}, message="no call of 'g'"),
    Example(
        "f(1)\n", {"call": "f", "name": "k", "value": "5)+g("}, message="no Python expression"
    ),
    Example("f(1)\n", {"call": "f", "name": "k", "value": "5 # c"}, message="holds a comment"),
    Example("f(1)\n", {"call": "f", "name": "k=1,z", "value": "5"}, message="cannot be the name"),
]
