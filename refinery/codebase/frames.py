"""From the files and lines a recording names to the lines of this work tree."""

import ast
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from refinery.codebase.scan import PYTHON, SourceTree, Span, first_line, is_secondary, walk_named
from refinery.model.failure import SourceLocation
from refinery.model.trace import CodeReference

_FRAME = re.compile(
    r'^\s*File "([^"\n]{1,1000})", line (\d{1,9})(?:, in ([^\n]{1,300}))?', re.MULTILINE
)
_SECTION = re.compile(r"^Traceback \(most recent call last\):", re.MULTILINE)
MAX_STACK = 200_000
"""Characters of a stack that are read."""
_FOREIGN = ("site-packages/", "dist-packages/", "/lib/python", "/.venv/", "/venv/", "<")


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback."""

    file: str
    line: int
    function: str


def parse_stack(stack: str) -> list[list[Frame]]:
    """Frames of a traceback by section, the original exception first, outermost frame first."""
    text = stack[-MAX_STACK:]
    starts = [found.start() for found in _SECTION.finditer(text)] or [0]
    sections = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        frames = [
            Frame(file, int(line), (function or "").strip())
            for file, line, function in _FRAME.findall(text[start:end])
        ]
        if frames:
            sections.append(frames)
    return sections


def locate_stack(tree: SourceTree, stack: str, recorded_root: str | None) -> list[SourceLocation]:
    """The deepest frame of each section that is in the work tree, and the function around it."""
    found: list[SourceLocation] = []
    for section in parse_stack(stack):
        for frame in reversed(section):
            path, trust = match_path(tree, frame.file, recorded_root)
            if path is not None:
                found += _frame_locations(tree, path, frame, trust)
                break
    return found


def locate_code(
    tree: SourceTree, code: CodeReference, recorded_root: str | None
) -> SourceLocation | None:
    """The definition a recording names; found again by its name when lines have moved."""
    if not code.file:
        return None
    path, trust = match_path(tree, code.file, recorded_root)
    if path is None:
        return None
    qualname = (code.qualname or "").replace(".<locals>", "")
    if node := definition(tree, path, qualname):
        span = Span(path, first_line(node), node.end_lineno or node.lineno)
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        return tree.location(span, qualname, kind, (trust, "recorded"))
    if code.line is None:
        return None
    total = (tree.text(path) or "").count("\n") + 1
    line = min(max(code.line, 1), total)
    around = enclosing(tree, path, line)
    span = Span(path, line, line)
    name = around[0] if around else qualname
    return tree.location(span, name, "function", (trust * 0.7, "recorded"))


def match_path(
    tree: SourceTree, recorded: str, recorded_root: str | None
) -> tuple[str | None, float]:
    """The path in the work tree of a recorded file, and how sure that is.

    A recording may come from another folder or machine: the recorded repository root is taken
    off, else the longest end of the path that names a file here.
    """
    path = recorded.replace("\\", "/")
    relative = _below(path, tree.root.as_posix()) or _below(path, recorded_root or "")
    if relative is None and not path.startswith("/") and ":" not in path[:3]:
        relative = str(PurePosixPath(path))
    if relative is not None and tree.has(relative):
        return relative, 1.0
    if any(mark in path for mark in _FOREIGN):
        return None, 0.0
    parts = [part for part in path.split("/") if part]
    for length in range(len(parts) - 1, 0, -1):
        tail = "/".join(parts[-length:])
        if tree.has(tail):
            return tail, 0.9 if length > 1 else 0.7
    named = (
        [one for one in tree.paths(PYTHON) if one.rpartition("/")[2] == parts[-1:][0]]
        if parts
        else []
    )
    named = [one for one in named if not is_secondary(one)] or named
    return (named[0], 0.6) if len(named) == 1 else (None, 0.0)


def _below(path: str, root: str) -> str | None:
    root = root.rstrip("/")
    return path[len(root) + 1 :] if root and path.startswith(root + "/") else None


def definition(
    tree: SourceTree, path: str, qualname: str
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    """The definition of that qualified name in a file; the last one wins, as in Python."""
    syntax = tree.syntax(path)
    found: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None = None
    for name, node in walk_named(syntax) if syntax and qualname else ():
        if name == qualname and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            found = node
    return found


def enclosing(
    tree: SourceTree, path: str, line: int
) -> tuple[str, ast.FunctionDef | ast.AsyncFunctionDef] | None:
    """Qualified name and node of the innermost function around a line."""
    syntax = tree.syntax(path)
    found = None
    for name, node in walk_named(syntax) if syntax else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and first_line(
            node
        ) <= line <= (node.end_lineno or node.lineno):
            found = (name, node)
    return found


def _frame_locations(
    tree: SourceTree, path: str, frame: Frame, trust: float
) -> list[SourceLocation]:
    around = enclosing(tree, path, frame.line)
    is_same = around is not None and around[1].name == frame.function
    if around is None or not (is_same or frame.function.startswith("<")):
        moved = _by_name(tree, path, frame.function)
        if moved is not None:
            name, node = moved
            span = Span(path, first_line(node), node.end_lineno or node.lineno)
            return [tree.location(span, name, "function", (trust * 0.7, "stack frame"))]
    total = (tree.text(path) or "").count("\n") + 1
    line = min(frame.line, total)
    is_fresh = is_same or frame.function in ("", "<module>")
    sure = trust if is_fresh else trust * 0.6
    node_name = around[0] if around else frame.function
    found = [tree.location(Span(path, line, line), node_name, "frame", (sure, "stack frame"))]
    if around is not None:
        span = Span(path, first_line(around[1]), around[1].end_lineno or line)
        found.append(tree.location(span, around[0], "function", (sure * 0.9, "stack frame")))
    return found


def _by_name(
    tree: SourceTree, path: str, name: str
) -> tuple[str, ast.FunctionDef | ast.AsyncFunctionDef] | None:
    syntax = tree.syntax(path)
    for qualname, node in walk_named(syntax) if syntax else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return qualname, node
    return None
