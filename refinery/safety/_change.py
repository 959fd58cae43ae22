"""What guard rules share: the text of a change, its added lines, its Python strings."""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from refinery import syntax
from refinery.model.patch import FileChange

MAX_BYTES = 1_000_000
"""Largest file that is read (libcst and ruamel take seconds beyond it)."""
MAX_LINES = 20_000
MAX_DEPTH = 100
"""Deepest nesting of Python expressions that is walked; CPython's own parser stops at 200
parentheses, but long chains of attributes and operators nest deeper."""
PROSE = (".md", ".txt", ".rst", ".jinja", ".jinja2", ".j2", ".prompt", ".tmpl", ".mustache")
DATA = (".yaml", ".yml", ".json", ".jsonl", ".toml")


def suffix(path: str) -> str:
    """Last suffix of a path in lower case, with its dot; empty when there is none."""
    return PurePosixPath(path).suffix.lower()


def is_python(path: str) -> bool:
    """Whether the path names Python source."""
    return suffix(path) in (".py", ".pyi", ".pyw")


def text(content: bytes | None) -> str:
    """The bytes as text; what is not UTF-8 becomes U+FFFD; absent is empty."""
    return (content or b"").decode("utf-8", "replace")


def whole(text: str) -> str:
    """The text with lone surrogates, which RE2 cannot read, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class ChangedLines:
    """Lines that differ between two versions of a file."""

    removed: tuple[tuple[int, str], ...]
    """(line number before, text), numbers from 1."""
    added: tuple[tuple[int, str], ...]
    """(line number after, text), numbers from 1."""
    spans: tuple[tuple[int, int], ...]
    """Touched places in the version before, as (first, last) line; an insertion names the lines
    around it."""


@lru_cache(maxsize=64)
def changed_lines(change: FileChange) -> ChangedLines:
    """Compare a file before and after, line by line."""
    before, after = text(change.before).splitlines(), text(change.after).splitlines()
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if len(old) > 2000 or len(new) > 2000:  # matching is quadratic; call all of it changed
        blocks: list[tuple[str, int, int, int, int]] = [("replace", 0, len(old), 0, len(new))]
    else:
        blocks = [*difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()]
    removed: list[tuple[int, str]] = []
    added: list[tuple[int, str]] = []
    spans: list[tuple[int, int]] = []
    for kind, i1, i2, j1, j2 in blocks:
        if kind == "equal":
            continue
        removed += [(head + i + 1, old[i]) for i in range(i1, i2)]
        added += [(head + j + 1, new[j]) for j in range(j1, j2)]
        first = head + i1 + 1
        spans.append((first, head + i2) if i2 > i1 else (max(first - 1, 1), first))
    return ChangedLines(tuple(removed), tuple(added), tuple(spans))


def _common(left: list[str], right: list[str]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


@lru_cache(maxsize=64)
def parsed(content: bytes) -> ast.Module | None:
    """The syntax tree of Python source; None when it does not parse or nests too deeply."""
    if len(content) > MAX_BYTES or content.count(b"\n") > MAX_LINES:
        return None
    try:
        tree = syntax.parse_module(content)
    except SyntaxError:
        return None
    return None if _is_too_deep(tree) else tree


def _is_too_deep(tree: ast.AST) -> bool:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return False


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string a Python module spells, as (line, text), put together where it is split.

    Joined are `+`, adjacent literals, the fixed parts of f-strings, `"".join([...])`, names that
    are only ever bound to one literal, `[::-1]`, and bytes that are ASCII.
    """
    names = _bound_once(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and (value := _folded(node, names)):
            yield getattr(node, "lineno", 0), whole(value)


def _bound_once(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str | None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                value = _folded(node.value, {})
                found[target.id] = None if target.id in found else value
    return {name: value for name, value in found.items() if value}


def _folded(node: ast.expr, names: dict[str, str]) -> str | None:
    """The text an expression is known to be; f-string values that are unknown count as nothing."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.Constant(value=bytes() as raw):
            return raw.decode("ascii", "ignore")
        case ast.Name():
            return names.get(node.id)
        case ast.BinOp(op=ast.Add()):
            left, right = _folded(node.left, names), _folded(node.right, names)
            return left + right if left is not None and right is not None else None
        case ast.JoinedStr():
            return "".join(_folded(part, names) or "" for part in node.values)
        case ast.FormattedValue():
            return _folded(node.value, names)
        case ast.Subscript(slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp())):
            forward = _folded(node.value, names)
            return forward[::-1] if forward else None
        case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant(value=str() as glue))):
            return _joined(glue, node, names)
    return None


def _joined(glue: str, node: ast.Call, names: dict[str, str]) -> str | None:
    if len(node.args) != 1 or not isinstance(node.args[0], ast.List | ast.Tuple):
        return None
    parts = [_folded(item, names) for item in node.args[0].elts]
    return glue.join(p for p in parts if p is not None) if parts else None
