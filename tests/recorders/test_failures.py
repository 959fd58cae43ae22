"""Exceptions as data."""

import time
import traceback
from typing import Any

import pytest

from refinery.recorders._failures import FIRST_FRAMES, LAST_FRAMES, Failure


def _raised(action: Any) -> BaseException:
    try:
        action()
    except Exception as error:  # noqa: BLE001  # whatever it raises is looked at
        return error
    raise AssertionError("it raised nothing")


def _chain() -> None:
    try:
        {}["x"]
    except KeyError as error:
        error.add_note("a note")
        raise ValueError("no x") from error


def _context() -> None:
    try:
        {}["x"]
    except KeyError:
        int("three")


def _deep(depth: int) -> None:
    if depth:
        _deep(depth - 1)
    else:
        raise RuntimeError("bottom")


def _without_marks(text: str) -> str:
    lines = text.splitlines(True)
    return "".join(line for line in lines if not line.strip() or set(line.strip()) - {"^", "~"})


@pytest.mark.parametrize("action", [_chain, _context, lambda: _deep(3)])
def test_the_text_is_the_one_python_prints(action: Any) -> None:
    error = _raised(action)

    told = Failure(error).told()

    assert told.stack == _without_marks("".join(traceback.format_exception(error)))


def test_a_group_tells_the_errors_in_it() -> None:
    def raise_group() -> None:
        raise ExceptionGroup("two", [ValueError("first one"), KeyError("second one")])

    told = Failure(_raised(raise_group)).told()

    assert "first one" in told.stack
    assert "second one" in told.stack


def test_of_a_deep_recursion_both_ends_are_kept() -> None:
    told = Failure(_raised(lambda: _deep(500))).told()

    assert told.stack.count("  File ") == FIRST_FRAMES + LAST_FRAMES
    assert "frames are left out]" in told.stack
    assert told.stack.endswith("RuntimeError: bottom\n")


def test_an_error_without_a_readable_text_is_told() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise TypeError("no text")

    def say_nothing() -> None:
        raise MuteError

    told = Failure(_raised(say_nothing)).told()

    assert (told.type, told.message) == ("MuteError", "<the error's text could not be read>")
    assert "in say_nothing" in told.stack


def test_an_error_that_passes_hundreds_of_recorded_calls_costs_each_little() -> None:
    error = _raised(lambda: _deep(900))
    began = time.process_time()

    for _ in range(100):
        Failure(error)

    assert time.process_time() - began < 0.3, "formatting each time would take seconds"
