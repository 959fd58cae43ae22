"""From the name of a tool, a node or a chain to its definition."""

import ast
from collections.abc import Iterator
from dataclasses import replace

from refinery.codebase.scan import PYTHON, SourceTree, Span, first_line, is_secondary, walk_named
from refinery.model.failure import SourceLocation

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_MARKING = {
    "tool",
    "function_tool",
    "task",
    "entrypoint",
    "traceable",
    "instrument",
    "node",
    "chain",
}
"""Last parts of decorators that make a run of a function."""
_MAKERS = {"add_node", "add_sequence", "from_function", "RunnableLambda", "Tool", "StructuredTool"}
"""Calls that tie a name to a function."""
MAX_FOUND = 5


def locate_name(tree: SourceTree, name: str) -> list[SourceLocation]:
    """Definitions a run of that name may come from, surest first."""
    if not name or len(name) > 200:
        return []
    found: list[SourceLocation] = []
    wanted: list[tuple[str, float]] = []
    for path in tree.paths(PYTHON):
        if name not in (tree.text(path) or ""):
            continue
        syntax = tree.syntax(path)
        for qualname, node in walk_named(syntax) if syntax else ():
            found += _definitions(tree, path, name, (qualname, node))
            wanted += _tied(node, name)
    for function, confidence in dict(wanted).items():
        found += [
            replace(one, confidence=round(one.confidence * confidence, 3))
            for one in _functions(tree, function)
        ]
    return _best(found)


def _best(found: list[SourceLocation]) -> list[SourceLocation]:
    """Each place once, tests and documents last."""
    best: dict[tuple[str, int], SourceLocation] = {}
    for one in found:
        if is_secondary(one.file):
            one = replace(one, confidence=round(one.confidence * 0.5, 3))
        key = (one.file, one.line_start)
        if key not in best or best[key].confidence < one.confidence:
            best[key] = one
    ranked = sorted(best.values(), key=lambda one: (-one.confidence, one.file, one.line_start))
    if len(ranked) > 1 and ranked[1].confidence >= ranked[0].confidence:
        ranked = [replace(one, confidence=round(one.confidence * 0.8, 3)) for one in ranked]
    return ranked[:MAX_FOUND]


def _definitions(
    tree: SourceTree, path: str, name: str, found: tuple[str, ast.AST]
) -> Iterator[SourceLocation]:
    """Locations of a definition that carries the name itself."""
    qualname, node = found
    if isinstance(node, _Function):
        confidence = _function_confidence(node, name, is_method="." in qualname)
        kind = "function"
    elif isinstance(node, ast.ClassDef):
        has_name = any(_is_name_field(statement, name) for statement in node.body)
        confidence = 0.95 if has_name else 0.85 if node.name == name else 0.0
        kind = "class"
    else:
        return
    if confidence:
        span = Span(path, first_line(node), node.end_lineno or node.lineno)
        yield tree.location(span, qualname, kind, (confidence, "name"))


def _function_confidence(node: _Function, name: str, *, is_method: bool) -> float:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and name in _strings(decorator):
            return 0.97
    if node.name != name:
        return 0.0
    marks = {_last_part(one) for one in node.decorator_list}
    if marks & _MARKING:
        return 0.97
    return 0.7 if is_method else 0.9


def _is_name_field(statement: ast.stmt, name: str) -> bool:
    """Whether a class says `name = "…"` or `name: str = "…"`."""
    target: ast.expr
    value: ast.expr | None
    if isinstance(statement, ast.AnnAssign):
        target, value = statement.target, statement.value
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
    else:
        return False
    is_field = isinstance(target, ast.Name) and target.id == "name"
    return is_field and isinstance(value, ast.Constant) and value.value == name


def _tied(node: ast.AST, name: str) -> Iterator[tuple[str, float]]:
    """Names of functions that a call or a dictionary ties to the wanted name."""
    if isinstance(node, ast.Call) and name in _strings(node):
        sure = 0.98 if _last_part(node.func) in _MAKERS else 0.8
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        yield from ((_last_part(value), sure) for value in values if _is_reference(value))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == name and _is_reference(value):
                yield _last_part(value), 0.75


def _functions(tree: SourceTree, function: str) -> Iterator[SourceLocation]:
    for path in tree.paths(PYTHON):
        if f"def {function}" not in (tree.text(path) or ""):
            continue
        syntax = tree.syntax(path)
        for qualname, node in walk_named(syntax) if syntax else ():
            if isinstance(node, _Function) and node.name == function:
                span = Span(path, first_line(node), node.end_lineno or node.lineno)
                yield tree.location(span, qualname, "function", (1.0, "name"))


def _strings(call: ast.Call) -> set[object]:
    values = [*call.args, *(k.value for k in call.keywords if k.arg in ("name", "key", "node"))]
    return {
        value.value
        for value in values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def _is_reference(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute)


def _last_part(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
