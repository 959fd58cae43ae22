"""The source files of a work tree, read at most once and parsed with care.

Never read: `.git`, virtual environments, `node_modules`, caches, symlinks, lock files and files
over 1 MB. Files are parsed with `ast` alone, which refuses what is nested too deeply.
"""

import ast
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refinery import syntax
from refinery.model.failure import SourceLocation

MAX_BYTES = 1_000_000
MAX_LINES = 20_000
MAX_FILES = 5_000
"""Caps of what is read (THREATS 4, limits; the last chosen by us)."""
MAX_TEXT = 4_000
"""Longest located text that is handed on, in characters."""
PYTHON = (".py",)
DATA = (".yaml", ".yml", ".json", ".toml")
TEXT = (".j2", ".jinja", ".jinja2", ".md", ".markdown", ".txt", ".prompt", ".mustache", ".tmpl")
_SKIPPED = {
    "__pycache__", "build", "dist", "env", "node_modules", "site-packages", "venv", "virtualenv",
}  # fmt: skip
_LOCKED = {"package-lock.json", "composer.lock", "uv.lock", "poetry.lock"}


@dataclass(frozen=True, slots=True)
class Span:
    """Lines of a file, or a part of them."""

    path: str
    start: int
    end: int
    first: int = 0
    """First character on the first line, from 1; 0: whole lines."""
    last: int = 0
    """Last character on the last line, inclusive; 0: whole lines."""


class SourceTree:
    """The files below a folder, as they are in the work tree now."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._paths: list[str] | None = None
        self._known: set[str] = set()
        self._texts: dict[str, str | None] = {}
        self._trees: dict[str, ast.Module | None] = {}

    def paths(self, suffixes: Sequence[str]) -> list[str]:
        """Relative paths with one of the suffixes, in order."""
        if self._paths is None:
            self._paths = sorted(self._walk())
            self._known = set(self._paths)
        return [path for path in self._paths if path.endswith(tuple(suffixes))]

    def has(self, path: str) -> bool:
        """Whether a path names a file that may be read."""
        self.paths(PYTHON)
        return path in self._known

    def text(self, path: str) -> str | None:
        """A file's text with line feeds as line endings; None when it is no such text."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def syntax(self, path: str) -> ast.Module | None:
        """Syntax tree of a Python file; None when it does not parse."""
        if path not in self._trees:
            self._trees[path] = parse(self.text(path) or "")
        return self._trees[path]

    def lines(self, path: str, start: int, end: int) -> str:
        """Lines of a file, from 1; empty when they are longer than `MAX_TEXT`."""
        found = "\n".join((self.text(path) or "").split("\n")[start - 1 : end])
        return found if len(found) <= MAX_TEXT else ""

    def part(self, span: Span) -> str:
        """What stands at a span; empty when it is longer than `MAX_TEXT`."""
        if not span.first:
            return self.lines(span.path, span.start, span.end)
        found = (self.text(span.path) or "").split("\n")[span.start - 1 : span.end]
        if not found:
            return ""
        found[-1] = found[-1][: span.last]
        found[0] = found[0][span.first - 1 :]
        text = "\n".join(found)
        return text if len(text) <= MAX_TEXT else ""

    def location(
        self, span: Span, node: str, kind: str, found: tuple[float, str]
    ) -> SourceLocation:
        """A location of this tree.

        Args:
            span: where.
            node: what stands there.
            kind: as `SourceLocation.kind`.
            found: confidence, and how it was found.
        """
        confidence, how = found
        rounded = round(min(max(confidence, 0.0), 1.0), 3)
        return SourceLocation(
            file=span.path,
            line_start=span.start,
            line_end=span.end,
            node=node,
            kind=kind,
            confidence=rounded,
            how=how,
            text=self.part(span),
            column_start=span.first,
            column_end=span.last,
        )

    def _walk(self) -> Iterator[str]:
        count = 0
        for folder, folders, files in os.walk(self.root):
            here = Path(folder)
            folders[:] = [name for name in folders if not self._is_skipped(here / name)]
            for name in files:
                if name in _LOCKED or name.endswith(".lock"):
                    continue
                count += 1
                if count > MAX_FILES:
                    return
                yield (here / name).relative_to(self.root).as_posix()

    def _is_skipped(self, folder: Path) -> bool:
        name = folder.name
        return (
            name.startswith(".")
            or name in _SKIPPED
            or name.endswith(".egg-info")
            or folder.is_symlink()
            or (folder / "pyvenv.cfg").exists()
        )

    def _read(self, path: str) -> str | None:
        place = self.root / path
        try:
            if place.is_symlink() or not place.is_file() or place.stat().st_size > MAX_BYTES:
                return None
            content = place.read_bytes()
        except OSError:
            return None
        if b"\0" in content or content.count(b"\n") > MAX_LINES:
            return None
        text = content.decode("utf-8-sig", "replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str) -> ast.Module | None:
    """Syntax tree of a text; None when it is no Python, or nested too deeply."""
    try:
        return syntax.parse_module(text)
    except SyntaxError:
        return None


def is_secondary(path: str) -> bool:
    """Whether a file is a test or a document about the program rather than part of it."""
    parts = path.lower().split("/")
    name = parts[-1]
    folders = {"test", "tests", "docs", "doc", "examples", "benchmarks"}
    return (
        bool(folders.intersection(parts[:-1]))
        or name.startswith(("test_", "readme", "changelog", "conftest"))
        or name.endswith("_test.py")
    )


def walk_named(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the qualified name of the class or function it stands in, in source order.

    A definition comes with its own name.
    """
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        name, node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{name}.{node.name}" if name else node.name
        yield name, node
        waiting.extend((name, child) for child in reversed(list(ast.iter_child_nodes(node))))


def dotted_name(node: ast.expr) -> str:
    """Dotted name of what is called; parts that are no names are left out."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """First line of a definition, its decorators included."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])
