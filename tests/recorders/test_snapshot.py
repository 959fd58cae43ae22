import datetime
import json
import math
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from pydantic import BaseModel, ConfigDict

from refinery.model.codec import encode
from refinery.recorders import _snapshot, _view
from refinery.recorders._encoded import is_encoded, value_of
from refinery.recorders._snapshot import Snapshot, Unencoded, snapshot


def held(value: Any) -> Any:
    """What a reader gets of a value."""
    taken, _ = snapshot(value)
    return _view._expanded(taken)


FINITE: Any = {"allow_nan": False, "allow_infinity": False}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(**FINITE) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_json_comes_back_equal_and_is_another_object(value: Any) -> None:
    copied = Snapshot().take(value)

    assert copied == value
    if isinstance(value, dict | list):
        assert copied is not value


@given(json_values)
def test_what_is_held_is_encoded_as_what_is_copied(value: Any) -> None:
    copied = Snapshot().take(value)
    taken, size = snapshot(value)

    assert size > 0
    assert json.loads(_view._encoded(taken)) == json.loads(_view._dumped(encode(copied)))


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_is_held_as_text(odd: float) -> None:
    assert held({"a": [1.5, None, {"b": odd}]}) == {"a": [1.5, None, {"b": str(odd)}]}


def test_plain_values_are_encoded_at_once_and_others_in_part() -> None:
    plain, _ = snapshot({"a": [1, None, "x"]})
    mixed, _ = snapshot({"messages": [AIMessage("hello")], "n": {"a": 1}})

    assert is_encoded(plain)
    assert is_encoded(mixed["messages"][0])
    assert is_encoded(mixed["n"])


def test_later_changes_of_the_host_do_not_reach_the_copy() -> None:
    message = AIMessage("first", tool_calls=[{"name": "f", "args": {"x": [1]}, "id": "1"}])
    state = {"messages": [message], "seen": {1}}

    taken, _ = snapshot(state)
    state["messages"].append("later")  # type: ignore[attr-defined]
    message.content = "changed"
    message.tool_calls[0]["args"]["x"].append(2)
    copied = _view._expanded(taken)

    assert len(copied["messages"]) == 1
    assert copied["messages"][0]["content"] == "first"
    assert copied["messages"][0]["tool_calls"][0]["args"] == {"x": [1]}


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    YES = "yes"


class Text(str):
    """A string with a liar's `__str__`."""

    def __str__(self) -> str:
        return "lie"


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int = 1


@dataclass
class Point:
    x: int
    y: list[int]


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Word.YES, "yes"),
        (Text("truth"), "truth"),
        (True, True),
        (Decimal("1.5"), "1.5"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
        (Point(1, [2]), {"x": 1, "y": [2]}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        ((1, {2}), [1, [2]]),
        ({Word.YES: 1, 2: 3}, {"yes": 1, "2": 3}),
        (b"ab", b"ab"),
    ],
)
def test_common_values_become_plain_ones(value: Any, expected: Any) -> None:
    assert Snapshot().take(value) == expected
    assert held(value) == expected


def test_models_messages_and_documents_become_their_fields() -> None:
    copied = held([Model(x=2, more="m"), Document("text", metadata={"a": 1})])  # type: ignore[call-arg]

    assert copied[0] == {"x": 2, "more": "m"}
    assert copied[1]["page_content"] == "text"
    assert copied[1]["metadata"] == {"a": 1}


class Chain(BaseModel):
    """A model that may hold others, itself among them."""

    links: list[Any] = []
    about: dict[str, Any] = {}
    score: float = 0.0


@pytest.mark.parametrize(
    "value",
    [
        {"output": AIMessage("a", response_metadata={"n": {"deep": [1]}})},
        {"messages": [AIMessage("a").text, ("b", AIMessage("c"))], "n": 1.5},
        {"output": Chain(links=[Chain(), Document("d")], about={"m": AIMessage("e")})},
        {"output": Chain(score=math.nan, about={"x": math.inf})},
        {"output": [Model(x=2, more="m"), Word.YES, Pair(1, 2), b"ab", {3: object}]},  # type: ignore[call-arg]
        {"output": [[{"n": number} for number in range(10)] for _ in range(1_000)]},
    ],
)
def test_models_encoded_together_are_what_they_are_one_by_one(value: Any) -> None:
    together = _view._encoded(Snapshot().hold_models(value))

    assert json.loads(together) == json.loads(_view._encoded(Snapshot().hold(value)))


def test_containers_that_hold_themselves_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_snapshot, "MAX_NODES", 20_000)
    ring: list[Any] = []
    ring += [ring, ring]
    knot: dict[str, Any] = {}
    knot["self"] = knot
    wide: list[Any] = []
    wide += [wide] * 500
    model = Chain()
    model.links += [model] * 500

    encode(held(ring))
    encode(held(knot))
    for looped in (ring, knot, wide, model):
        _view._encoded(Snapshot().hold_models({"output": looped}))


def test_deep_and_long_values_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_snapshot, "MAX_TEXT", 10)
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]

    assert held("x" * 20) == "x" * 10 + "… (cut by the recorder)"
    assert "bottom" not in str(held(deep))


class Hostile:
    """Raises from everything a curious reader may touch."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


def test_a_hostile_object_costs_itself_only() -> None:
    copied = held({"bad": Hostile(), "good": 1, Hostile(): 2})

    encoded = encode(copied)
    assert encoded["good"] == 1
    assert encoded["<Hostile>"] == 2
    assert "repr raised RuntimeError" in encoded["bad"]["__repr__"]


def test_the_repr_of_an_unknown_object_is_not_taken_before_encoding() -> None:
    asked = []

    class Slow:
        def __repr__(self) -> str:
            asked.append(1)
            return "slow " + "x" * 50_000

    copied, _ = snapshot([Slow()])

    assert asked == []
    assert isinstance(copied[0], Unencoded)
    assert len(encode(copied)[0]["__repr__"]) < 11_000
    assert asked == [1]


def test_a_float_that_is_no_number_keeps_its_name_whatever_the_host_does_to_the_value_later() -> (
    None
):
    value = {"a": [None, float("nan"), {"b": float("-inf")}], "c": None}
    held, _ = snapshot(value)
    value["a"][0], value["c"] = "changed", [1]

    assert value_of(held) == {"a": [None, "nan", {"b": "-inf"}], "c": None}
