"""Finds where a program sets a value by name: `max_tokens`, `temperature`, `k`, a window.

A value may stand in the call itself, in a parameter's default, a constant, a field of a class, a
dictionary, or a YAML, JSON or TOML file; a call that reads it from one of these leads there.
"""

import ast
import json
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from refinery.codebase.json_spans import values as json_values
from refinery.codebase.scan import (
    DATA,
    PYTHON,
    SourceTree,
    Span,
    dotted_name,
    is_secondary,
    walk_named,
)
from refinery.codebase.yaml_events import scalars
from refinery.model.failure import SourceLocation
from refinery.model.trace import Json

MAX_FOUND = 12
_FORMS = {
    "argument": 0.95,
    "item": 0.9,
    "key": 0.92,
    "constant": 0.9,
    "field": 0.9,
    "default": 0.85,
}
"""How sure each form is; chosen by us, a call says most plainly what the value is for."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A literal that sets something."""

    path: str
    line: int
    column: int
    """Of the literal in its line, in characters from 0; -1 in a data file."""
    end_column: int
    name: str
    value: Json
    form: str
    """`argument`, `default`, `field`, `constant`, `item` (of a dictionary), `key` (of a data
    file) or `slice`."""
    node: str = ""
    """The call's dotted name, the qualified name around it, or the key path."""
    keys: tuple[str | int, ...] = ()
    """Key path in a data file."""

    def location(self, tree: SourceTree) -> SourceLocation:
        """As a place of the work tree."""
        sure = _FORMS.get(self.form, 0.8) * (0.5 if is_secondary(self.path) else 1.0)
        span = Span(self.path, self.line, self.line)
        return tree.location(span, self.node or self.name, "parameter", (sure, "name"))


def find_settings(tree: SourceTree, names: Collection[str], value: Json = None) -> list[Setting]:
    """Literals that set one of the names, likeliest first.

    Args:
        tree: the work tree.
        names: as the program's libraries write them; case and a prefix or suffix joined by `_`
            do not matter, except for names of one letter.
        value: what was recorded; when some places have it, only they are returned.
    """
    wanted = {name.lower() for name in names}
    found, aliases = _in_python(tree, wanted)
    aliases -= wanted
    if aliases:
        found += _in_python(tree, aliases)[0]
    found += _in_data(tree, wanted | aliases)
    if value is not None:
        found = [one for one in found if one.value == value] or found
    unique = {(one.path, one.line, one.column): one for one in found}
    ranked = sorted(unique.values(), key=lambda one: (is_secondary(one.path), -_sure(one, wanted)))
    return ranked[:MAX_FOUND]


def find_slices(
    tree: SourceTree, path: str, span: tuple[int, int], *, last: bool
) -> list[Setting]:
    """Literals that cut a list in the lines of a file: `found[:3]`, `messages[-4:]`.

    Args:
        tree: the work tree.
        path: a Python file.
        span: first and last line.
        last: bounds of cuts that keep the last items instead of the first ones.
    """
    syntax = tree.syntax(path)
    found: list[Setting] = []
    for qualname, node in walk_named(syntax) if syntax else ():
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
            continue
        if not span[0] <= node.lineno <= span[1]:
            continue
        bound = _bound(node.slice, last=last)
        if bound is None:
            continue
        literal = _literal(bound)
        if literal is not None:
            found.append(_setting(path, bound, ("slice", "slice", qualname), literal))
        elif name := _last_name(bound):
            found += [one for one in find_settings(tree, {name}) if isinstance(one.value, int)]
    return found


def _bound(cut: ast.Slice, *, last: bool) -> ast.expr | None:
    """The number of items a cut keeps; None when it keeps all or something else."""
    if last:
        lower = cut.lower if cut.upper is None else None
        is_negative = isinstance(lower, ast.UnaryOp) and isinstance(lower.op, ast.USub)
        return lower.operand if is_negative and isinstance(lower, ast.UnaryOp) else None
    upper = cut.upper
    is_start = cut.lower is None or _literal(cut.lower) == 0
    return upper if is_start and upper is not None and not isinstance(upper, ast.UnaryOp) else None


def _sure(one: Setting, wanted: Collection[str]) -> float:
    return _FORMS.get(one.form, 0.8) + (0.05 if one.name.lower() in wanted else 0.0)


def _fits(name: str, wanted: Collection[str]) -> bool:
    lowered = name.lower()
    return lowered in wanted or any(
        len(one) > 1 and (lowered.endswith("_" + one) or lowered.startswith(one + "_"))
        for one in wanted
    )


