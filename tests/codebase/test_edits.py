import pytest

from refinery import plugins
from refinery.codebase.splices import Example, Splice, apply_splices
from refinery.errors import EditError
from tests.kits.edits import run_example

KINDS = plugins.names("codebase.edits")
CASES = [
    pytest.param(kind, example, id=f"{kind}-{number}")
    for kind in KINDS
    for number, example in enumerate(plugins.load("codebase.edits", kind).EXAMPLES)
]


@pytest.mark.parametrize(("kind", "example"), CASES)
def test_example_of_a_kind_holds(kind: str, example: Example) -> None:
    run_example(plugins.load("codebase.edits", kind), example)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_what_it_does_and_what_it_refuses(kind: str) -> None:
    examples = plugins.load("codebase.edits", kind).EXAMPLES

    assert any(one.after is not None for one in examples)
    assert any(one.after is None for one in examples)


def test_overlapping_splices_are_refused() -> None:
    with pytest.raises(EditError, match="same place"):
        apply_splices(b"abcdef", [Splice(1, 3, b"x"), Splice(2, 4, b"y")])
    with pytest.raises(EditError):
        apply_splices(b"abc", [Splice(2, 9, b"x")])


def test_splices_are_applied_in_source_order() -> None:
    assert apply_splices(b"abcdef", [Splice(4, 5, b"Y"), Splice(1, 1, b"X")]) == b"aXbcdYf"
