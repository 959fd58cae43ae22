"""Shows, without running anything, which names a program fills into a template file.

Only what is plain counts: a call whose template is named by a literal, directly or through names
bound once, and whose values are named one by one. Everything else shows nothing.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from refinery.codebase.repository import Repository
from refinery.codebase.scan import MAX_BYTES, MAX_FILES, PYTHON, TEXT, is_secondary, parse
from refinery.model.patch import Patch

Fills = tuple[tuple[str, tuple[str, ...]], ...]
"""Calls that fill in a template, as (path of the template, names)."""
_METHODS = {
    "aformat", "format", "format_messages", "format_prompt", "render", "render_async",
    "safe_substitute", "substitute",
}  # fmt: skip
_FUNCTIONS = ("render_template", "render_template_string", "TemplateResponse")
"""Functions of frameworks that take a template and its values."""
_OPTIONS = {"headers", "media_type", "name", "request", "status_code"}
"""Keywords of those that are no values."""
_UNSURE = (
    ast.BoolOp, ast.Dict, ast.DictComp, ast.GeneratorExp, ast.IfExp, ast.Lambda, ast.List,
    ast.ListComp, ast.NamedExpr, ast.Set, ast.SetComp, ast.Subscript,
)  # fmt: skip
"""Expressions that may be of another template than the one they name."""
_SUFFIXES = (*TEXT, ".html", ".xml")
_MARKS = (b"{{", b"${")
_ROUNDS = 3
"""How often names are followed: a file's text, its template, what another file calls that."""


def fills(repository: Repository, patch: Patch) -> Fills:
    """Calls that fill in the template a patch changes, at the patch's base.

    Empty unless the patch changes one template and nothing else, and when any call of it leaves
    open which names it passes.
    """
    if len(patch.changes) != 1:
        return ()
    change = patch.changes[0]
    if not change.path.endswith(TEXT) or not any(m in (change.after or b"") for m in _MARKS):
        return ()
    files = repository.files(patch.base_commit)
    named = [path for path in files if path.endswith(_SUFFIXES)]
    sources = [path for path in files if path.endswith(PYTHON) and not is_secondary(path)]
    if len(sources) > MAX_FILES:
        return ()
    trees = {}
    for path in sources:
        content = repository.read(path, patch.base_commit) or b""
        if len(content) <= MAX_BYTES and (tree := parse(content.decode("utf-8-sig", "replace"))):
            trees[path] = tree
    found = _Program(change.path, tuple(named), trees).sites()
    return tuple((change.path, names) for names in found or ())


