"""What a change of files may affect: importers, imports, callers, tests, prompts."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refinery.codebase.scan import DATA, PYTHON, TEXT, SourceTree, is_secondary

MIN_SHARED = 40
MIN_BLANKS = 4
"""Characters and blanks of a stretch that two prompts must share; chosen by us."""
_PIECE = re.compile(r"[^\"'`{}\n]{40,}")
_COMMON = {"main", "run", "call", "get", "set", "setup", "invoke", "build", "create", "__init__"}
"""Function names too common to tell callers by."""


@dataclass(frozen=True, slots=True)
class Impact:
    """Files that have to do with the changed ones; paths relative to the root, sorted."""

    importers: tuple[str, ...] = ()
    """Files that import a changed Python file, or name a changed other file."""
    imports: tuple[str, ...] = ()
    """Files of the repository that the changed ones import."""
    callers: tuple[str, ...] = ()
    """Files that call a function of a changed file, told by its name."""
    tests: tuple[str, ...] = ()
    """Test files among the importers and callers, or importing one of them."""
    prompts: tuple[str, ...] = ()
    """Files that hold a line of the same prompt text."""


def impact(root: Path, paths: Sequence[str]) -> Impact:
    """Files a change of `paths` may affect; nothing is run, unreadable files are left out."""
    tree = SourceTree(root)
    changed = set(paths)
    modules = {name: path for path in tree.paths(PYTHON) for name in _module_names(path)}
    imported = {path: set(_imports(tree, path, modules)) for path in tree.paths(PYTHON)}
    importers = {path for path, found in imported.items() if found & changed}
    importers |= _naming(tree, [path for path in paths if not path.endswith(PYTHON)])
    functions = {name for path in paths for name in _functions(tree, path)} - _COMMON
    callers = {path for path in tree.paths(PYTHON) if functions & _called(tree, path, functions)}
    near = importers | callers | changed
    second = {path for path, found in imported.items() if found & near}
    tests = {path for path in near | second if _is_test(path)}
    return Impact(
        importers=tuple(sorted(importers - changed)),
        imports=tuple(
            sorted({one for path in changed for one in imported.get(path, ())} - changed)
        ),
        callers=tuple(sorted(callers - changed)),
        tests=tuple(sorted(tests)),
        prompts=tuple(sorted(_sharing(tree, paths) - changed)),
    )


def _module_names(path: str) -> Iterator[str]:
    """Names a file may be imported under: from the root, and from `src` or any other folder."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    for start in range(len(parts)):
        yield ".".join(parts[start:])


def _imports(tree: SourceTree, path: str, modules: dict[str, str]) -> Iterator[str]:
    """Files of the tree that a file imports."""
    package = list(PurePosixPath(path).parent.parts)
    syntax = tree.syntax(path)
    for node in ast.walk(syntax) if syntax else ():
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        else:
            continue
        yield from (modules[name] for name in names if name in modules and modules[name] != path)


def _naming(tree: SourceTree, paths: Sequence[str]) -> set[str]:
    """Files that name one of the paths: a program that opens a prompt or a setting file."""
    names = {path.rpartition("/")[2] for path in paths}
    return {
        path
        for path in tree.paths((*PYTHON, *DATA))
        if any(name in (tree.text(path) or "") for name in names)
    }


def _functions(tree: SourceTree, path: str) -> Iterator[str]:
    syntax = tree.syntax(path) if path.endswith(PYTHON) else None
    for node in ast.walk(syntax) if syntax else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def _called(tree: SourceTree, path: str, wanted: set[str]) -> set[str]:
    text = tree.text(path) or ""
    syntax = tree.syntax(path) if any(name in text for name in wanted) else None
    found = set()
    for node in ast.walk(syntax) if syntax else ():
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found.add(name)
    return found


def _is_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    is_named = name.startswith("test_") or name.endswith("_test.py")
    return path.endswith(PYTHON) and is_named and is_secondary(path)


def _sharing(tree: SourceTree, paths: Sequence[str]) -> set[str]:
    """Files that hold a long stretch of prose of one of the paths."""
    pieces = {piece for path in paths for piece in _prose(tree.text(path) or "")}
    if not pieces:
        return set()
    return {
        path
        for path in tree.paths((*PYTHON, *DATA, *TEXT))
        if any(piece in (tree.text(path) or "") for piece in pieces)
    }


def _prose(text: str) -> Iterator[str]:
    """Stretches of a line between quotes and holes, long enough to be told again."""
    for found in _PIECE.finditer(text):
        piece = found.group().strip()
        if len(piece) >= MIN_SHARED and piece.count(" ") >= MIN_BLANKS:
            yield piece
