"""What the quick look at bytes of any encoding clears, `redact` leaves as it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from refinery.safety.prefilter import suspects_anywhere
from refinery.safety.redact import redact

SECRETS = (
    "sk-ant-" + "a1B2" * 8,
    "sk-proj-" + "a1B2" * 8,
    "lsv2_pt_" + "a1b2" * 10,
    "AKIA" + "ABCD1234" * 2,
    "ghp_" + "a1B2" * 9,
    "xoxb-" + "1234567890-abc",
    "AC" + "0123456789abcdef" * 2,
    "eyJ" + "a1B2" * 4 + ".eyJ" + "a1B2" * 4 + "." + "a1B2" * 4,
    "postgres://user:hunter22@db/x",
    "Bearer " + "a1B2" * 8,
    "password=hunter22",
    "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
)
NAMES = ("password", "x-api-key", "openaiApiKey", "http.request.header.authorization", "a.cookie")


def as_protobuf(key: str, value: str) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key=key).value.string_value = value
    return bytes(request.SerializeToString())


def encodings(key: str, value: str) -> list[bytes]:
    inner = json.dumps({key: value})
    return [
        as_protobuf(key, value),
        as_protobuf("input.value", inner),
        json.dumps({key: value}).encode(),
        json.dumps({key: value}, indent=2).encode(),
        json.dumps({"input.value": inner}, separators=(",", ":")).encode(),
    ]


@pytest.mark.parametrize("secret", SECRETS)
@given(padding=st.integers(0, 130))
def test_a_secret_is_suspected_at_any_length(secret: str, padding: int) -> None:
    # In protobuf the length stands before the text, and looks like any character.
    assert all(suspects_anywhere()(raw) for raw in encodings("a", secret + " " * padding))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_secret_is_suspected(name: str) -> None:
    assert redact({name: "hunter22"})[1]
    assert all(suspects_anywhere()(raw) for raw in encodings(name, "hunter22"))


words = st.text(max_size=30) | st.sampled_from((*SECRETS, *NAMES, '"', "\\", "/", "é"))
texts = st.lists(words, max_size=4).map("".join).filter(lambda text: text.isprintable())


@given(key=texts.filter(bool), value=texts)
def test_what_is_cleared_holds_nothing_to_replace(key: str, value: str) -> None:
    document: Any = {key: value}
    if redact(document)[1]:
        assert all(suspects_anywhere()(raw) for raw in encodings(key, value))


def test_plain_content_is_cleared() -> None:
    plain = encodings("llm.token_count.prompt", "Where is order A-1? See https://shop.example/x")

    assert not any(suspects_anywhere()(raw) for raw in plain)
