"""The full-text index of the SQLite store, which is filled after the runs."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.ports import RunFilter, TraceFilter
from refinery.stores._shared import texts
from refinery.stores.sqlite import SqliteStore
from tests.kits.run_contract import ids
from tests.kits.store_contract import opening
from tests.kits.traces import run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "traces.db") as opened:
        yield opened


def found(store: SqliteStore, text: str) -> set[str]:
    """Ids of the runs that a text is found in."""
    return set(ids(store, RunFilter(text=text)))


def test_runs_wait_for_the_index_until_somebody_asks(store: SqliteStore) -> None:
    store.write_runs([run(f"t{number}", inputs="amber") for number in range(5)])
    assert store.index(limit=0) == 5

    assert len(found(store, "amber")) == 5

    assert store.index(limit=0) == 0


def test_the_index_is_filled_in_slices(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "SLICE", 2)
    store.write_runs([run(f"t{number}", inputs="amber") for number in range(5)])

    assert [store.index(limit=2) for _ in range(3)] == [3, 1, 0]
    assert len(found(store, "amber")) == 5


def test_closing_fills_the_index(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "traces.db") as store:
        store.write_runs([run("t", inputs="amber")])

    with SqliteStore(tmp_path / "traces.db") as store:
        assert store.index(limit=0) == 0
        assert found(store, "amber") == {"t"}


def test_a_run_changed_after_indexing_is_found_by_its_new_words_only(store: SqliteStore) -> None:
    store.write_runs([run("t", inputs="amber"), run("u", inputs="amber")])
    store.index()

    store.write_runs([run("t", inputs="beryl", at_ms=1)])

    assert found(store, "amber") == {"u"}
    assert found(store, "beryl") == {"t"}


def test_a_run_changed_twice_before_it_is_indexed_again(store: SqliteStore) -> None:
    store.write_runs([opening(run("t", inputs="amber"))])
    store.index()
    store.write_runs([run("t", inputs="beryl")])
    store.write_runs([run("t", inputs="coral", at_ms=1)])

    assert found(store, "amber") == found(store, "beryl") == set()
    assert found(store, "coral") == {"t"}


@pytest.mark.parametrize("is_indexed", [True, False])
def test_numbers_of_deleted_runs_are_given_again_without_their_words(
    store: SqliteStore, is_indexed: bool
) -> None:
    store.write_runs([run("a", inputs="amber")])
    store.write_runs([run("b", inputs="beryl")])
    if is_indexed:
        store.index()
    store.delete_traces(["b"])

    store.write_runs([run("c", inputs="coral")])

    assert found(store, "beryl") == set()
    assert found(store, "coral") == {"c"}
    assert found(store, "amber") == {"a"}


def test_deleting_everything_empties_the_index(store: SqliteStore) -> None:
    store.write_runs([run("a", inputs="amber"), run("b", inputs="beryl")])
    store.index()
    store.delete_traces(["a", "b"])

    with store._reader.use() as connection:
        connection.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, texts, 'row')")
        assert connection.execute("SELECT term FROM words").fetchall() == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("see order-id 12-34", "order-id"),
        ("write to ann@example.org today", "ann@example.org"),
        ("Café Zürich", "cafe ZURICH"),
        ("Cafe\u0301", "café"),
        ("हिन्दी में", "हिन्दी"),
        ("日本語のテスト", "日本語のテスト"),
        ("snake_case_name", "snake_case_name"),
        ("a\x00hidden", "hidden"),
        ("٣٤٥ items", "٣٤٥"),
        ("Straße 😀 smile", "straße 😀"),
    ],
)
def test_words_of_a_question_are_split_as_words_of_a_text(
    store: SqliteStore, text: str, asked: str
) -> None:
    store.write_runs([run("t", inputs=text), run("u", inputs="other words")])

    assert found(store, asked) == {"t"}


def test_a_question_of_many_words_is_bounded(store: SqliteStore) -> None:
    store.write_runs([run("t", inputs=" ".join(f"word{n}" for n in range(300)))])

    assert found(store, " ".join(f"word{n}" for n in range(300))) == {"t"}
    assert found(store, "word1 " * 10_000) == {"t"}


WORDS = ("amber", "beryl", "coral", "diamond")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "delete", "index"]), st.integers(0, 5), st.sampled_from(WORDS)
    ),
    max_size=25,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_searches_find_what_is_there_after_any_history(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    expected: dict[str, str] = {}
    with SqliteStore(tmp_path_factory.mktemp("store") / "traces.db") as store:
        for at, (step, number, word) in enumerate(steps):
            name = f"t{number}"
            if step == "write":
                store.write_runs([run(name, inputs=word, at_ms=at)])
                expected[name] = word
            elif step == "delete":
                store.delete_traces([name])
                expected.pop(name, None)
            else:
                store.index()

        for word in WORDS:
            assert found(store, word) == {key for key, has in expected.items() if has == word}


def test_a_search_while_runs_are_written_misses_none_that_were_acknowledged(
    store: SqliteStore,
) -> None:
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        for number in range(300):
            store.write_runs([run(f"t{number}", inputs="amber")])
            written.append(f"t{number}")
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    missed: set[str] = set()
    while not stop.is_set():
        before = set(written)
        missed |= before - found(store, "amber")
    thread.join()

    assert missed == set()


def test_a_damaged_run_does_not_stop_searches_or_deletes(store: SqliteStore) -> None:
    store.write_runs([run("a", inputs="amber " * 50)])
    store.write_runs([run("b", inputs="amber " * 50)])
    store.index()
    store.write_runs([run("c", inputs="amber " * 50)])
    with store._writer.transaction() as connection:
        connection.execute("UPDATE payloads SET body = x'00' WHERE number IN (1, 3)")

    assert found_ids(store) == ["c", "b", "a"]
    assert store.delete_traces(["a", "c"]) == 2
    assert found(store, "amber") == {"b"}


def found_ids(store: SqliteStore) -> list[str]:
    """Traces as listed, which needs no payload."""
    store.index()
    return [summary.trace_id for summary in store.list_traces(TraceFilter())]


def test_a_trace_of_another_state_is_indexed_by_what_it_says_now(store: SqliteStore) -> None:
    first = run("t", inputs="amber")
    store.write_runs([first])
    store.index()
    store.write_runs([replace(first, outputs="beryl")])

    assert [s.trace_id for s in store.list_traces(TraceFilter(text="amber beryl"))] == ["t"]
