"""Values of attributes are read quickly where that changes nothing."""

import json
import uuid
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from refinery.adapters._shared.otel import values
from refinery.adapters._shared.otel.spans import run_uuid

_NAMES = st.sampled_from(["a", "b", 'q"', "é", ""])
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "x", "[{", '"', "\\", "é", ":"])
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner),
    max_leaves=9,
)


@given(_VALUES, st.booleans(), st.booleans(), st.text('"{}[],:01-e. ', max_size=2), st.integers(0))
@example([-(2**63), 2**64, -(2**63) - 1], False, False, "", 0)
@example({"a": 1, "b": {"a": "x"}}, True, False, "", 0)
def test_what_is_read_quickly_is_what_the_exact_reader_reads(
    value: Any, is_doubled: bool, is_ascii: bool, noise: str, place: int
) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    text = text.replace('"b"', '"a"') if is_doubled else text
    at = place % (len(text) + 1)
    text = text[:at] + noise + text[at:]
    found = values._quickly(text)
    if found is not None:
        assert repr(found) == repr(values._DECODER.decode(text))


def test_a_name_that_occurs_twice_keeps_the_text_whole() -> None:
    assert values.parsed('{"a": 1, "a": 2}') == '{"a": 1, "a": 2}'


@given(st.uuids(), st.text(max_size=20))
def test_the_id_of_a_run_is_a_name_based_uuid_of_trace_and_span(
    trace: uuid.UUID, span_id: str
) -> None:
    if span_id.isascii():
        assert run_uuid(trace.hex, span_id) == str(uuid.uuid5(trace, span_id))
