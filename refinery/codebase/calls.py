"""Finds a call in a Python file by line and name."""

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator

import libcst as cst

from refinery import syntax
from refinery.codebase.python_source import PythonSource, walk
from refinery.codebase.splices import shorten
from refinery.errors import EditError

UNKNOWN = "…"
"""Stands for the part of a dotted name that is no name, e.g. the call in `make().run`."""


def find_call(parsed: PythonSource, path: str, name: str, line: int | None) -> cst.Call:
    """The one call of that name, on that line when one is given.

    Args:
        parsed: the file.
        path: for messages.
        name: dotted name or its last parts, e.g. `ChatOpenAI`, `completions.create`; the name a
            thing was imported under and its full name both count.
        line: a line the call stands on, from 1; None when the name is enough.

    Raises:
        EditError: no call fits, or several do.
    """
    aliases = dict(_aliases(parsed.module))
    calls = [node for node in walk(parsed.module) if isinstance(node, cst.Call)]
    named = [call for call in calls if _is_named(dotted(call.func), name, aliases)]
    if not named:
        raise EditError(
            f"{path} has no call of {shorten(name)}", hint=_near(calls, line, parsed) or ""
        )
    if len(named) > 1 and line is not None:
        starting = [call for call in named if parsed.lines(call)[0] == line]
        around = [c for c in named if parsed.lines(c)[0] <= line <= parsed.lines(c)[1]]
        named = starting or around or named
    if len(named) > 1:
        lines = ", ".join(str(parsed.lines(call)[0]) for call in named[:8])
        raise EditError(
            f"{path} has {len(named)} calls of {shorten(name)}, on lines {lines}",
            hint="give the line of the one that is meant",
        )
    return named[0]


def dotted(node: cst.BaseExpression) -> str:
    """Dotted name of an expression; `…` stands for what is no name."""
    parts: list[str] = []
    current = node
    while isinstance(current, cst.Attribute):
        parts.append(current.attr.value)
        current = current.value
    parts.append(current.value if isinstance(current, cst.Name) else UNKNOWN)
    return ".".join(reversed(parts))


def check_name(name: str) -> None:
    """Refuse what cannot be the name of an argument.

    Raises:
        EditError: it is no identifier.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise EditError(f"{name!r} cannot be the name of an argument")


def check_value(value: str) -> str:
    """A Python expression ready to stand as an argument.

    Raises:
        EditError: it is no single expression, or holds a comment.
    """
    text = value.strip()
    try:
        expression = syntax.parse_expression(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, tokenize.TokenError) as error:
        raise EditError(f"{shorten(value)} is no Python expression: {error}") from error
    if any(token.type == tokenize.COMMENT for token in tokens):
        raise EditError(f"{shorten(value)} holds a comment", hint="give the expression alone")
    if isinstance(expression, ast.Tuple) and not text.startswith("("):
        return f"({text})"
    return text


def _is_named(found: str, wanted: str, aliases: dict[str, str]) -> bool:
    head, dot, rest = found.partition(".")
    full = aliases.get(head, head) + dot + rest
    return any(name == wanted or name.endswith("." + wanted) for name in (found, full))


def _aliases(module: cst.Module) -> Iterator[tuple[str, str]]:
    """Full name of every imported name, by the name it has in the file."""
    for node in walk(module):
        if isinstance(node, cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
            origin = "." * len(node.relative) + (dotted(node.module) if node.module else "")
            for one in node.names:
                yield _local_name(one), f"{origin}.{dotted(one.name)}"
        elif isinstance(node, cst.Import):
            for one in node.names:
                if one.asname is not None:
                    yield _local_name(one), dotted(one.name)


def _local_name(alias: cst.ImportAlias) -> str:
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    return dotted(alias.name)


def _near(calls: list[cst.Call], line: int | None, parsed: PythonSource) -> str:
    """A hint: what is called on that line."""
    if line is None:
        return ""
    there = [dotted(call.func) for call in calls if parsed.lines(call)[0] == line]
    return f"line {line} calls {', '.join(there[:5])}" if there else ""
