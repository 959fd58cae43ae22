"""Where a tool is described to the model, and where its code hides its errors."""

import ast
from collections.abc import Iterator

from refinery.codebase.names import locate_name
from refinery.codebase.scan import PYTHON, SourceTree, Span, is_secondary
from refinery.model.failure import SourceLocation
from refinery.model.trace import Json

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BROAD = ("Exception", "BaseException")
_NOTHING = ("''", "None", "[]", "{}", "'[]'", "'{}'")
_REFUSALS = ("must", "should be", "expected", "invalid", "required", "has to be", "not a valid")
"""Words of a result by which a tool refuses its arguments."""


def locate_tool(tree: SourceTree, name: str, result: Json = "") -> list[SourceLocation]:
    """Places behind what a tool gave, likeliest first; a raw loop records no run of it.

    Args:
        tree: the work tree.
        name: as the model called it.
        result: what it gave. Nothing at all: a handler that swallows errors comes first. Words
            that refuse the arguments: the description the model chose them by comes first.
    """
    defined = locate_name(tree, name)
    said = str(result or "").strip().lower()
    first: list[SourceLocation] = []
    if said in ("", "nothing", "[]", "{}", "none", "null"):
        first = [place for one in defined for place in _handlers(tree, one, name)]
    elif any(word in said for word in _REFUSALS):
        first = list(_descriptions(tree, name))
    return [*first, *defined]


def is_blamed(places: list[SourceLocation]) -> bool:
    """Whether the first of the places says more than where the tool is defined."""
    return bool(places) and places[0].kind in ("handler", "schema")


def description_in(node: ast.AST, name: str) -> ast.Constant | None:
    """The description of a tool in a dictionary that names it."""
    if not isinstance(node, ast.Dict):
        return None
    pairs = {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant)
    }
    named, described = pairs.get("name"), pairs.get("description")
    is_named = isinstance(named, ast.Constant) and named.value == name
    is_text = isinstance(described, ast.Constant) and isinstance(described.value, str)
    return described if is_named and is_text and isinstance(described, ast.Constant) else None


def swallowing_handlers(function: ast.AST) -> Iterator[ast.ExceptHandler]:
    """Handlers of any error at all that end with an empty value, or with nothing."""
    for node in ast.walk(function):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and _is_nothing(node.body[-1]):
            yield node


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in _BROAD


def _is_nothing(statement: ast.stmt) -> bool:
    """Whether a statement returns an empty value, or passes."""
    if isinstance(statement, ast.Pass):
        return True
    if not isinstance(statement, ast.Return):
        return False
    return statement.value is None or ast.unparse(statement.value) in _NOTHING


def _handlers(tree: SourceTree, place: SourceLocation, name: str) -> Iterator[SourceLocation]:
    """Swallowing handlers of a located function."""
    syntax = tree.syntax(place.file) if place.file.endswith(PYTHON) else None
    for node in ast.walk(syntax) if syntax else ():
        is_it = isinstance(node, Function) and node.lineno <= place.line_end
        if not is_it or (getattr(node, "end_lineno", 0) or 0) < place.line_start:
            continue
        for handler in swallowing_handlers(node):
            span = Span(place.file, handler.lineno, handler.end_lineno or handler.lineno)
            yield tree.location(span, place.node or name, "handler", (place.confidence, "name"))


def _descriptions(tree: SourceTree, name: str) -> Iterator[SourceLocation]:
    """Descriptions of the tool in schemas written by hand."""
    for path in tree.paths(PYTHON):
        text = tree.text(path) or ""
        if is_secondary(path) or name not in text or "description" not in text:
            continue
        syntax = tree.syntax(path)
        for node in ast.walk(syntax) if syntax else ():
            found = description_in(node, name)
            if found is not None:
                span = Span(path, found.lineno, found.end_lineno or found.lineno)
                yield tree.location(span, name, "schema", (0.9, "name"))
