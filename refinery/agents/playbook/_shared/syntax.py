"""What recipes ask of a syntax tree."""

import ast
from collections.abc import Iterator

from refinery.agents.playbook import Case
from refinery.model.failure import SourceLocation

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_at(case: Case, *kinds: str) -> Iterator[tuple[SourceLocation, str, Function]]:
    """The innermost function around each place of these kinds, with the text of its file."""
    for place in case.places(*kinds):
        source, tree = case.tree.text(place.file), case.tree.syntax(place.file)
        function = enclosing_function(tree, place.line_start) if tree else None
        if source is not None and function is not None:
            yield place, source, function


def enclosing_function(tree: ast.Module, line: int) -> Function | None:
    """The innermost function around a line, its decorators included."""
    found: Function | None = None
    for node in ast.walk(tree):
        if isinstance(node, Function):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= line <= (node.end_lineno or node.lineno):
                found = node if found is None or node.lineno > found.lineno else found
    return found


def smallest_statement(function: Function, line: int) -> ast.stmt | None:
    """The innermost statement of a function that holds a line."""
    found: ast.stmt | None = None
    for node in ast.walk(function):
        if node is function or not isinstance(node, ast.stmt):
            continue
        if node.lineno <= line <= (node.end_lineno or node.lineno) and (
            found is None or node.lineno >= found.lineno
        ):
            found = node
    return found


def returned(function: Function, message: str, *, is_tool: bool) -> str:
    """Source of a value that fits what the function returns and says what is missing.

    Args:
        function: the function that returns it.
        message: source of a text.
        is_tool: whether a model reads what the function returns.
    """
    kind = _returned_kind(function)
    if kind == "dict":
        return f'{{"error": {message}}}'
    if kind == "list":
        return "[]"
    return message if kind == "str" or is_tool else "None"


def _returned_kind(function: Function) -> str:
    hint = ast.unparse(function.returns).strip("\"'") if function.returns else ""
    for kind in ("str", "dict", "list"):
        if hint.lower().startswith(kind):
            return kind
    values = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
    for value in values:
        if isinstance(value, ast.JoinedStr | ast.Constant) and _is_text(value):
            return "str"
        if isinstance(value, ast.Dict | ast.DictComp):
            return "dict"
        if isinstance(value, ast.List | ast.ListComp):
            return "list"
        if isinstance(value, ast.Call) and ast.unparse(value.func) in ("json.dumps", "str"):
            return "str"
    return ""


def _is_text(value: ast.JoinedStr | ast.Constant) -> bool:
    return isinstance(value, ast.JoinedStr) or isinstance(value.value, str)
