"""Which tools and retrievers are code under test, so that they run instead of their recording.

One is under test when its source file, a file of the repository that file imports (transitively),
or a data file named in either is touched by the patch. Both arms of a trial use the same list of
touched files, so both treat it alike. A library's object (say, a vector store's retriever) is
judged by the modules that hold it; when none does, by every module of the repository.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

_MOST_BYTES = 1_000_000
_METHODS = ("_run", "_arun", "_get_relevant_documents", "_aget_relevant_documents")
_HELD = ("func", "coroutine")


class UnderTest:
    """Answers for one repository and one list of touched paths."""

    def __init__(self, root: Path, touched: Iterable[str], live: Iterable[str] = ()) -> None:
        """Remember what is touched.

        Args:
            root: root of the exported repository.
            touched: paths the patch changes, relative to the root, forward slashes.
            live: names that always run.
        """
        self.root = root.resolve()
        self.live = frozenset(live)
        self.touched = frozenset(touched)
        self._parsed: dict[Path, tuple[frozenset[Path], frozenset[str]]] = {}

    def is_live(self, name: str, runs: Any) -> bool:
        """Whether a tool or retriever runs for real.

        Args:
            name: as recorded.
            runs: the LangChain object.
        """
        if name in self.live:
            return True
        if not self.touched:
            return False
        return self.depends_on_touched(self._sources(runs))

    def depends_on_touched(self, files: Iterable[Path]) -> bool:
        """Whether any of the files is touched, imports a touched file, or names one."""
        reached = self._reached(files)
        if any(path.relative_to(self.root).as_posix() in self.touched for path in reached):
            return True
        texts = {text for path in reached for text in self._read(path)[1]}
        return any(_names(text, path) for path in self._touched_others for text in texts)

    @cached_property
    def _touched_others(self) -> tuple[str, ...]:
        """Touched files that are read, not imported."""
        return tuple(path for path in self.touched if not path.endswith(".py"))

    def _sources(self, runs: Any) -> list[Path]:
        candidates = [getattr(runs, name, None) for name in _HELD]
        candidates += [getattr(type(runs), name, None) for name in _METHODS]
        files = [self._file_of(found) for found in candidates if callable(found)]
        own = [path for path in files if path is not None]
        return own or self._holders(runs)

    def _file_of(self, function: Any) -> Path | None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        return self._inside(code.co_filename) if code is not None else None

    def _inside(self, name: str | None) -> Path | None:
        path = Path(name).resolve() if name else None
        return path if path and path.is_relative_to(self.root) else None

    def _holders(self, runs: Any) -> list[Path]:
        """Files of the repository's modules that hold an object; all of them when none does."""
        modules = {
            path: module
            for module in list(sys.modules.values())
            if (path := self._inside(getattr(module, "__file__", None)))
        }
        holding = [
            path
            for path, module in modules.items()
            if any(value is runs for value in list(vars(module).values()))
        ]
        return holding or list(modules)

    def _reached(self, files: Iterable[Path]) -> set[Path]:
        waiting, reached = list(files), set[Path]()
        while waiting:
            path = waiting.pop()
            if path not in reached:
                reached.add(path)
                waiting += self._read(path)[0]
        return reached

    def _read(self, path: Path) -> tuple[frozenset[Path], frozenset[str]]:
        """Files of the repository a file imports, and the strings in it."""
        if path not in self._parsed:
            self._parsed[path] = self._parse(path)
        return self._parsed[path]

    def _parse(self, path: Path) -> tuple[frozenset[Path], frozenset[str]]:
        try:
            if path.stat().st_size > _MOST_BYTES:
                return frozenset(), frozenset()
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return frozenset(), frozenset()
        nodes = list(ast.walk(tree))
        named = {name for node in nodes for name in _imported(node)}
        levels = {
            (node.level, f"{node.module or ''}.{alias.name}".strip("."))
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.level
            for alias in node.names
        }
        files = {found for name in named for found in self._files(name, self._roots)}
        for level, name in levels:
            files |= set(self._files(name, [path.parents[level - 1]]))
        texts = {n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is str}
        return frozenset(files), frozenset(text for text in texts if 0 < len(text) < 300)

    @cached_property
    def _roots(self) -> list[Path]:
        inside = (self._inside(entry) for entry in sys.path if entry)
        return list(dict.fromkeys([self.root, *(path for path in inside if path)]))

    def _files(self, name: str, roots: Iterable[Path]) -> Iterator[Path]:
        """Files that importing a dotted name runs, as far as they are in the repository."""
        parts = name.split(".")
        for root in roots:
            for length in range(1, len(parts) + 1):
                base = root.joinpath(*parts[:length])
                for path in (base.with_name(base.name + ".py"), base / "__init__.py"):
                    if path.is_file() and path.is_relative_to(self.root):
                        yield path


def _imported(node: ast.AST) -> Iterator[str]:
    """Dotted names an absolute import may load."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _names(text: str, path: str) -> bool:
    """Whether a string of a program names a data file: its path, name, a folder, or a pattern."""
    parts = path.split("/")
    plain = text.strip("./").rstrip("/")
    if not plain:
        return False
    folders = {"/".join(parts[:index]) for index in range(1, len(parts))} | set(parts[:-1])
    return (
        plain == parts[-1]
        or (path.endswith(plain) and "." in plain)
        or plain in folders
        or ("*" in text and fnmatch(path if "/" in text else parts[-1], f"*{text.lstrip('./')}"))
    )
