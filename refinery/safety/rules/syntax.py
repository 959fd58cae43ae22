"""Blocks final bytes that do not parse, or are too large to be judged."""

import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

_MAX_DEPTH = 200
_MAX_ALIASES = 100
"""YAML aliases in one file; a few dozen can stand for billions of nodes."""


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each file that would be broken, unreadable or too large."""
    for change in given.changes:
        if change.after is not None and (reason := _fault(change.path, change.after)):
            outcome = Outcome.HOLD if reason == _BINARY else Outcome.BLOCK
            yield Remark("syntax", outcome, reason, change.path)


_BINARY = "the file is not text, so nothing in it was judged"


def _fault(path: str, content: bytes) -> str:
    if len(content) > _change.MAX_BYTES:
        return f"the file is larger than {_change.MAX_BYTES:,} bytes"
    if content.count(b"\n") > _change.MAX_LINES:
        return f"the file has more than {_change.MAX_LINES:,} lines"
    parse = _PARSERS.get(_change.suffix(path))
    try:
        content.decode("utf-8")
        is_text = b"\0" not in content
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        return "the file is not UTF-8 text" if parse else _BINARY
    try:
        return parse(content) if parse else ""
    except RecursionError:
        return "the file nests too deeply"


def _python(content: bytes) -> str:
    return "" if _change.parsed(content) is not None else "the file is not valid Python"


def _json(content: bytes) -> str:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) < len(members):
            raise ValueError("a key occurs twice")
        return found

    try:
        value = json.loads(content, parse_constant=refuse, object_pairs_hook=pairs)
    except ValueError as error:
        return f"the file is not valid JSON: {error}"
    return "the file nests too deeply" if _depth(value) > _MAX_DEPTH else ""


def _toml(content: bytes) -> str:
    try:
        tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        return f"the file is not valid TOML: {error}"
    return ""


def _yaml(content: bytes) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent, NodeEvent

    aliases = depth = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(content.decode("utf-8")):
            aliases += isinstance(event, AliasEvent)
            name = type(event).__name__
            depth += name.endswith("StartEvent") - name.endswith("EndEvent")
            if aliases > _MAX_ALIASES or depth > _MAX_DEPTH:
                return "the file nests or repeats too much"
            if isinstance(event, NodeEvent) and (tag := _tag(event)):
                return f"the file asks for an object of another kind: {tag}"
        for _ in YAML(typ="safe", pure=True).compose_all(content.decode("utf-8")):
            pass  # names of anchors are only looked up here
    except (YAMLError, ValueError) as error:
        return f"the file is not valid YAML: {str(error).splitlines()[0]}"
    return ""


def _tag(event: Any) -> str:
    tag = str(getattr(event, "tag", None) or "")
    return tag if "python" in tag else ""


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below
    return depth


_PARSERS: dict[str, Callable[[bytes], str]] = {
    ".py": _python, ".pyi": _python, ".pyw": _python, ".json": _json, ".ipynb": _json,
    ".toml": _toml, ".yaml": _yaml, ".yml": _yaml,
}  # fmt: skip


def _given(path: str, after: bytes) -> GuardInput:
    return GuardInput((FileChange(path, b"", after),), Path("/"))


PASSES = [
    _given("a.py", b"x = 1\n"),
    _given("a.json", b'{"a": [1, null]}'),
    _given("a.toml", b"a = 1\n"),
    _given("a.yaml", b"a: &x [1]\nb: *x\n"),
    _given("a.yaml", b"--- # one\na: 1\n--- # two\nb: 2\n"),
    _given("a.md", b"# not ( python\n"),
]
REFUSED = [
    _given("a.py", b"x = (\n"),
    _given("a.py", b"x = 1\0\n"),
    _given("a.py", b"(" * 3000 + b"1" + b")" * 3000),
    _given("a.py", b"a" + b".a" * 500),
    _given("a.py", b"# " + b"x" * 1_000_001),
    _given("a.py", b"x = 1\n" * 20_001),
    _given("a.py", b"x = '\xff'\n"),
    _given("a.json", b'{"a": NaN}'),
    _given("a.json", b'{"a": 1, "a": 2}'),
    _given("a.json", b"[" * 100_000),
    _given("a.json", b"[" * 300 + b"]" * 300),
    _given("a.toml", b"a = \n"),
    _given("a.yaml", b"a: [1\n"),
    _given("a.yaml", b"a: 1\n---\nb: *missing\n"),
    _given("a.yaml", b"a: !!python/object/apply:os.system [id]\n"),
    _given("a.yaml", b"a: &a [x]\nb: [" + b"*a, " * 101 + b"*a]\n"),
    _given("logo.bin", b"\0\1"),
]
