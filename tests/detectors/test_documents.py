"""Which documents are about the same subject, and which one is older."""

import pytest

from refinery.detectors._shared.documents import (
    Document,
    date_key,
    documents,
    of_run,
    parse_date,
    same_subject,
)
from refinery.detectors._shared.samples import retriever, trace, uid
from refinery.model.trace import Json, Run, RunKind


def _document(text: str = "", **fields: Json) -> Document:
    return Document(Run("r", "r"), 0, 1, text, fields)


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("2024-02-01", "2024-02-01"),
        ("2024-02-01T10:30:00Z", "2024-02-01T10:30:00"),
        ("updated 2024-02", "2024-02"),
        ("2024", "2024"),
        (2024, "2024"),
        (True, None),
        (12, None),
        ("version 3", None),
        ("2024-13-01", None),
        ({"year": 2024}, None),
    ],
)
def test_dates_are_read_as_text_that_sorts(value: Json, date: str | None) -> None:
    assert parse_date(value) == date


def test_the_most_telling_date_both_have_decides() -> None:
    older = _document(created="2025-01-01", effective="2024-01-01")
    newer = _document(created="2024-06-01", effective="2024-07-01")

    assert date_key(older.dates(), newer.dates()) == ("effective", "2024-01-01", "2024-07-01")
    assert date_key(newer.dates(), older.dates()) is None


def test_an_end_of_validity_is_no_age() -> None:
    assert _document(valid_until="2024-01-01", expires_on="2025-01-01").dates() == {}


def test_a_date_in_the_text_counts_when_the_fields_have_none() -> None:
    older = _document("Prices, effective 2024-03-01. Pro is $12.")
    newer = _document("Prices, effective from 2025-03-01. Pro is $15.")

    assert date_key(older.dates(), newer.dates()) == ("", "2024-03-01", "2025-03-01")


def test_dates_of_different_precision_order_only_when_they_differ() -> None:
    assert date_key({"date": "2024"}, {"date": "2024-05-01"}) is None
    assert date_key({"date": "2023"}, {"date": "2024-05-01"}) is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (_document(title="Plan prices"), _document(title="plan  prices"), True),
        (_document(title="Prices 2023"), _document(title="Prices 2024"), True),
        (_document(title="Prices"), _document(title="Refunds"), False),
        (_document(source="a/prices-2023.md"), _document(source="b/prices_v2.txt"), True),
        (_document(source="prices.md"), _document(source="refunds.md"), False),
        (
            _document("Refunds take five working days after approval"),
            _document("Refunds take seven working days after approval"),
            True,
        ),
        (_document("Notes can be exported"), _document("The office opens early"), False),
    ],
)
def test_sameness_of_subject(one: Document, other: Document, same: bool) -> None:
    assert same_subject(one, other) is same


def test_chat_messages_and_bare_strings_are_no_documents() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"type": "human", "content": "Hi"}]

    assert of_run(Run("r", "r", outputs={"output": messages})) == []
    assert of_run(Run("r", "r", outputs={"output": ["a", "b"]})) == []


def test_steps_are_read_only_when_nothing_searched() -> None:
    found = {"context": [{"text": "a", "title": "A"}]}
    step = Run(uid("step"), "", "retrieve", RunKind.CHAIN, outputs=found)

    assert [d.text for d in documents(trace(step))] == ["a"]
    searched = trace(retriever("find", "q", ("b", {})), step)
    assert [d.text for d in documents(searched)] == ["b"]
