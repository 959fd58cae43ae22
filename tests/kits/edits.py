"""Runs the examples of a kind of edit."""

import ast
from types import ModuleType

from refinery.codebase.splices import Example, apply_splices, check_arguments
from refinery.errors import EditError


def run_example(kind: ModuleType, example: Example) -> None:
    """Check one example: the exact text after, or the refusal it names."""
    try:
        check_arguments(kind.__name__, kind.ARGUMENTS, example.arguments)
        splices = kind.splices(example.before, example.path, example.arguments)
        after = apply_splices(example.before.encode("utf-8"), splices).decode("utf-8")
    except EditError as error:
        assert example.after is None, f"refused: {error} ({error.hint})"
        assert example.message in str(error), str(error)
        return
    assert example.after is not None, f"should be refused, gave {after!r}"
    assert after == example.after
    if example.path.endswith(".py"):
        ast.parse(after.removeprefix("\ufeff"))
