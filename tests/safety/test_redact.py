import json
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.model.trace import Json
from refinery.safety.redact import redact

KEY = "sk-" + "proj-" + "Zq8vN3xK7mP2wR5tY9aB4cD6"
SECRETS = {
    "openai_key": KEY,
    "anthropic_key": "sk-" + "ant-api03-Zq8vN3xK7mP2wR5tY9aB4cD6",
    "langsmith_key": "lsv2_" + "pt_0123456789abcdef0123456789abcdef_0123456789",
    "aws_key": "AK" + "IAQ3EGVN5TZX7YWKPM",
    "github_token": "ghp_" + "Zq8vN3xK7mP2wR5tY9aB4cD6eF1gH0iJ2k",
    "gitlab_token": "glpat-" + "Zq8vN3xK7mP2wR5tY9aB",
    "slack_token": "xoxb-" + "2847561930-Zq8vN3xK7mP2wR5tY9",
    "google_key": "AIza" + "SyZq8vN3xK7mP2wR5tY9aB4cD6eF1gH0iJ2",
    "huggingface_token": "hf_" + "Zq8vN3xK7mPwRtYaBcDeFgHiJkLmNoPqRs",
    "stripe_key": "sk_" + "live_Zq8vN3xK7mP2wR5t",
    "npm_token": "npm_" + "Zq8vN3xK7mP2wR5tY9aB4cD6eF1gH0iJ2kL3",
    "sendgrid_key": "SG." + "Zq8vN3xK7mP2wR5tY9aB4c.Zq8vN3xK7mP2wR5tY9aB4cD6eF1gH0iJ2kL3",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.Zq8vN3xK7mP2wR5tY9",
}  # fmt: skip
CONTEXTS = (
    "{}",
    "Bearer {}",
    "use {} now",
    "key={}",
    "'{}'",
    '{{"k": "{}"}}',
    "https://a.b/?k={}",
    "x\n{}\ny",
)


@pytest.mark.parametrize("kind", SECRETS)
def test_keys_of_known_forms_are_replaced_wherever_they_stand(kind: str) -> None:
    secret = SECRETS[kind]
    for context in CONTEXTS:
        cleaned, counts = redact({"deep": [{"text": context.format(secret)}]})
        assert secret not in json.dumps(cleaned), context
        assert sum(counts.values()) == 1


def test_the_same_secret_gets_the_same_token_within_one_call_only() -> None:
    (first, second), counts = redact([f"a {KEY}", f"b {KEY}"])
    again, _ = redact(f"a {KEY}")

    assert counts == {"openai_key": 2}
    assert first[2:] == second[2:]
    assert again != first


def test_values_under_names_of_secrets_are_replaced() -> None:
    value = {
        "password": "hunter2", "Authorization": "Basic abc", "x-api-key": 12345, "apiKey": "k",
        "client_secret": {"value": "v", "none": None}, "cookie": ["a", "b"], "secret": True,
        "max_tokens": 100, "token": "word", "tokens": 5, "secretary": "Ann", "keyboard": "qwerty",
    }  # fmt: skip

    cleaned, counts = redact(value)

    kept = {"max_tokens": 100, "token": "word", "tokens": 5, "secretary": "Ann"}
    assert kept.items() <= cleaned.items()
    assert cleaned["keyboard"] == "qwerty"
    assert cleaned["secret"] is True
    assert cleaned["client_secret"]["none"] is None
    assert counts == {"named_secret": 7}
    assert "hunter2" not in json.dumps(cleaned)


def test_private_keys_url_passwords_and_assignments_are_replaced() -> None:
    pem = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----"
    text = f"{pem} then postgres://me:s3cret@db/x?password=hunter2&y=1 end"

    cleaned, counts = redact(text)

    assert set(counts) == {"private_key", "url_password", "assigned_secret"}
    assert cleaned.startswith("[redacted private_key ")
    assert cleaned.endswith("&y=1 end")
    assert "MIIE" not in cleaned
    assert "@db/x" in cleaned


def test_a_private_key_without_its_end_is_replaced() -> None:
    cleaned, _ = redact("a -----BEGIN " + "PRIVATE KEY-----\nMIIEabc\nmore")

    assert cleaned.startswith("a [redacted")
    assert "MIIE" not in cleaned


def test_addresses_are_replaced_only_when_asked() -> None:
    assert redact("to ann@example.com")[0] == "to ann@example.com"
    cleaned, counts = redact("to ann@example.com", emails=True)
    assert "ann@" not in cleaned
    assert counts == {"email": 1}


def test_keys_of_objects_are_cleaned_too() -> None:
    cleaned, _ = redact({f"call {KEY}": 1})

    assert KEY not in json.dumps(cleaned)


def test_what_has_been_redacted_is_left_alone() -> None:
    once, _ = redact({"password": "hunter2", "text": f"Bearer {KEY} password=hunter2"})
    twice, counts = redact(once)

    assert twice == once
    assert counts == {}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_json)
def test_json_without_secrets_comes_back_equal(value: Json) -> None:
    cleaned, counts = redact(value)

    if not counts:
        assert repr(cleaned) == repr(value)


def test_odd_values_raise_nothing() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    odd = ["\ud800" + KEY, float("nan"), 10**5000, {"password": 10**5000}, deep, object(), {1: 2}]

    cleaned, counts = redact(odd)

    assert counts["openai_key"] == 1
    assert counts["too_deep"] == 1
    assert cleaned[2] == 10**5000


def test_a_nearly_full_stack_raises_nothing() -> None:
    def dive(levels: int) -> Json:
        return dive(levels - 1) if levels else redact({"a": [{"b": [{"c": ["x"]}]}]})

    cleaned, counts = dive(sys.getrecursionlimit() - len(_frames()) - 20)

    assert counts == {"too_deep": 1}
    assert cleaned.startswith("[redacted too_deep")


def _frames() -> list[Any]:
    found, frame = [], sys._getframe()
    while frame:
        found.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return found


@pytest.mark.parametrize(
    "piece",
    [
        "-eyJ",
        "eyJ",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "://a",
        "SG.",
        "password=",
        "a.",
        "1:AA",
    ],
)
def test_hostile_text_takes_time_in_proportion(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    start = time.thread_time()

    redact(text, emails=True)

    assert time.thread_time() - start < 3
