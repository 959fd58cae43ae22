"""What every guard rule must show: its own examples, and that hostile input does not break it."""

from pathlib import Path

import pytest

from refinery import plugins
from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput, GuardRule

HOSTILE: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\n",
    b"\0\xff\xfe",
    b"(" * 5000,
    b"x = " + b"-" * 5000 + b"1\n",
    b"a" + b".a" * 3000 + b"\n",
    b"x = '\\ud800'\n",
    "\ufeffx = 1\u202e\n".encode(),
    b"def f(:\n",
    b"- " * 2000,
    b"{" * 2000,
    b"&a [*a]\n",
    b"x = 1\n" * 300,
    b"\r".join([b"a"] * 50),
)
PATHS = (
    "a.py",
    "tests/test_a.py",
    "a.json",
    "a.yaml",
    "pyproject.toml",
    "a.md",
    "requirements.txt",
)


def check_rule(name: str) -> None:
    """Run the rule's examples and feed it hostile files.

    Raises:
        AssertionError: an example comes out wrong, or a remark is not well formed.
    """
    rule: GuardRule = plugins.load("safety.rules", name)  # type: ignore[assignment]
    module = plugins.load("safety.rules", name)
    assert module.PASSES, "a rule needs examples it is silent on"
    assert module.REFUSED, "a rule needs examples it speaks on"
    for number, given in enumerate(module.PASSES):
        assert list(rule.check(given)) == [], f"PASSES[{number}]"
    for number, given in enumerate(module.REFUSED):
        remarks = list(rule.check(given))
        assert remarks, f"REFUSED[{number}]"
        for remark in remarks:
            _check_remark(remark, name, given)


def check_hostile(name: str) -> None:
    """Every hostile content, before or after, gives remarks and no exception."""
    rule = plugins.load("safety.rules", name)
    for path in PATHS:
        for before in (None, b"x = 1\n", b"(" * 5000):
            for after in HOSTILE:
                change = FileChange(path, before, after)
                for remark in rule.check(GuardInput((change,), Path("/nowhere"))):
                    _check_remark(remark, name, GuardInput((change,), Path("/nowhere")))


def _check_remark(remark: Remark, name: str, given: GuardInput) -> None:
    assert remark.rule == name
    assert remark.outcome in (Outcome.HOLD, Outcome.BLOCK)
    assert remark.message
    assert remark.path in {"", *(change.path for change in given.changes)}


RULES = pytest.mark.parametrize("name", plugins.names("safety.rules"))
