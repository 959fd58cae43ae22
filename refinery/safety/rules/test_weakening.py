"""Blocks tests that are deleted, skipped or made to demand less; holds other changes of tests."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

__test__ = False
_SKIPS = ("skip", "skipif", "skipIf", "skipUnless", "skipTest", "xfail", "expectedFailure",
          "importorskip", "SkipTest")  # fmt: skip
_SWITCHES = ("__test__", "collect_ignore", "collect_ignore_glob", "pytestmark")


def check(given: GuardInput) -> Iterable[Remark]:
    """Remarks on each test file that changes."""
    for change in given.changes:
        if not _is_test_file(change.path):
            continue
        if change.after is None:
            yield _block("the test file is deleted", change)
        elif _change.is_python(change.path) and change.before is not None:
            yield from _compare(change, change.before, change.after)
        elif change.before is not None:
            yield Remark("test_weakening", Outcome.HOLD, "data of a test changes", change.path)


def _is_test_file(path: str) -> bool:
    pure = PurePosixPath(path.lower())
    is_named = pure.stem.startswith("test_") or pure.stem.endswith(("_test", ".test", ".spec"))
    return is_named or any(part in ("tests", "test", "__tests__") for part in pure.parts[:-1])


def _block(message: str, change: FileChange, line: int | None = None) -> Remark:
    return Remark("test_weakening", Outcome.BLOCK, message, change.path, line)


@dataclass(frozen=True, slots=True)
class _Test:
    """What one test function demands."""

    line: int
    checks: int
    skips: int
    empty: int
    """Assertions that always hold, and returns that leave early."""
    cases: int
    """Elements of its parameter lists."""
    source: str


def _compare(change: FileChange, before: bytes, after: bytes) -> Iterator[Remark]:
    old_tree, new_tree = _change.parsed(before), _change.parsed(after)
    if new_tree is None or old_tree is None:
        yield _block("the tests cannot be read", change)
        return
    old, new = dict(_tests(old_tree)), dict(_tests(new_tree))
    for name, test in old.items():
        if name not in new:
            yield _block(f"test {name} is gone", change)
        elif said := _weaker(test, new[name]):
            yield _block(f"test {name} {said}", change, new[name].line)
        elif test.source != new[name].source:
            line = new[name].line
            yield Remark("test_weakening", Outcome.HOLD, f"test {name} changes", change.path, line)
    if _switches(new_tree) - _switches(old_tree):
        yield _block("the module switches tests off", change)
    if _shared(old_tree) != _shared(new_tree):
        yield Remark(
            "test_weakening", Outcome.HOLD, "code that tests rely on changes", change.path
        )


def _weaker(old: _Test, new: _Test) -> str:
    if new.skips > old.skips:
        return "is skipped or expected to fail"
    if new.empty > old.empty:
        return "asserts what always holds, or returns early"
    if new.checks < old.checks:
        return f"has {new.checks} checks instead of {old.checks}"
    return "has fewer cases" if new.cases < old.cases else ""


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _tests(tree: ast.Module) -> Iterator[tuple[str, _Test]]:
    for node in tree.body:
        if isinstance(node, _Function) and node.name.startswith("test"):
            yield node.name, _measure(node, [])
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, _Function) and inner.name.startswith("test"):
                    yield f"{node.name}.{inner.name}", _measure(inner, node.decorator_list)


def _measure(test: _Function, above: list[ast.expr]) -> _Test:
    nodes = [*ast.walk(test), *(n for one in above for n in ast.walk(one))]
    return _Test(
        line=test.lineno,
        checks=sum(map(_is_check, nodes)),
        skips=sum(_name(node) in _SKIPS for node in nodes),
        empty=sum(map(_is_empty, nodes)),
        cases=sum(_cases(node) for node in nodes),
        source=ast.dump(test) + "".join(map(ast.dump, above)),
    )


def _name(node: ast.AST) -> str:
    return str(getattr(node, "attr", "") or getattr(node, "id", "") or "")


def _is_check(node: ast.AST) -> bool:
    """An assertion, `self.assert…`, `pytest.raises` and the like; `a and b` counts once."""
    if isinstance(node, ast.Assert):
        return True
    name = _name(node.func) if isinstance(node, ast.Call) else ""
    return name.startswith(("assert", "fail")) or name in ("raises", "warns", "deprecated_call")


def _is_empty(node: ast.AST) -> bool:
    if isinstance(node, ast.Return):
        return True
    if not isinstance(node, ast.Assert):
        return False
    test = node.test
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return any(_is_constant(value) for value in test.values)
    return _is_constant(test)


def _is_constant(test: ast.expr) -> bool:
    """Whether the value is plain before anything runs: a literal, or a thing equal to itself."""
    if isinstance(test, ast.Constant | ast.Tuple | ast.JoinedStr | ast.Lambda):
        return True
    if isinstance(test, ast.UnaryOp):
        return _is_constant(test.operand)
    if isinstance(test, ast.Compare) and len(test.comparators) == 1:
        left, right = ast.dump(test.left), ast.dump(test.comparators[0])
        both = isinstance(test.left, ast.Constant) and isinstance(
            test.comparators[0], ast.Constant
        )
        return left == right or both
    return False


def _cases(node: ast.AST) -> int:
    is_parameters = isinstance(node, ast.Call) and _name(node.func) == "parametrize"
    if not is_parameters or not isinstance(node, ast.Call):
        return 0
    lists = [a for a in node.args if isinstance(a, ast.List | ast.Tuple)]
    return sum(len(one.elts) for one in lists)


def _switches(tree: ast.Module) -> set[str]:
    assigned = {
        _name(target) + "=" + ast.dump(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if _name(target) in _SWITCHES
    }
    calls = {
        ast.dump(node)
        for node in tree.body
        if isinstance(node, ast.Expr) and any(_name(n) in _SKIPS for n in ast.walk(node))
    }
    return assigned | calls


def _shared(tree: ast.Module) -> list[str]:
    """Everything in the module that is no test: fixtures, helpers, constants, imports."""
    rest = []
    for node in tree.body:
        if isinstance(node, _Function) and node.name.startswith("test"):
            continue
        if isinstance(node, ast.ClassDef):
            rest += [
                ast.dump(inner)
                for inner in node.body
                if not (isinstance(inner, _Function) and inner.name.startswith("test"))
            ]
        else:
            rest.append(ast.dump(node))
    return rest


_BEFORE = """import pytest


