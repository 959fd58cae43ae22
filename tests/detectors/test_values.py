"""Values in texts, patterns on hostile texts, schemas, languages."""

import pytest

from refinery.detectors._shared.actions import claims, is_change, may_do
from refinery.detectors._shared.patterns import MAX_HITS, find, find_all
from refinery.detectors._shared.quotes import around, evidence
from refinery.detectors._shared.schemas import misfits
from refinery.detectors._shared.values import numbers, values
from refinery.detectors._shared.wording import denies, language
from refinery.detectors.ungrounded_answer import is_derived
from refinery.model.trace import Json, Run


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Pay $1,200.50 now", {("money", "1200.5")}),
        ("12 EUR or 7€", {("money", "12"), ("money", "7")}),
        ("on May 20, 2024", {("date", "2024-05-20")}),
        ("on 3rd of June", {("date", "--06-03")}),
        ("since 2024-05-01T00:00", {("date", "2024-05-01")}),
        ("order #W1002003", {("identifier", "w1002003")}),
        ("write to a.b@c.org.", {("email", "a.b@c.org")}),
        ("a 2000mAh battery, 1080p", set()),
    ],
)
def test_values_have_one_spelling(text: str, found: set[tuple[str, str]]) -> None:
    assert {(v.kind, v.canonical) for v in values(text)} == found


def test_numbers_of_dates_and_lists_are_left_out() -> None:
    text = "1. Since 2024-05-01 it costs 12.\n2. It is 3 days."

    assert [n.canonical for n in numbers(text)] == ["12", "3"]


def test_a_pattern_reads_lone_surrogates_and_stops_in_time() -> None:
    assert find(r"b", "a\ud800b") is not None
    assert sum(1 for _ in find_all("a", "a" * 10_000)) == MAX_HITS


def test_a_quote_is_the_sentence_around_a_place() -> None:
    text = "First one. The price is $12 today. Last one."
    at = text.index("$12")

    assert around(text, at, at + 3) == "The price is $12 today."


def test_evidence_takes_the_first_candidate_that_stands_in_the_run() -> None:
    run = Run("r", "r", outputs={"output": "It costs $12."})

    (item,) = evidence(run, "It costs $13.", "It costs $12.")

    assert (item.quote, item.where) == ("It costs $12.", "outputs.output")
    assert evidence(run, "nowhere", "") == ()


_SCHEMA = {
    "type": "object",
    "properties": {
        "seats": {"type": "integer"},
        "class": {"enum": ["eco", "first"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "who": {"$ref": "#/$defs/Person"},
    },
    "required": ["seats"],
    "additionalProperties": False,
    "$defs": {"Person": {"type": "object", "required": ["name"]}},
}


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"seats": 2, "class": "eco", "note": None, "who": {"name": "Ann"}}, []),
        ({"seats": 2.0}, []),
        ({}, [("seats", "required")]),
        ({"seats": "2"}, [("seats", "type")]),
        ({"seats": True}, [("seats", "type")]),
        ({"seats": 2, "class": "gold"}, [("class", "enum")]),
        ({"seats": 2, "note": 3}, [("note", "type")]),
        ({"seats": 2, "who": {}}, [("who.name", "required")]),
        ({"seats": 2, "meal": "fish"}, [("meal", "unknown")]),
        ([], [("", "type")]),
    ],
)
def test_arguments_are_checked_against_a_schema(
    arguments: Json, wrong: list[tuple[str, str]]
) -> None:
    assert [(m.argument, m.rule) for m in misfits(arguments, _SCHEMA)] == wrong


def test_a_schema_that_refers_to_itself_ends() -> None:
    endless = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}

    assert list(misfits({"a": 1}, endless)) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Your parcel is on the way and you will have it by the end of the week.", "English"),
        ("Ihr Paket ist auf dem Weg und wird mit der Post zu Ihnen nach Hause kommen.", "German"),
        (
            "Votre colis est en route et il sera chez vous avec la poste dans une semaine.",
            "French",
        ),
        ("您的包裹正在路上。预计将于明天下午送达。请留意查收。", "Chinese"),
        ("荷物は配送中です。明日の午後にはお届けできる予定です。", "Japanese"),
        ("OK", None),
        ("Pro 12, Team 9, Free 0, Max 3, Mini 1, Plus 7, Edu 2, Solo 5", None),
    ],
)
def test_languages_are_told_by_script_and_function_words(text: str, name: str | None) -> None:
    assert language(text) == name


@pytest.mark.parametrize(
    "text",
    ["I could not find it.", "There's nothing.", "Leider nicht.", "Je n'ai pas trouvé.", "抱歉"],
)
def test_admissions_are_understood_in_several_languages(text: str) -> None:
    assert denies(text)


@pytest.mark.parametrize(
    ("text", "verbs"),
    [
        ("I have cancelled your order.", ["cancelled"]),
        ("I've just booked it and sent the ticket.", ["booked"]),
        ("Your refund has been issued.", ["issued"]),
        ("I can cancel it. Once I have cancelled it, you get a refund.", []),
        ("The order will be cancelled.", []),
        ("If the flight has been changed, tell me.", []),
    ],
)
def test_claims_are_told_from_offers_and_conditions(text: str, verbs: list[str]) -> None:
    assert [claim.verb for claim in claims(text)] == verbs


def test_tools_that_may_do_what_is_claimed() -> None:
    assert may_do("refunded", "return_delivered_order_items")
    assert may_do("updated", "cancel_order")
    assert not may_do("cancelled", "get_order_details")


@pytest.mark.parametrize(
    ("name", "changes"),
    [("cancel_order", True), ("cancelOrder", True), ("get_order", False), ("think", False)],
)
def test_changing_tools_are_told_by_name(name: str, changes: bool) -> None:
    assert is_change(name) is changes


@pytest.mark.parametrize(
    ("amount", "derived"),
    [("12", True), ("21", True), ("3", True), ("24", True), ("108", True), ("47.31", False)],
)
def test_sums_differences_and_multiples_are_no_invention(amount: str, derived: bool) -> None:
    assert is_derived(amount, {"12", "9"}) is derived
