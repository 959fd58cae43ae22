"""Parses Python source, one thread at a time.

CPython 3.11 counts how deep a syntax tree is in one counter for all threads: two that parse at the
same moment can end in `SystemError: AST constructor recursion depth mismatch`
(https://github.com/python/cpython/issues/106905). The filters of `warnings`, which a parser needs
silent, are shared by all threads as well.
"""

import ast
import os
import threading
import warnings

_lock = threading.Lock()


def _new_lock() -> None:
    """A child forked while another thread parsed would wait for that thread for ever."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


def parse_module(source: str | bytes) -> ast.Module:
    """The syntax tree of a file; bytes may name their encoding.

    Raises:
        SyntaxError: it is no Python, or nested deeper than can be read.
    """
    tree = _parse(source, "exec")
    assert isinstance(tree, ast.Module)
    return tree


def parse_expression(source: str | bytes) -> ast.expr:
    """The syntax tree of one expression.

    Raises:
        SyntaxError: it is no expression, or nested deeper than can be read.
    """
    tree = _parse(source, "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _parse(source: str | bytes, mode: str) -> ast.AST:
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source, mode=mode)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or "nested too deeply") from error
