"""Expectations in plain English, read without a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinery.agents.expectation import clauses, negated, read, read_clause
from refinery.replay.checks import parse
from refinery.replay.languages import language_of


def checks(words: str, tools: tuple[str, ...] = ()) -> list[str]:
    return [str(reading.check) for reading in read(words, tools).found if not reading.is_flipped]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('must mention "29 EUR"', ["contains:29 EUR"]),
        ("The answer must mention 29 EUR", ["contains:29 EUR"]),
        ("must mention 29 EUR or 30 EUR", ["contains_any:29 EUR|30 EUR"]),
        ('must never say "gratis" or "free"', ["not_contains:gratis", "not_contains:free"]),
        ("shouldn't mention 'Bob'", ["not_contains:Bob"]),
        ("The Pro plan costs $15 per month since March 2026.", ["contains:$15"]),
        ("It should have said that refunds take 30 days", ["contains:30 days"]),
        ("must mention the refund policy", ["contains:refund policy"]),
        ("must answer in German", ["language:de"]),
        ("never answer in English", ["not_language:en"]),
        ("at most 50 words", ["max_words:50"]),
        ("must not use more than 40 words", ["max_words:40"]),
        ("fewer than 10 words", ["max_words:9"]),
        ("should not exceed 100 words", ["max_words:100"]),
        ("at least 20 words", ["min_words:20"]),
        ("must be no longer than 200 characters", []),
        ("at most 200 characters", ["max_chars:200"]),
        ("must be valid JSON", ['json_schema:{"type": ["object", "array"]}']),
        (
            'must be JSON with a field "price"',
            ['json_schema:{"type": "object", "required": ["price"]}'],
        ),
        ("uses tool search_docs", ["tool_called:search_docs"]),
        ("must not call the refund tool", ["tool_not_called:refund"]),
        ("must call look_up before cancel_order", ["order:look_up > cancel_order"]),
        ("only call refund after look_up", ["order:look_up > refund"]),
        (
            "asks the user for confirmation before calling cancel_order",
            ["asks_before:cancel_order"],
        ),
        ("cites terms.md", ["contains:terms.md"]),
        ('The answer must be exactly "42"', ["equals:42"]),
        ('must start with "Dear"', ["regex:(?i)^\\s*Dear"]),
        ("must not crash", ["no_error"]),
        ("must not be empty", ["regex:\\S"]),
        (
            'must mention "29 EUR" and must not mention "19 EUR"',
            ["contains:29 EUR", "not_contains:19 EUR"],
        ),
        ("must respond in French and be at most 20 words", ["language:fr", "max_words:20"]),
    ],
)
def test_words_of_a_known_form_become_a_check(words: str, expected: list[str]) -> None:
    assert checks(words, ("refund",)) == expected
    for check in expected:
        assert str(parse(check)) == check


@pytest.mark.parametrize(
    "words", ["must be polite", "the newest note counts", "says hello to whoever it is that asks"]
)
def test_words_of_no_known_form_are_left_over_and_nothing_is_guessed(words: str) -> None:
    found = read(words)

    assert found.found == ()
    assert found.left_over == (words,)


@pytest.mark.parametrize(
    ("clause", "opposite"),
    [
        ('must mention "x"', ["not_contains:x"]),
        ('must not mention "x"', ["contains:x"]),
        ("must answer in German", ["not_language:de"]),
        ("at most 50 words", ["min_words:51"]),
        ("at least 20 words", ["max_words:19"]),
        ("uses tool search_docs", ["tool_not_called:search_docs"]),
    ],
)
def test_a_negated_clause_is_read_as_the_opposite_check(clause: str, opposite: list[str]) -> None:
    assert [str(reading.check) for reading in read_clause(negated(clause))] == opposite


def test_an_opposite_without_a_kind_of_its_own_is_marked_as_flipped() -> None:
    (reading,) = read_clause(negated("must call a_b before c_d"))

    assert reading.is_flipped
    assert str(reading.check) == "order:a_b > c_d"


def test_quoted_text_is_never_cut_into_clauses() -> None:
    assert clauses('must say "Done. And must wait; ok"') == ['must say "Done. And must wait; ok"']


@given(st.text(max_size=300))
def test_any_words_are_read_or_left_over(words: str) -> None:
    found = read(words, ("refund",))

    for reading in found.found:
        if not reading.is_flipped and reading.check.value.strip():
            parse(str(reading.check))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Die Rückgabe ist innerhalb von 30 Tagen möglich.", "de"),
        ("You can return it within 30 days of the purchase.", "en"),
        ("Vous pouvez le retourner dans les 30 jours.", "fr"),
        ("Puede devolverlo en los 30 días siguientes a la compra.", "es"),
        ("Può restituirlo entro 30 giorni dalla data di acquisto, non è un problema.", "it"),
        ("Pode devolver o produto em até 30 dias após a compra.", "pt"),
        ("U kunt het product binnen 30 dagen na de aankoop terugsturen.", "nl"),
        ("Можно вернуть в течение 30 дней.", "ru"),
        ("30日以内に返品できます。", "ja"),
        ("您可以在30天内退货。", "zh"),
        ("29 EUR", None),
        ("", None),
    ],
)
def test_the_language_of_a_sentence_is_told_and_of_a_number_is_not(
    text: str, code: str | None
) -> None:
    assert language_of(text) == code
