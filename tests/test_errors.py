import re

import pytest

from refinery import errors
from refinery.errors import ExitCode, InputError, NotFoundError, RefineryError

OWN = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, RefineryError)
]


@pytest.mark.parametrize("error", OWN, ids=lambda error: error.__name__)
def test_the_drawn_tree_tells_every_error_and_its_exit_code(error: type[RefineryError]) -> None:
    drawn = re.search(rf"\b{error.__name__} +(\d+)", errors.__doc__ or "")

    assert drawn is not None
    assert int(drawn[1]) == error.exit_code


def test_an_error_has_a_hint_and_a_stable_name() -> None:
    error = NotFoundError("no trace", hint="import one")

    assert (str(error), error.hint, error.code) == ("no trace", "import one", "not_found")
    assert RefineryError("x").hint == ""
    assert InputError("x").code == "input"


def test_exit_codes_are_a_stable_interface() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "NEGATIVE": 1,
        "USAGE": 2,
        "PARTIAL": 3,
        "CREDENTIALS": 4,
        "NOTHING": 5,
        "BUDGET": 6,
        "REFUSED": 7,
        "BUG": 70,
        "INTERRUPTED": 130,
    }
