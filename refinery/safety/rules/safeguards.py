"""Holds a patch that sets a safeguard otherwise, or asks for it under another condition."""

import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

_SAFEGUARD = re.compile(
    r"confirm|approv|requir|verif|auth|permi|guard|sanit|moderat|redact|csrf|restrict|enforc|refund"
    r"|deny|denied|forbid|block|allow|admin|trusted|secure|unsafe|dangerous|read_?only|dry_?run"
    r"|sandbox|audit|escape",
    re.IGNORECASE,
)
"""Names of settings and functions that keep an agent from harm; broad on purpose."""
_LONGEST_WORD = 24
"""A text that is longer, or has blanks, is prose and no setting."""
_SHOWN = 5


def check(given: GuardInput) -> Iterable[Remark]:
    """Remarks on settings and conditions of safeguards that differ, are new, or are gone."""
    for change in given.changes:
        if change.before is None or change.after is None:
            continue
        before, after = (Counter(_said(change.path, c)) for c in (change.before, change.after))
        for what in sorted({*(before - after), *(after - before)})[:_SHOWN]:
            message = f"changes what may be a safeguard: {what[:200]}"
            yield Remark("safeguards", Outcome.HOLD, message, change.path)


def _said(path: str, content: bytes) -> Iterator[str]:
    """Settings and conditions of safeguards, each as one line."""
    if _change.is_python(path):
        tree = _change.parsed(content)
        for node in ast.walk(tree) if tree else ():
            yield from _of_node(node)
        return
    for keys, value in _values(path, content):
        if any(_SAFEGUARD.search(key) for key in keys) and _is_setting(value):
            yield f"{'.'.join(keys)} = {value!r}"


def _of_node(node: ast.AST) -> Iterator[str]:
    for name, value in _settings(node):
        is_plain = isinstance(value, ast.Constant) and _is_setting(value.value)
        if is_plain and _SAFEGUARD.search(name):
            yield f"{name} = {ast.unparse(value)}"
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        names = {*_names(node.test)}
        if any(_SAFEGUARD.search(name) for name in names):
            yield f"if {ast.unparse(node.test)}"


def _settings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names with the values they are given: assignments, arguments, keys of dictionaries."""
    if isinstance(node, ast.Assign):
        yield from ((name, node.value) for target in node.targets for name in _names(target))
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from ((name, node.value) for name in _names(node.target))
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value
    elif isinstance(node, ast.arguments):
        plain = [*node.posonlyargs, *node.args]
        last = plain[len(plain) - len(node.defaults) :]
        yield from zip((one.arg for one in last), node.defaults, strict=True)
        named = zip(node.kwonlyargs, node.kw_defaults, strict=True)
        yield from ((one.arg, value) for one, value in named if value is not None)


def _names(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value[:_LONGEST_WORD]


def _is_setting(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _LONGEST_WORD and len(value.split()) == 1
    return value is None or isinstance(value, bool | int | float)


def _values(path: str, content: bytes) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Scalars of a data file with their keys; a file that cannot be read has none."""
    try:
        waiting: list[tuple[tuple[str, ...], Any]] = [((), _loaded(path, content))]
    except (ValueError, RecursionError):
        return  # `syntax` blocks what does not parse
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*keys, str(key)), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [((*keys, str(index)), below) for index, below in enumerate(value)]
        else:
            yield keys, value


def _loaded(path: str, content: bytes) -> Any:
    suffix, text = _change.suffix(path), content.decode("utf-8-sig")
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix in (".yaml", ".yml") and "*" not in text:  # aliases can stand for billions of nodes
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            return YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            raise ValueError("no YAML") from error
    return None


def _given(path: str, before: str, after: str) -> GuardInput:
    return GuardInput((FileChange(path, before.encode(), after.encode()),), Path("/"))


_CODE = """REQUIRE_CONFIRM = True
REFUND_LIMIT = 10
SYSTEM = "Ask before you approve a refund."


def pay(order, *, dry_run=True):
    if not is_allowed(order) and order.total > 5:
        return None
    return send(order, verify=True, retries=3)
"""
_DATA = (
    '{"prompt": "Confirm every order.", "limits": {"refund": 10}, "require_login": true, "k": 3}'
)

PASSES = [
    _given("a.py", _CODE, _CODE.replace("Ask before", "Always ask before")),
    _given("a.py", _CODE, _CODE.replace("retries=3", "retries=5")),
    _given("a.json", _DATA, _DATA.replace('"k": 3', '"k": 9')),
    _given("a.json", _DATA, _DATA.replace("every order", "every single order")),
    _given("a.md", "require_confirm: true\n", "Be kind.\n"),
]
REFUSED = [
    _given("a.py", _CODE, _CODE.replace("CONFIRM = True", "CONFIRM = False")),
    _given("a.py", _CODE, _CODE.replace("LIMIT = 10", "LIMIT = 1000000")),
    _given("a.py", _CODE, _CODE.replace("dry_run=True", "dry_run=False")),
    _given("a.py", _CODE, _CODE.replace("verify=True", "verify=0")),
    _given("a.py", _CODE, _CODE.replace("if not is_allowed", "if is_allowed")),
    _given("a.py", _CODE, _CODE.replace("order.total > 5", "order.total > 500000")),
    _given("a.py", _CODE, _CODE.replace("(order) and", "(order) or")),
    _given("a.json", _DATA, _DATA.replace('"refund": 10', '"refund": 1000000')),
    _given("a.json", _DATA, _DATA.replace('"require_login": true', '"require_login": false')),
    _given("a.json", _DATA, _DATA.replace('"k": 3', '"k": 3, "auto_approve": true')),
    _given("a.yaml", "require_confirm: true\nk: 1\n", "require_confirm: no\nk: 1\n"),
    _given("a.toml", "[limits]\nrefund = 10\n", "[limits]\nrefund = 9000\n"),
]
