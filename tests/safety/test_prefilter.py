"""What the quick look clears, the thorough one must leave as it is."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refinery.safety import prefilter
from refinery.safety import redact as redact_module
from refinery.safety._forms import TOKENS
from refinery.safety.redact import Redaction, redact

KEYS = ("customer_no", "steuerId")
SNAKES = ("customer_no", "steuer_id")
EXTRA = Redaction(emails=True, keys=KEYS)
LOOKS = {
    "re2": (Redaction().suspects(), EXTRA.suspects()),
    "standard library": (
        prefilter._by_literals(prefilter._pattern(False, ()), False, ()),
        prefilter._by_literals(
            prefilter._pattern(True, ("customer_no", "steuer_id")),
            True,
            ("customer_no", "steuer_id"),
        ),
    ),
}

tokens = st.one_of(
    [st.from_regex(re.compile(p, re.ASCII), fullmatch=True) for p in TOKENS.values()]
)
assigned = st.sampled_from(
    [
        *("password=", "PASSWD=", "api_key=", "apikey=", "ba\u017fic ", "Bearer ", "basic "),
        *("BAS\u0130C ", "secret=", "access_token=", "refre\u017fh_to\u212aen=", "client_secret="),
        *("to\u212aen=", "AccountKey="),
    ]
)
values = st.text("abcXYZ0189._~+/-", min_size=4, max_size=90)
long_forms = st.sampled_from(
    [
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "postgres://user:hunter22@host/db",
        "http://ü:pässword@host",
        "https://hooks.slack.com/services/" + "T0/B0/" + "x" * 24,
        "me.you+x@example.co.uk",
        "123456789:AA" + "b" * 33,
    ]
)
around = st.sampled_from(
    ["", " ", "\n", "\t", '"', "\\", "\x01", "é", "a", "_", ".", "-", "\u2028", "¹"]
)
texts = st.builds(
    lambda left, form, right, more: left + form + right + more,
    around,
    st.one_of(tokens, long_forms, st.builds(str.__add__, assigned, values), st.text(max_size=20)),
    around,
    st.text(max_size=5),
)
names = st.sampled_from(
    [
        *("password", "Passwd", "pass_phrase", "passphrase", "PWD", "secret", "secretKey"),
        *("api-key", "apiKey", "x_api_key", "APIKEY", "accessKeyId", "access_key_id"),
        *("privateKey", "Authorization", "proxy_authorization", "authToken", "access-token"),
        *("refresh_token", "id_token", "sessionToken", "bearer_token", "Cookie", "set-cookie"),
        *("credential", "CREDENTIALS", "connectionString", "coo\u212aie", "customerNo"),
        *("customer_no", "CUSTOMER-NO", "steuer_id", "steuerId", "my.secret", "total_tokens"),
        *("token", "first_token", "key", "monkey", "password\n"),
    ]
)
scalars = st.one_of(
    texts, st.none(), st.booleans(), st.sampled_from([0, 0.0, 1, -1, 0.5, "", "0", "x", 2**53])
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.one_of(names, texts), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("look", LOOKS)
@given(documents)
@settings(max_examples=250)
@example({"password\n": "x"})
@example({"a": "\nsk-" + "a" * 30})
@example({"a": "\x01AKIA" + "A" * 16})
@example("ls_" + "_" * 17)
@example({"coo\u212aie": 1})
@example({"api\u212aey": [1.5]})
def test_what_is_cleared_holds_nothing_to_replace(look: str, document: Any) -> None:
    plain, extra = LOOKS[look]
    for raw in (orjson.dumps(document), _by_standard_library(document)):
        if not plain(raw):
            assert _thorough(document, False, ()) == document
        if not extra(raw):
            assert _thorough(document, True, KEYS) == document
    assert redact(document)[1] == _counts(document)


def _thorough(document: Any, emails: bool, keys: tuple[str, ...]) -> Any:
    """What `redact` makes of a document when it looks at every string closely."""
    pattern = redact_module._SECRETS_AND_EMAILS if emails else redact_module._SECRETS
    work = redact_module._Work(pattern, emails, keys)
    work.looks = lambda raw: True
    return work.clean(document, 0)


def _counts(document: Any) -> dict[str, int]:
    work = redact_module._Work(redact_module._SECRETS, False, ())
    work.looks = lambda raw: True
    work.clean(document, 0)
    return work.counts


def _by_standard_library(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", TOKENS)
@given(data=st.data())
@settings(max_examples=8)
def test_every_token_is_suspected(look: str, kind: str, data: st.DataObject) -> None:
    token = data.draw(st.from_regex(re.compile(TOKENS[kind], re.ASCII), fullmatch=True))

    assert LOOKS[look][0](orjson.dumps({"a": f"it is {token}."}))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "harmless",
    [
        {"total_tokens": 12, "key": "value", "api_key": None, "password": ""},
        {"text": "See https://example.com/a:b, the task-management and the desk-top."},
        {"id": "0198c1f0-aaaa-7bbb-8ccc-1234567890ab", "token": 3, "monkey": True},
    ],
)
def test_harmless_documents_are_cleared(look: str, harmless: Any) -> None:
    assert not LOOKS[look][0](orjson.dumps(harmless))
