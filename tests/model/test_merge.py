from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from refinery.model.merge import merge
from refinery.model.trace import Run, RunStatus
from tests.model.strategies import json_values, runs

STARTED = Run("r", "t", name="model", start_ns=1, inputs={"q": "hello"}, metadata={"a": 1})
ENDED = Run(
    "r", "t", end_ns=9, status=RunStatus.OK, outputs={"a": "world"}, metadata={"a": 2, "b": 3}
)
WHOLE = Run(
    "r",
    "t",
    name="model",
    start_ns=1,
    end_ns=9,
    status=RunStatus.OK,
    inputs={"q": "hello"},
    outputs={"a": "world"},
    metadata={"a": 2, "b": 3},
)


def test_the_end_may_arrive_before_the_start() -> None:
    assert merge(STARTED, ENDED) == WHOLE
    assert merge(ENDED, STARTED) == WHOLE


def test_a_view_from_before_the_end_never_overwrites_one_from_the_end() -> None:
    late = replace(STARTED, outputs={"a": "partial"}, status=RunStatus.RUNNING)

    assert merge(ENDED, late).outputs == {"a": "world"}
    assert merge(ENDED, late).status is RunStatus.OK


def test_a_null_and_an_empty_object_never_erase() -> None:
    emptied = replace(ENDED, outputs={}, metadata=None, name=None, inputs=None)

    assert merge(WHOLE, emptied) == WHOLE


def test_between_views_of_the_same_age_the_later_arrival_wins() -> None:
    corrected = replace(ENDED, outputs={"a": "corrected"})

    assert merge(ENDED, corrected).outputs == {"a": "corrected"}


def test_nested_metadata_is_joined_key_by_key() -> None:
    first = Run("r", "t", end_ns=1, metadata={"refinery": {"entry": 1, "lines": 5}, "x": 1})
    second = Run("r", "t", end_ns=1, metadata={"refinery": {"lines": 6, "entry": None}, "x": None})

    assert merge(first, second).metadata == {"refinery": {"entry": 1, "lines": 6}, "x": 1}


@given(runs)
def test_the_same_view_twice_changes_nothing(run: Run) -> None:
    assert merge(run, run) == run


@given(runs, runs)
def test_writing_a_pair_of_views_twice_is_writing_it_once(first: Run, second: Run) -> None:
    once = merge(first, second)

    assert merge(once, second) == once


@given(st.none() | json_values, st.none() | json_values)
def test_start_and_end_join_alike_in_either_order(inputs: object, outputs: object) -> None:
    started = Run("r", "t", name="n", start_ns=1, inputs=inputs)
    ended = Run("r", "t", end_ns=2, status=RunStatus.OK, outputs=outputs)

    assert merge(started, ended) == merge(ended, started)


def test_three_parts_join_alike_in_every_order() -> None:
    parts = (STARTED, replace(STARTED, tags=["x"]), ENDED)

    joined = set()
    for one, two, three in permutations(parts):
        joined.add(repr(merge(merge(one, two), three)))

    assert joined == {repr(replace(WHOLE, tags=["x"]))}
