"""Python source is parsed without one thread disturbing another."""

import ast
import gc
import os
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from refinery import syntax

NESTED = "value = " + "[" * 60 + "1" + "]" * 60 + "\n"


@pytest.fixture
def lets_others_run() -> Iterator[None]:
    """Collections of garbage are frequent and let other threads run in the middle of a parse."""

    def wait(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0.0005)

    before = gc.get_threshold()
    gc.callbacks.append(wait)
    gc.set_threshold(20)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(wait)


@pytest.mark.usefixtures("lets_others_run")
def test_threads_that_parse_at_the_same_moment_do_not_fail() -> None:
    with ThreadPoolExecutor(2) as pool:
        trees = list(pool.map(syntax.parse_module, [NESTED * 40] * 6))

    assert all(len(tree.body) == 40 for tree in trees)


@pytest.mark.parametrize(
    "source",
    ["def", "a\0b", "(" * 5_000, "-" * 200_000 + "1", b"# coding: nonsense\n", "'\ud800'"],
    ids=["unfinished", "null", "brackets", "minus", "coding", "surrogate"],
)
def test_what_cannot_be_read_is_a_syntax_error(source: str | bytes) -> None:
    with pytest.raises(SyntaxError):
        syntax.parse_module(source)


def test_an_expression_is_one_expression() -> None:
    assert ast.unparse(syntax.parse_expression("a +  b")) == "a + b"
    with pytest.raises(SyntaxError):
        syntax.parse_expression("a = 1")


def test_doubtful_escapes_are_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert syntax.parse_module(r"a = '\d'").body


def test_a_child_forked_in_the_middle_of_a_parse_can_parse() -> None:
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with syntax._lock:
            is_held.set()
            may_go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if syntax.parse_module("a = 1").body else 1)
    may_go.set()
    holder.join()

    assert os.waitpid(child, 0)[1] == 0
