"""What Python source can do, as a multiset of capabilities read off its syntax tree.

Reading attributes, arithmetic, comparisons, comprehensions, lambdas, constants, pure built-ins and
pure methods of text and collections are none. Everything that may act is one: imports, uses of
imported or module-level names, calls of other methods and of values, decorators, writes to
anything shared, and the arguments of calls that reach processes, files, the network or the
interpreter. The tree alone is judged: no code runs, no types are inferred.
"""

import ast
from collections import Counter
from collections.abc import Iterator

from refinery.safety._capability_words import (
    CALLERS,
    HARMLESS,
    MUTATORS,
    PURE_BUILTINS,
    PURE_METHODS,
    RISKY_KEYWORD_STARTS,
    RISKY_KEYWORDS,
    RISKY_METHODS,
    RISKY_ROOTS,
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = _Function | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def capabilities(tree: ast.Module) -> Counter[str]:
    """Capabilities of a module and how often each is used, as readable texts."""
    reader = _Reader(tree)
    reader.visit(tree)
    return reader.found


class _Reader(ast.NodeVisitor):
    """Walks the tree with the names each scope binds."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: Counter[str] = Counter()
        self.imported = _imports(tree)
        self.module_data = _module_data(tree) - set(self.imported)
        self.values = _assigned(tree)
        self.scopes: list[set[str]] = []
        self.made: dict[str, str] = _made_by_calls(tree, self.imported)

    # names

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self.scopes)

    def _dotted(self, node: ast.expr) -> str | None:
        """`a.b.c` with an imported root spelled out; None when the root is not a name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        root = node.id if self._is_local(node.id) else self.imported.get(node.id, node.id)
        return ".".join([root, *reversed(parts)])

    def _is_outer(self, node: ast.expr) -> bool:
        """Whether the root of a dotted or indexed name is no local variable."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Name) and not self._is_local(node.id)

    def _is_shared(self, node: ast.expr) -> bool:
        """Whether the root of a dotted name is no local variable and no constant of the module."""
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name) or self._is_local(node.id):
            return False
        return node.id not in self.module_data

    def visit_Name(self, node: ast.Name) -> None:
        is_read = isinstance(node.ctx, ast.Load)
        if is_read and self._is_shared(node) and node.id not in PURE_BUILTINS:
            self.found[f"uses {self._dotted(node)}"] += 1

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("__") and node.attr.endswith("__"):
            self.found[f"reads .{node.attr}"] += 1
        if not isinstance(node.ctx, ast.Load):
            self.found[f"sets {self._dotted(node) or '.' + node.attr}"] += 1
        if (dotted := self._dotted(node)) and self._is_shared(node):
            self.found[f"uses {dotted}"] += 1
        else:
            self.visit(node.value)

    # calls

    def visit_Call(self, node: ast.Call) -> None:
        name = self._callee(node.func, len(node.args))
        if self._is_risky(name, node.func) and not self._is_harmless(name, node):
            given = ", ".join(
                self._spelled(a) for a in (*node.args, *(k.value for k in node.keywords))
            )
            self.found[f"calls {name}({given[:2000]})"] += 1
        for keyword in node.keywords:
            word = keyword.arg or "**"
            if word in RISKY_KEYWORDS or word.startswith(RISKY_KEYWORD_STARTS):
                self.found[f"passes {word}={self._spelled(keyword.value)[:500]} to {name}"] += 1
        called = [k.value for k in node.keywords if k.arg == "key"]
        called += node.args[:1] if name in CALLERS else []
        for value in called:
            if isinstance(value, ast.Name) and self._is_local(value.id):
                self.found[f"calls {value.id}"] += 1
        for value in (*node.args, *(k.value for k in node.keywords)):
            if isinstance(value, ast.Attribute) and not self._is_shared(value):
                self.found[f"hands over .{value.attr}"] += 1
            self.visit(value)

    def _callee(self, func: ast.expr, arguments: int) -> str:
        """Count what is called and return its name."""
        if isinstance(func, ast.Name):
            if self._is_local(func.id):
                self.found[f"calls {func.id}"] += 1
            else:
                self.visit_Name(func)
            return self._dotted(func) or func.id
        if isinstance(func, ast.Attribute):
            return self._method(func, arguments)
        self.found["calls a value"] += 1
        self.visit(func)
        return "a value"

    def _method(self, func: ast.Attribute, arguments: int) -> str:
        dotted = self._dotted(func)
        root = (dotted or "").partition(".")[0]
        if dotted and self._is_shared(func):
            self.visit_Attribute(func)
            return dotted
        self.visit(func.value)
        if maker := self.made.get(root):
            name = f"{maker}().{func.attr}"
            self.found[f"calls {name}"] += 1
            return name
        if func.attr in MUTATORS and self._is_outer(func.value):
            self.found[f"changes {ast.unparse(func.value)[:200]}"] += 1
        is_pure = func.attr in PURE_METHODS or (func.attr == "replace" and arguments >= 2)
        if not is_pure:
            self.found[f"calls .{func.attr}"] += 1
        return f".{func.attr}" if not is_pure else ""

    def _is_risky(self, name: str, func: ast.expr) -> bool:
        last = name.rpartition(".")[2]
        root = name.partition(".")[0].partition("(")[0]
        is_method = isinstance(func, ast.Attribute) and last in RISKY_METHODS and bool(name)
        return root in RISKY_ROOTS or is_method or name == "a value"

    def _is_harmless(self, name: str, node: ast.Call) -> bool:
        """Whether what is called is what was imported under its name, and given no function."""
        root = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        if not isinstance(root, ast.Name) or name not in HARMLESS or node.keywords:
            return False
        is_bound_anew = self._is_local(root.id) or root.id in self.values
        return root.id in self.imported and not is_bound_anew

    def _spelled(self, node: ast.expr) -> str:
        """An argument's source with what its names were assigned, one level deep."""
        text = ast.unparse(node)
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        known = [
            f"{name}={value}" for name in sorted(names) for value in self.values.get(name, ())
        ]
        return f"{text} [{'; '.join(known)}]" if known else text

    # scopes

    def _visit_scope(self, node: _Scope) -> None:
        self.scopes.append(_bound(node))
        self.generic_visit(node)
        self.scopes.pop()

    def _visit_function(self, node: _Function) -> None:
        for decorator in node.decorator_list:
            self.found[f"decorates with {ast.unparse(decorator)[:200]}"] += 1
            self.visit(decorator)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                self._visit_annotation(argument.annotation)
        self._visit_annotation(node.returns)
        self.scopes.append(_bound(node))
        for statement in node.body:
            self.visit(statement)
        self.scopes.pop()

    def _visit_annotation(self, node: ast.expr | None) -> None:
        """Read an annotation that does something when it is evaluated."""
        active = (ast.Call, ast.NamedExpr, ast.Lambda, ast.ListComp, ast.GeneratorExp)
        if node is not None and any(isinstance(inner, active) for inner in ast.walk(node)):
            self.visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_scope(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_scope(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_scope(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_scope(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_scope(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.found[f"decorates with {ast.unparse(decorator)[:200]}"] += 1
        for name in _special_methods(node):
            self.found[f"defines {node.name}.{name}"] += 1
        self.generic_visit(node)

    # statements

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Read the value and the target; an annotation only when it acts."""
        self._visit_annotation(node.annotation)
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found[f"imports {alias.name}"] += 1

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            self.found[f"imports {module}.{alias.name}"] += 1

    def visit_withitem(self, node: ast.withitem) -> None:
        """Entering a value runs it, as calling it would."""
        if isinstance(node.context_expr, ast.Name | ast.Attribute | ast.Subscript):
            self.found[f"enters {ast.unparse(node.context_expr)[:200]}"] += 1
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self.found[f"rebinds {name}"] += 1

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self.found[f"deletes {ast.unparse(target)[:200]}"] += 1
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load) and self._is_outer(node.value):
            self.found[f"sets an item of {ast.unparse(node.value)[:200]}"] += 1
        self.generic_visit(node)


def _imports(tree: ast.Module) -> dict[str, str]:
    """Local name of everything imported anywhere in the module, and what it stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                found[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
    return found


def _module_data(tree: ast.Module) -> set[str]:
    """Names bound at module level to plain data and to nothing else."""
    data: set[str] = set()
    other: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {t.id for t in targets if isinstance(t, ast.Name)}
            (data if _is_data(node.value) else other).update(names)
        else:
            other |= {n.id for n in ast.walk(node) if _is_store(n)}  # type: ignore[attr-defined]  # only names
            if isinstance(node, _Function | ast.ClassDef):
                other.add(node.name)
    return data - other


def _is_store(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


def _is_data(node: ast.expr) -> bool:
    fine = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp,
            ast.JoinedStr, ast.expr_context, ast.operator, ast.unaryop)  # fmt: skip
    return all(isinstance(inner, fine) for inner in ast.walk(node))


def _assigned(tree: ast.Module) -> dict[str, list[str]]:
    """What each name is assigned anywhere in the module, as source, sorted."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        value = getattr(node, "value", None)
        if not isinstance(value, ast.expr):
            continue
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            targets = [node.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(ast.unparse(value)[:500])
    return {name: sorted(values) for name, values in found.items()}


def _made_by_calls(tree: ast.Module, imported: dict[str, str]) -> dict[str, str]:
    """Variables assigned from a call of something imported: `client` from `httpx.Client()`."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        pairs: list[tuple[ast.AST | None, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.With | ast.AsyncWith):
            pairs = [(item.optional_vars, item.context_expr) for item in node.items]
        for target, value in pairs:
            call = value.value if isinstance(value, ast.Await) else value
            if not isinstance(target, ast.Name) or not isinstance(call, ast.Call):
                continue
            root = call.func
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in imported:
                found[target.id] = ast.unparse(call.func)
    return found


def _bound(scope: _Scope) -> set[str]:
    """Names a function, lambda or comprehension binds in its own scope.

    Names that only an inner scope binds do not count: `[eval for eval in ()]` leaves `eval` what
    it was. Imported names do not count either, they stay what they stand for.
    """
    names: set[str] = set()
    shared: set[str] = set()
    waiting: list[ast.AST] = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            shared.update(node.names)
        elif bound := _binds(node):
            names.add(bound)
        if isinstance(node, _Function | ast.ClassDef | ast.Lambda | _COMPREHENSIONS):
            names |= _walrus(node) if isinstance(node, _COMPREHENSIONS) else set()
        else:
            waiting += ast.iter_child_nodes(node)
    return names - shared


_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def _binds(node: ast.AST) -> str | None:
    """The name a node binds; None when it binds none."""
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name):
        return None if isinstance(node.ctx, ast.Load) else node.id
    if isinstance(node, _Function | ast.ClassDef):
        return node.name
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return node.name
    return None


def _walrus(node: ast.AST) -> set[str]:
    """Names `:=` binds in a comprehension, which belong to the function around it."""
    found = (inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
    return {target.id for target in found if isinstance(target, ast.Name)}


def _special_methods(node: ast.ClassDef) -> Iterator[str]:
    for inner in node.body:
        if (
            isinstance(inner, _Function)
            and inner.name.startswith("__")
            and inner.name != "__init__"
        ):
            yield inner.name
