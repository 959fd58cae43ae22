"""Add an import at the top of a Python file."""

import ast
import re

from refinery.codebase.python_source import BOM, parse_python
from refinery.codebase.splices import Example, Splice, line_starts, newline_of, schema, text
from refinery.errors import EditError
from refinery.model.trace import Json

ARGUMENTS = schema(
    ["module"],
    module=text("dotted name of the module"),
    name={
        "type": ["string", "null"],
        "description": "what to import from it; null imports the module itself",
    },
)


def splices(source: str, path: str, arguments: dict[str, Json]) -> list[Splice]:
    """Insert one line behind the imports at the top of the file.

    Raises:
        EditError: a name is not valid, or the file imports it already.
    """
    module, name = arguments["module"], arguments.get("name")
    if not all(part.isidentifier() for part in module.lstrip(".").split(".")):
        raise EditError(f"{module!r} is no module name")
    if name is None and module.startswith("."):
        raise EditError("a relative import needs a name")
    if name is not None and not name.isidentifier():
        raise EditError(f"{name!r} cannot be imported")
    tree = parse_python(source, path)
    if _is_imported(tree, module, name):
        raise EditError(f"{path} imports {name or module} already")
    line = f"from {module} import {name}" if name else f"import {module}"
    return [_insertion(source, tree, line)]


def _is_imported(tree: ast.Module, module: str, name: str | None) -> bool:
    for node in tree.body:
        if name is None and isinstance(node, ast.Import):
            if any(one.name == module and one.asname is None for one in node.names):
                return True
        elif name is not None and isinstance(node, ast.ImportFrom):
            full = "." * node.level + (node.module or "")
            names = {one.name for one in node.names if one.asname in (None, one.name)}
            if full == module and name in names:
                return True
    return False


def _insertion(source: str, tree: ast.Module, line: str) -> Splice:
    newline = newline_of(source)
    content = source.encode("utf-8")
    starts = line_starts(content)
    last = _last_of_top(tree)
    if last is None:
        first = min(_first_code_line(source), len(starts))
        at = max(starts[first - 1], len(BOM.encode()) if source.startswith(BOM) else 0)
        gap = newline if content[at:].strip() else ""
        return Splice(at, at, f"{line}{newline}{gap}".encode())
    end = last.end_lineno or last.lineno
    is_docstring = isinstance(last, ast.Expr)
    gap = newline if is_docstring else ""
    if end < len(starts):
        return Splice(starts[end], starts[end], f"{gap}{line}{newline}".encode())
    return Splice(len(content), len(content), f"{newline}{gap}{line}".encode())


def _last_of_top(tree: ast.Module) -> ast.stmt | None:
    """The last import of the run of imports at the top; the docstring when there is none."""
    last: ast.stmt | None = None
    for index, node in enumerate(tree.body):
        is_docstring = index == 0 and (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        if not is_docstring and not isinstance(node, ast.Import | ast.ImportFrom):
            break
        last = node
    return last


def _first_code_line(source: str) -> int:
    """First line behind the comments at the top (interpreter line, encoding, licence)."""
    lines = re.split("\r\n|\r|\n", source.removeprefix(BOM))
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#"):
            return number
    return 1


EXAMPLES = [
    Example(
        '"""Agent."""\n\nimport os  # é\nfrom a import (\n    b,\n)\n\nx = 1\n',
        {"module": "datetime", "name": "date"},
        '"""Agent."""\n\nimport os  # é\nfrom a import (\n    b,\n)\nfrom datetime import date\n'
        "\nx = 1\n",
    ),
    Example(
        '"""Agent."""\n\nx = 1\n',
        {"module": "json"},
        '"""Agent."""\n\nimport json\n\nx = 1\n',
    ),
    Example(
        "#!/usr/bin/env python\r\nx = 1\r\n",
        {"module": "json", "name": None},
        "#!/usr/bin/env python\r\nimport json\r\n\r\nx = 1\r\n",
    ),
    Example("\ufeffx = 1\n", {"module": "json"}, "\ufeffimport json\n\nx = 1\n"),
    Example("", {"module": "json"}, "import json\n"),
    Example("import os", {"module": "json"}, "import os\nimport json"),
    Example(
        "from __future__ import annotations\nx = 1\n",
        {"module": ".tools", "name": "lookup"},
        "from __future__ import annotations\nfrom .tools import lookup\nx = 1\n",
    ),
    Example("import json\n", {"module": "json"}, message="already"),
    Example("from a import b as b\n", {"module": "a", "name": "b"}, message="already"),
    Example("x = 1\n", {"module": "a; import os"}, message="no module name"),
    Example("x = 1\n", {"module": "a", "name": "b, c"}, message="cannot be imported"),
]
