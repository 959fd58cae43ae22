"""Replace the definition of a Python function or method."""

import ast
import textwrap

import libcst as cst

from refinery.codebase.python_source import PythonSource, parse_python
from refinery.codebase.splices import (
    Example,
    Splice,
    newline_of,
    schema,
    shorten,
    text,
    with_newlines,
)
from refinery.errors import EditError
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["qualname", "source"],
    qualname=text("name with its classes and outer functions, e.g. Agent.answer"),
    source=text("new definition; without decorators the old ones stay"),
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """Replace the definition, indented as the old one was.

    Raises:
        EditError: no such function, several of that name, or the new source is not exactly one
            function of that name.
    """
    parsed = PythonSource(source, path)
    qualname = arguments["qualname"].replace(".<locals>", "")
    old = _find(parsed, path, qualname)
    new = _definition(arguments["source"], qualname.rpartition(".")[2])
    start, end = parsed.span(old)
    has_decorators = new.lstrip().startswith("@")
    if has_decorators and old.decorators:
        start = parsed.span(old.decorators[0])[0]
    line_start, _ = parsed.line_span(parsed.line_at(start))
    indent = parsed.bytes[line_start:start].decode("utf-8")
    if indent.strip():
        raise EditError(f"{qualname} shares its line with other code", hint="use replace_text")
    body = with_newlines(_indented(new, indent), newline_of(source))
    return [Splice(start, _end_with_comment(parsed, end), body.strip().encode("utf-8"))]


def _end_with_comment(parsed: PythonSource, end: int) -> int:
    """End of the last line's comment; a comment there belongs to the code that goes."""
    last = parsed.bytes[end : parsed.line_span(parsed.line_at(end))[1]]
    return end + len(last.rstrip()) if last.lstrip().startswith(b"#") else end


def _find(parsed: PythonSource, path: str, qualname: str) -> cst.FunctionDef:
    found: list[tuple[str, cst.FunctionDef]] = []
    waiting: list[tuple[cst.CSTNode, str]] = [(parsed.module, "")]
    while waiting:
        node, prefix = waiting.pop()
        for child in reversed(node.children):
            name = prefix
            if isinstance(child, cst.FunctionDef | cst.ClassDef):
                name = f"{prefix}{child.name.value}"
                if isinstance(child, cst.FunctionDef):
                    found.append((name, child))
                name += "."
            waiting.append((child, name))
    fitting = [node for name, node in found if name == qualname]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise EditError(
            f"{path} defines {shorten(qualname)} {len(fitting)} times", hint="use replace_text"
        )
    names = ", ".join(sorted({name for name, _ in found})[:12])
    raise EditError(f"{path} has no function {shorten(qualname)}", hint=f"it has: {names}")


def _definition(source: str, name: str) -> str:
    text = textwrap.dedent(source.replace("\r\n", "\n")).strip("\n")
    body = parse_python(text, "the new source").body
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        raise EditError("the new source is not exactly one function")
    if body[0].name != name:
        raise EditError(
            f"the new source defines {shorten(body[0].name)}, not {shorten(name)}",
            hint="a function keeps its name, its callers use it",
        )
    return text


def _indented(source: str, indent: str) -> str:
    """The source indented, but for lines inside a string of several lines."""
    inside: set[int] = set()
    for node in ast.walk(parse_python(source, "the new source")):
        is_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        )
        if is_text and isinstance(node, ast.expr) and node.end_lineno:
            inside.update(range(node.lineno + 1, node.end_lineno + 1))
    lines = source.split("\n")
    return "\n".join(
        indent + line if line.strip() and number not in inside else line
        for number, line in enumerate(lines, start=1)
    )


EXAMPLES = [
    Example(
        "@tool\ndef f(a):\n    return a  # é\n\n\nx = f(1)\n",
        {"qualname": "f", "source": "def f(a):\n    return a + 1\n"},
        "@tool\ndef f(a):\n    return a + 1\n\n\nx = f(1)\n",
    ),
    Example(
        "class A:\n    @old\n    def f(self):\n        return 1\n\n    y = 2\n",
        {
            "qualname": "A.f",
            "source": '@new\nasync def f(self):\n    return """a\nb"""\n',
        },
        'class A:\n    @new\n    async def f(self):\n        return """a\nb"""\n\n    y = 2\n',
    ),
    Example(
        "def outer():\r\n    def f(): return 1\r\n    return f\r\n",
        {"qualname": "outer.<locals>.f", "source": "    def f():\n        return 2"},
        "def outer():\r\n    def f():\r\n        return 2\r\n    return f\r\n",
    ),
    Example(
        "def f(): pass\n", {"qualname": "g", "source": "def g(): pass"}, message="no function"
    ),
    Example(
        "def f(): pass\n", {"qualname": "f", "source": "def g(): pass"}, message="defines 'g'"
    ),
    Example(
        "def f(): pass\n", {"qualname": "f", "source": "x = 1"}, message="exactly one function"
    ),
    Example(
        "def f(): pass\ndef f(): pass\n",
        {"qualname": "f", "source": "def f(): pass"},
        message="2 times",
    ),
    Example("def f(): pass\n", {"qualname": "f", "source": "def f(:"}, message="not valid Python"),
]
