import pytest

from refinery.errors import InputError, RefusedError
from refinery.model.trace import RunStatus, TraceSummary
from refinery.search.query import Query, Scope


@pytest.mark.parametrize(
    "query",
    [
        Query(status="good"),
        Query(kind="robot"),
        Query(limit=0),
        Query(since_ns=5, until_ns=5),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_a_hint(query: Query) -> None:
    with pytest.raises(InputError) as caught:
        query.checked()

    assert caught.value.hint


def test_an_endless_question_is_cut() -> None:
    assert len(Query(text="x" * 10**6).checked().text) == 20_000


def test_a_scope_puts_its_user_into_every_query() -> None:
    assert Scope("ada").limit(Query(text="x")).user == "ada"
    assert Scope("ada").limit(Query(user="ada")).user == "ada"
    assert Scope().limit(Query(user="bob")).user == "bob"


def test_a_scope_refuses_another_user() -> None:
    with pytest.raises(RefusedError):
        Scope("ada").limit(Query(user="bob"))


def test_the_scope_of_nobody_is_not_the_scope_of_everybody() -> None:
    unknown = TraceSummary("t", "t", RunStatus.OK, 1, 0, 1, 2, "test")

    assert not Scope("").covers(unknown)
    assert Scope().covers(unknown)
    assert Scope("").limit(Query()).user == ""