@dataclass(frozen=True, slots=True)
class _Program:
    """The Python files of a commit, and the template that is looked for."""

    template: str
    others: tuple[str, ...]
    """Every file that may be a template, the one looked for among them."""
    trees: dict[str, ast.Module]
    holders: dict[str, set[str]] = field(default_factory=dict)
    """Names that hold the template, by path."""
    helpers: dict[str, set[str]] = field(default_factory=dict)
    """Own functions that take values of any name, with the names of their other parameters."""

    def sites(self) -> list[tuple[str, ...]] | None:
        """Names of each call that fills the template in; None when one tells them not."""
        self.helpers.update(_helpers(self.trees.values()))
        for _ in range(_ROUNDS):
            for path, tree in self.trees.items():
                self.holders[path] = set(self._held(path, tree))
        found: list[tuple[str, ...]] = []
        replaced: set[str] = set()
        for path, tree in self.trees.items():
            for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
                if hole := self._replaced(path, call):
                    replaced.add(hole)
                elif self._is_fill(path, call):
                    names = self._names(path, call)
                    if names is None:
                        return None
                    found.append(names)
        return [*found, tuple(sorted(replaced))] if replaced else found

    def _held(self, path: str, tree: ast.Module) -> Iterator[str]:
        """Names of a file bound once, to the template or to what another file binds to it."""
        bound: Counter[str] = Counter()
        values: list[tuple[str, ast.expr]] = []
        for node in ast.walk(tree):
            bound.update(_bound(node))
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                values.append((_key(node.targets[0]), node.value))
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                values.append((_key(node.target), node.value))
            elif isinstance(node, ast.ImportFrom):
                held = self.holders.get(self._module(node), set())
                yield from (one.asname or one.name for one in node.names if one.name in held)
        for name, value in values:
            if name and bound[name] == 1 and self._leads(path, value):
                yield name

    def _module(self, node: ast.ImportFrom) -> str:
        """The one file an import names by its last part; empty when there is no such one."""
        last = (node.module or "").rpartition(".")[2]
        found = [path for path in self.trees if last and PurePosixPath(path).stem == last]
        return found[0] if len(found) == 1 else ""

    def _leads(self, path: str, value: ast.expr) -> bool:
        """Whether an expression is the template, its text or its name, and of no other one."""
        nodes = list(ast.walk(value))
        if any(isinstance(node, _UNSURE) for node in nodes):
            return False
        texts = [n.value for n in nodes if isinstance(n, ast.Constant) and _is_file(n.value)]
        held = self.holders.get(path, set())
        if any(not self._is_named(str(text)) for text in texts):
            return False
        if not texts and not any(_key(node) in held for node in nodes):
            return False
        calls = (node for node in nodes if isinstance(node, ast.Call))
        return not any(_called(call) in (*self.helpers, *_METHODS, *_FUNCTIONS) for call in calls)

    def _is_named(self, text: str) -> bool:
        """Whether a literal names the template, and no other file."""
        parts = PurePosixPath(text.removeprefix("./")).parts
        found = [one for one in self.others if PurePosixPath(one).parts[-len(parts) :] == parts]
        return found == [self.template]

    def _is_fill(self, path: str, call: ast.Call) -> bool:
        name = _called(call)
        if isinstance(call.func, ast.Attribute) and name in _METHODS:
            return self._leads(path, call.func.value)
        if name not in self.helpers and name not in _FUNCTIONS:
            return False
        given = [*call.args, *(word.value for word in call.keywords)]
        return any(self._leads(path, value) for value in given)

    def _names(self, path: str, call: ast.Call) -> tuple[str, ...] | None:
        """Names a call passes; None when it passes some that cannot be told."""
        name = _called(call)
        is_method = isinstance(call.func, ast.Attribute) and name in _METHODS
        own = set() if is_method else self.helpers.get(name, _OPTIONS)
        found: set[str] = set()
        for word in call.keywords:
            if word.arg is None or (word.arg == "context" and name in _FUNCTIONS):
                keys = _keys(word.value)
                if keys is None:
                    return None
                found |= keys
            elif word.arg not in own and not self._leads(path, word.value):
                found.add(word.arg)
        for value in call.args if is_method or name in _FUNCTIONS else ():
            keys = set() if self._leads(path, value) else _keys(value)
            if keys is None and is_method:
                return None
            found |= keys or set()
        return tuple(sorted(found))

    def _replaced(self, path: str, call: ast.Call) -> str:
        """The name a call of `replace` puts a value in the place of; empty when it is none."""
        func = call.func
        if not isinstance(func, ast.Attribute) or func.attr != "replace" or len(call.args) != 2:
            return ""
        hole = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
        if not isinstance(hole, str) or not self._leads(path, func.value):
            return ""
        name = hole.strip("{}$ ")
        return name if name.isidentifier() and hole != name else ""


def _helpers(trees: Iterable[ast.Module]) -> dict[str, set[str]]:
    """Functions defined once that take values of any name and use them, with other parameters."""
    found: dict[str, set[str]] = {}
    defined: Counter[str] = Counter()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        defined[node.name] += 1
        given = node.args
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        if given.kwarg and given.kwarg.arg in used:
            plain = (*given.posonlyargs, *given.args, *given.kwonlyargs)
            found[node.name] = {one.arg for one in plain}
    return {name: own for name, own in found.items() if defined[name] == 1}


def _keys(value: ast.expr) -> set[str] | None:
    """Keys of a dictionary spelt out; None when it is none, or not all of them are told."""
    if isinstance(value, ast.Call) and _called(value) == "dict" and not value.args:
        words = {keyword.arg or "" for keyword in value.keywords}
        return None if "" in words else words
    if not isinstance(value, ast.Dict):
        return None
    keys = {key.value if isinstance(key, ast.Constant) else None for key in value.keys}
    texts = {key for key in keys if isinstance(key, str)}
    return texts if len(texts) == len(keys) else None


def _bound(node: ast.AST) -> Iterator[str]:
    """Names a node binds, parameters and loops included."""
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield _key(node)
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name


def _key(node: ast.AST) -> str:
    """A name, or the name of an attribute of a name; empty for everything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def _called(call: ast.Call) -> str:
    """Last part of the name of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_file(value: object) -> bool:
    return isinstance(value, str) and len(value) < 300 and value.lower().endswith(_SUFFIXES)
