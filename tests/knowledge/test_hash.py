import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery import plugins
from refinery.embedders.hash import HashEmbedder, create, features
from refinery.errors import InputError


def _similarity(first: str, second: str) -> float:
    one, two = HashEmbedder().embed([first, second])
    return sum(a * b for a, b in zip(one, two, strict=True))


@given(st.text(max_size=300))
def test_a_vector_has_unit_length_or_is_zero(text: str) -> None:
    (vector,) = HashEmbedder(64).embed([text])

    length = math.sqrt(sum(x * x for x in vector))
    assert len(vector) == 64
    assert length == pytest.approx(1, abs=1e-4) or length == 0


def test_equal_texts_have_equal_vectors_in_every_process() -> None:
    code = (
        "from refinery.embedders.hash import HashEmbedder;"
        "print([round(x, 4) for x in HashEmbedder(16).embed(['tool_call failed'])[0]])"
    )
    here = [round(x, 4) for x in HashEmbedder(16).embed(["tool_call failed"])[0]]

    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert there.stdout.strip() == str(here)


def test_parts_of_snake_and_camel_case_words_count() -> None:
    assert {"search", "flights", "search_flights"} <= set(features("search_flights"))
    assert {"json", "decode", "error"} <= set(features("JSONDecodeError"))
    assert _similarity("recursion_limit", "recursion limit") > 0.5
    assert _similarity("recursion_limit", "price list of hotels") < 0.2


def test_a_misspelt_word_is_near_the_right_one() -> None:
    assert _similarity("temperature", "temprature") > 0.3


def test_the_plugin_is_found_by_name_and_takes_its_dimensions() -> None:
    embedder = plugins.load("embedders", "hash").create("128")

    assert (embedder.name, embedder.dimensions) == ("hash-128", 128)
    assert "hash" in plugins.names("embedders")
    assert create().name == "hash-512"


@pytest.mark.parametrize("option", ["big", "8", "-1", "1e3"])
def test_a_wrong_option_is_an_input_error(option: str) -> None:
    with pytest.raises(InputError, match="dimensions"):
        create(option)