@pytest.mark.parametrize("n", [1, 2])
def test_a(n):
    assert n > 0
    assert n < 3


class TestB:
    def test_b(self):
        with pytest.raises(ValueError):
            int("x")
"""


def _given(after: str | None, path: str = "tests/test_a.py", before: str = _BEFORE) -> GuardInput:
    content = None if after is None else after.encode()
    return GuardInput((FileChange(path, before.encode(), content),), Path("/"))


def _with(old: str, new: str) -> GuardInput:
    return _given(_BEFORE.replace(old, new))


PASSES = [
    _given(_BEFORE + "\n\ndef test_c():\n    assert len('a') == 1\n"),
    _given(_BEFORE.replace("int(", "eval("), path="src/app.py"),
    GuardInput((FileChange("tests/test_new.py", None, b"def test_a(): assert 1\n"),), Path("/")),
]
REFUSED = [
    _given(None),
    _with("test_a", "check_a"),
    _with("    assert n < 3\n", ""),
    _with("assert n < 3", "assert True"),
    _with("assert n < 3", "assert n < 3 or True"),
    _with("assert n < 3", "assert n == n"),
    _with("assert n < 3", 'assert (n < 3, "always")'),
    _with("assert n < 3", "assert n < 30"),
    _with("[1, 2]", "[1]"),
    _with("@pytest.mark", '@pytest.mark.skip(reason="slow")\n@pytest.mark'),
    _with("@pytest.mark", "@pytest.mark.xfail\n@pytest.mark"),
    _with("    assert n > 0", "    pytest.skip()\n    assert n > 0"),
    _with("    assert n > 0", "    return\n    assert n > 0"),
    _with("class TestB", "__test__ = False\n\n\nclass TestB"),
    _with("class TestB", "pytestmark = pytest.mark.skip\n\n\nclass TestB"),
    _with("class TestB", "@pytest.mark.skip\nclass TestB"),
    _with("import pytest\n", "import pytest\n\ncollect_ignore = ['a']\n"),
    _with("import pytest\n", "import pytest\n\nint = str\n"),
    _given("{}", path="tests/data/a.json", before='{"a": 1}'),
]
