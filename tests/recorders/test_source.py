import functools
import hashlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from refinery.recorders import _source


def plain(x: int) -> int:
    return x


class Bot:
    def answer(self, x: int) -> int:
        return x

    def __call__(self, x: int) -> int:
        return x


class Held:
    def __init__(self, func: Any) -> None:
        self.func = func


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    return call


@pytest.mark.parametrize(
    ("function", "qualname"),
    [
        (plain, "plain"),
        (functools.partial(functools.partial(plain), 1), "plain"),
        (Bot().answer, "Bot.answer"),
        (Bot(), "Bot.__call__"),
        (decorated(plain), "plain"),
    ],
)
def test_the_users_function_is_found_behind_wrappers(function: Any, qualname: str) -> None:
    subject = _source.subject_of(Held(function), "chain")

    assert subject is not None
    assert subject.code.co_qualname == qualname


@pytest.mark.parametrize("function", [json.dumps, len, pytest.fixture, inspect.signature])
def test_functions_of_libraries_are_left_out(function: Any) -> None:
    assert _source.subject_of(Held(function), "chain") is None


def test_a_reference_names_file_line_and_source_relative_to_the_root() -> None:
    subject = _source.subject_of(plain, "function")
    assert subject is not None

    reference = _source.describe(subject, str(Path(__file__).parent), "c0ffee", True)

    assert reference.module == __name__
    assert reference.qualname == "plain"
    assert reference.file == "test_source.py"
    assert reference.line == plain.__code__.co_firstlineno
    assert (reference.commit, reference.dirty) == ("c0ffee", True)
    text = "def plain(x: int) -> int:\n    return x\n"
    assert reference.variant == hashlib.sha256(text.encode()).hexdigest()


def test_a_file_outside_the_root_is_absolute_and_belongs_to_no_commit(tmp_path: Path) -> None:
    subject = _source.subject_of(plain, "function")
    assert subject is not None

    reference = _source.describe(subject, str(tmp_path), "c0ffee", False)

    assert reference.file == str(Path(__file__).resolve())
    assert reference.commit is None
    assert reference.dirty is None


def test_source_that_is_gone_leaves_the_variant_unknown(tmp_path: Path) -> None:
    space: dict[str, Any] = {"__name__": "gone"}
    exec(compile("def made():\n    pass\n", str(tmp_path / "gone.py"), "exec"), space)
    subject = _source.subject_of(space["made"], "function")
    assert subject is not None

    reference = _source.describe(subject, str(tmp_path), None, None)

    assert reference.variant is None
    assert reference.file == "gone.py"


def test_files_of_the_interpreter_and_of_packages_are_not_the_users(tmp_path: Path) -> None:
    assert not _source.is_users("<string>")
    assert not _source.is_users(json.__file__)
    assert not _source.is_users(pytest.__file__)
    assert not _source.is_users(str(tmp_path / ".venv/lib/python3.11/site-packages/x.py"))
    assert _source.is_users(__file__)


def test_the_owner_is_self_of_the_calling_method() -> None:
    class Caller:
        def call(self) -> Any:
            return _source.owner()

        def call_many(self) -> list[Any]:
            return [_source.owner() for _ in range(1)]

    caller = Caller()

    assert caller.call() is caller
    assert caller.call_many() == [caller]


def test_no_owner_is_found_outside_methods() -> None:
    assert (lambda: _source.owner())() is None or "pytest" in sys.modules