def _in_python(tree: SourceTree, wanted: Collection[str]) -> tuple[list[Setting], set[str]]:
    """Settings in Python files, and the names that calls read the value from."""
    found: list[Setting] = []
    aliases: set[str] = set()
    for path in tree.paths(PYTHON):
        text = (tree.text(path) or "").lower()
        syntax = tree.syntax(path) if any(name in text for name in wanted) else None
        for qualname, node in walk_named(syntax) if syntax else ():
            for name, given, form, around in _named_values(node, qualname):
                if not _fits(name, wanted):
                    continue
                literal = _literal(given)
                if literal is not None:
                    found.append(_setting(path, given, (name, form, around), literal))
                elif alias := _last_name(given):
                    aliases.add(alias.lower())
    return found, aliases


def _named_values(node: ast.AST, qualname: str) -> Iterator[tuple[str, ast.expr, str, str]]:
    """Every name a node gives a value: name, value, form, what is around."""
    if isinstance(node, ast.Call):
        called = dotted_name(node.func)
        for keyword in node.keywords:
            if keyword.arg:
                yield keyword.arg, keyword.value, "argument", called
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from _defaults(node, qualname)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        yield from _assigned(node, node.value, qualname)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value, "item", qualname


def _assigned(
    node: ast.Assign | ast.AnnAssign, value: ast.expr, qualname: str
) -> Iterator[tuple[str, ast.expr, str, str]]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Name | ast.Attribute):
            form = "field" if qualname or isinstance(target, ast.Attribute) else "constant"
            yield _last_name(target), value, form, qualname


def _defaults(
    node: ast.FunctionDef | ast.AsyncFunctionDef, qualname: str
) -> Iterator[tuple[str, ast.expr, str, str]]:
    listed = [*node.args.posonlyargs, *node.args.args]
    given = node.args.defaults
    pairs = list(zip(listed[len(listed) - len(given) :], given, strict=True))
    for argument, default in pairs:
        yield argument.arg, default, "default", qualname
    for argument, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if value is not None:
            yield argument.arg, value, "default", qualname


def _literal(node: ast.expr) -> Json:
    """A number, string or truth value; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    return None


def _setting(path: str, node: ast.expr, said: tuple[str, str, str], value: Json) -> Setting:
    name, form, around = said
    end = node.end_col_offset or node.col_offset
    return Setting(path, node.lineno, node.col_offset, end, name, value, form, around)


def _last_name(node: ast.AST) -> str:
    """Last part of what is read: `room` of `ROOMS["room"]`, `settings.room`, `get("room")`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        key = node.slice
        return str(key.value) if isinstance(key, ast.Constant) else _last_name(node.value)
    if isinstance(node, ast.Call) and dotted_name(node.func).rpartition(".")[2] in (
        *("get", "getenv", "int", "float", "getattr"),
    ):
        keys = [a for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        return str(keys[0].value) if keys else _last_name(node.args[0]) if node.args else ""
    return ""


def _in_data(tree: SourceTree, wanted: Collection[str]) -> list[Setting]:
    found = []
    for path in tree.paths(DATA):
        text = tree.text(path)
        if text is None or not any(name in text.lower() for name in wanted):
            continue
        for keys, value, line in _scalars(path, text):
            named = [key for key in keys if isinstance(key, str)]
            if named and _fits(named[-1].replace("-", "_"), wanted):
                node = ".".join(map(str, keys))
                found.append(Setting(path, line, -1, -1, named[-1], value, "key", node, keys))
    return found


def _scalars(path: str, text: str) -> Iterator[tuple[tuple[str | int, ...], Json, int]]:
    if path.endswith(".json"):
        yield from _json_scalars(text)
    elif path.endswith(".toml"):
        yield from _toml_scalars(text)
    else:
        for keys, value, line, _ in scalars(text):
            yield keys, _number(value), line


def _json_scalars(text: str) -> Iterator[tuple[tuple[str | int, ...], Json, int]]:
    for found in json_values(text):
        try:
            value = json.loads(text[found.start : found.end])
        except ValueError:
            continue
        if isinstance(value, int | float | str):
            yield tuple(found.path), value, text.count("\n", 0, found.start) + 1


def _toml_scalars(text: str) -> Iterator[tuple[tuple[str | int, ...], Json, int]]:
    try:
        waiting: list[tuple[tuple[str | int, ...], Json]] = [((), tomllib.loads(text))]
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    lines = text.split("\n")
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*keys, key), item) for key, item in value.items()]
        elif isinstance(value, int | float | str) and keys:
            start = str(keys[-1])
            at = next((n for n, x in enumerate(lines, 1) if x.strip().startswith(start)), 1)
            yield keys, value, at


def _number(text: str) -> Json:
    """A YAML scalar as a number when it is written as one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
