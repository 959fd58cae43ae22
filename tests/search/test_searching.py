"""Questions: found by words and meaning, with reasons, and only inside the scope."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery import clock
from refinery.errors import InputError, NotFoundError, RefusedError
from refinery.workflows import search
from refinery.workflows.search import Query, Scope, Ways
from refinery.workflows.timezones import parse_zone
from refinery.workflows.wiring import Workspace, open_workspace
from tests.kits.traces import START_NS, run
from tests.search.kit import conversation, shop

MINUTE_NS = 60 * 10**9
WORDS_ONLY = Ways(by_meaning=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One filled store and index for all questions, which change nothing."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFINERY_HOME", str(home))
        shop(home / "traces.db").close()
        opened = open_workspace()
        opened.store.write_runs(
            conversation("zh", "我的退款为什么还没有到账", "明天到账", at_ms=-9)
        )
        opened.store.write_runs([run("nobody", "agent", inputs={"q": "kettle of nobody"})])
        search.search(opened, Query(text="kettle"))
        yield opened
        opened.store.close()


def found(result: search.Found) -> list[str]:
    return [hit.trace.trace_id for hit in result.hits]


def test_words_and_meaning_are_fused_and_say_why(workspace: Workspace) -> None:
    result = search.search(workspace, Query(text="kettle refund never came"))

    best = result.hits[0]
    assert best.trace.trace_id == "kettle"
    assert result.arms == ("text", "meaning")
    assert result.embedder == "hash-512"
    text, meaning = best.why
    assert (text.arm, text.rank) == ("text", 1)
    assert text.words == ("kettle", "refund", "never", "came")
    assert "kettle refund never came" in text.snippet
    assert text.run_id in ("kettle", "kettle/1")
    assert meaning.arm == "meaning"
    assert meaning.similarity is not None
    assert 0.3 < meaning.similarity <= 1
    assert best.asked == "The kettle refund never came"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(text="kettle", user="bob"), ["bob-kettle"]),
        (Query(text="20417", kind="tool"), ["broken"]),
        (Query(text="order", status="failed"), ["broken"]),
        (Query(text="kettle", session="s1", user="ada"), ["kettle"]),
        (Query(text="shade", project="shop"), ["lamp"]),
        (Query(text="shade", project="other"), []),
        (Query(text="kettle", since_ns=START_NS + 3 * MINUTE_NS), ["bob-kettle"]),
        (Query(text="shade", until_ns=START_NS), []),
        (Query(text="shade kettle", limit=1), ["lamp"]),
    ],
)
@pytest.mark.parametrize("ways", [Ways(), WORDS_ONLY], ids=["both", "words"])
def test_filters_are_combined(
    workspace: Workspace, query: Query, expected: list[str], ways: Ways
) -> None:
    assert found(search.search(workspace, query, ways=ways))[: len(expected) or None] == expected


def test_scripts_without_spaces_are_found_inside_words(workspace: Workspace) -> None:
    (hit,) = search.search(workspace, Query(text="退款")).hits

    assert hit.trace.trace_id == "zh"
    assert "退款" in hit.why[0].snippet


HOSTILE = [
    "'; DROP TABLE traces; --",
    '" OR 1=1 --',
    "kettle* NEAR(refund)",
    "NOT AND OR",
    "col:kettle",
    "%_?$1\\",
    "\x00kettle\x1b[2J",
    "\ud800\udfff",
    "(" * 500,
    "\u02bc‮ مرحبا 你好 🫖",
    "kettle " * 5_000,
    '"',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_question_is_data_whatever_it_says(workspace: Workspace, text: str) -> None:
    before = workspace.store.stats()["traces"]
    for query in (Query(text=text), Query(text="kettle", user=text, session=text, project=text)):
        result = search.search(workspace, query, ways=Ways(is_literal=True))
        assert all(hit.trace.user_id == query.user for hit in result.hits if query.user)

    assert workspace.store.stats()["traces"] == before


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(text=st.text(min_size=1, max_size=200))
def test_no_question_shows_another_users_conversation(workspace: Workspace, text: str) -> None:
    scope = Scope("ada")
    for query in (Query(text=f"{text} kettle refund"), Query(text="kettle", session=text)):
        result = search.search(workspace, query, scope, WORDS_ONLY)
        assert {hit.trace.user_id for hit in result.hits} <= {"ada"}


def test_a_scope_holds_in_every_question(workspace: Workspace) -> None:
    scope = Scope("ada")
    everything = Query(text="kettle refund lamp invoice order", limit=100)

    assert set(found(search.search(workspace, everything, scope))) == {"kettle", "lamp", "invoice"}
    near = search.similar(workspace, "a late kettle refund", Query(limit=100), scope)
    assert {hit.trace.user_id for hit in near.hits} == {"ada"}
    frame = search.timeframe(workspace, Query(limit=100), scope, with_cycles=True)
    assert {moment.trace.user_id for moment in frame.moments} == {"ada"}
    assert frame.total == 3
    assert [span.name for span in search.users(workspace, Query(), scope)] == ["ada"]
    assert {span.user for span in search.sessions(workspace, Query(), scope)} == {"ada"}


def test_a_scope_refuses_questions_about_others(workspace: Workspace) -> None:
    theirs, scope = Query(text="kettle", user="bob"), Scope("ada")
    for ask in (
        lambda: search.search(workspace, theirs, scope),
        lambda: search.similar(workspace, "kettle", theirs, scope),
        lambda: search.timeframe(workspace, theirs, scope),
        lambda: search.users(workspace, theirs, scope),
        lambda: search.sessions(workspace, theirs, scope),
    ):
        with pytest.raises(RefusedError):
            ask()


def test_anothers_trace_is_as_if_it_were_not_there(workspace: Workspace) -> None:
    for named in ("bob-kettle", "bob-k"):
        hidden = search.similar(workspace, named, Query(), Scope("ada"))
        absent = search.similar(workspace, named.replace("bob", "bod"), Query(), Scope("ada"))
        assert hidden.like is absent.like is None
        assert "bob-kettle" not in found(hidden)
        assert hidden.notes == absent.notes
    assert search.similar(workspace, "bob-kettle", Query(), Scope("bob")).like == "bob-kettle"


def test_similar_finds_the_like_and_leaves_the_trace_itself_out(workspace: Workspace) -> None:
    by_trace = search.similar(workspace, "bob-kettle", Query())
    by_text = search.similar(workspace, "my kettle refund is late", Query())

    assert by_trace.like == "bob-kettle"
    assert found(by_trace)[0] == "kettle"
    assert "bob-kettle" not in found(by_trace)
    assert found(by_text)[0] == "bob-kettle"
    assert by_text.hits[0].why[0].similarity is not None


def test_the_first_that_is_similar_is_number_1(workspace: Workspace) -> None:
    hit = search.similar(workspace, "bob-kettle", Query()).hits[0]

    assert [reason.rank for reason in hit.why] == [1]


@pytest.mark.parametrize(
    "named",
    [
        "01a200bc-34a6-7dd5-b5a0-43e33ae97478",
        "01A200BC-34a",
        "0c2a5a6e",
        "0af7651916cd43dd8448eb211c80319c",
    ],
)
def test_an_id_that_is_not_there_is_no_text(workspace: Workspace, named: str) -> None:
    for scope in (Scope(), Scope("ada")):
        with pytest.raises(NotFoundError, match="no trace"):
            search.similar(workspace, named, Query(), scope)
    for text in ("deadbeef and kettle", "deadbeef", "20417204"):
        assert search.similar(workspace, text, Query()).like is None


def test_halves_of_characters_are_no_reason_to_leave_the_index_out(workspace: Workspace) -> None:
    result = search.search(
        workspace, Query(text="\udcff kettle refund", user="ada", session="s1"), ways=None
    )
    nobody = search.search(workspace, Query(text="kettle", user="\udcff"))

    assert found(result)[0] == "kettle"
    assert result.arms == ("text", "meaning")
    assert [note for note in result.notes if "cannot be read" in note] == []
    assert (nobody.hits, nobody.arms) == ((), ("text", "meaning"))


def test_similar_compares_rarer_words_where_meaning_is_not_asked(workspace: Workspace) -> None:
    result = search.similar(workspace, "bob-kettle", Query(), ways=WORDS_ONLY)

    assert result.arms == ("text",)
    assert found(result)[0] == "kettle"


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_to_search_for_is_said(workspace: Workspace, text: str) -> None:
    with pytest.raises(InputError):
        search.search(workspace, Query(text=text))
    with pytest.raises(InputError):
        search.similar(workspace, text, Query())


def test_a_time_frame_is_exact_half_open_and_verbatim(workspace: Workspace) -> None:
    since, until = START_NS + MINUTE_NS, START_NS + 3 * MINUTE_NS

    frame = search.timeframe(workspace, Query(since_ns=since, until_ns=until, limit=100))
    wider = search.timeframe(workspace, Query(since_ns=since, until_ns=until + 1, limit=100))
    later = search.timeframe(workspace, Query(since_ns=since + 1, until_ns=until, limit=100))

    assert [m.trace.trace_id for m in frame.moments] == ["lamp", "invoice"]
    assert [m.trace.trace_id for m in wider.moments] == ["lamp", "invoice", "bob-kettle"]
    assert [m.trace.trace_id for m in later.moments] == ["invoice"]
    assert frame.moments[0].root == workspace.store.get_run("lamp").run  # type: ignore[union-attr]


def test_a_time_frame_shows_the_first_and_counts_all(workspace: Workspace) -> None:
    frame = search.timeframe(workspace, Query(user="ada", limit=2), with_cycles=True)

    assert [m.trace.trace_id for m in frame.moments] == ["kettle", "lamp"]
    assert [run.run_id for run in frame.moments[0].cycles] == ["kettle/1"]
    assert frame.total == 3


def test_a_frame_that_a_change_of_the_clocks_leaves_empty_says_where_it_lies(
    workspace: Workspace,
) -> None:
    zone = parse_zone("Europe/Zurich")
    since, until = (
        search.moment_ns(f"2026-03-29T{at}", zone) for at in ("02:30", "03:30")
    )  # the first does not exist: the clocks go from 2 to 3

    with pytest.raises(InputError) as caught:
        search.timeframe(workspace, Query(since_ns=since, until_ns=until))

    assert "from 2026-03-29T01:30:00 to 2026-03-29T01:30:00" in caught.value.hint


def test_now_is_a_time() -> None:
    assert search.moment_ns("1h") < search.moment_ns(" now ") <= clock.now_ns()


def test_users_and_sessions_are_counted(workspace: Workspace) -> None:
    users = {one.name: one for one in search.users(workspace, Query())}
    sessions = {(one.name, one.user): one for one in search.sessions(workspace, Query())}

    assert (users["ada"].interactions, len(users["ada"].parts), users["ada"].errors) == (3, 2, 0)
    assert (users["bob"].interactions, users["bob"].errors, users["bob"].tokens) == (2, 1, 30)
    assert None in users
    assert sessions["s1", "ada"].interactions == 2
    assert sessions["s1", "bob"].interactions == 1


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-09-15T10:00", None, "2025-09-15T10:00:00+00:00"),
        ("2025-09-15T10:00", "Europe/Zurich", "2025-09-15T08:00:00+00:00"),
        ("2025-09-15T10:00+05:30", "Europe/Zurich", "2025-09-15T04:30:00+00:00"),
        ("2025-09-15", None, "2025-09-15T00:00:00+00:00"),
    ],
)
def test_times_are_utc_unless_a_zone_is_said(text: str, zone: str | None, expected: str) -> None:
    moment = search.moment_ns(text, parse_zone(zone) if zone else None)

    assert moment == search.moment_ns(expected)
