"""The observability store: filling it, resuming, owning it, and what damage does to it."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from refinery.errors import InputError, RefineryError
from refinery.model.trace import Label
from refinery.search import filling, lance
from refinery.search.index import BROKEN, Index, OtherEmbedderError
from refinery.search.query import Query
from refinery.stores.sqlite import SqliteStore
from tests.kits.traces import START_NS, run
from tests.search.kit import Counting, Stopping, conversation, shop

TRACES = ["bob-kettle", "broken", "invoice", "kettle", "lamp"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with shop(tmp_path / "traces.db") as opened:
        yield opened


def nearest(index: Index, text: str, query: Query | None = None) -> list[str]:
    point = index.point(text)
    assert point is not None
    return [trace for trace, _ in index.nearest(point, query or Query(), 10)]


def held(index: Index) -> list[str]:
    """Every trace the tables and the register agree on."""
    tables = index._opened()
    return sorted(index._register.traces(tables.numbers()).values()) if tables else []


def test_filling_takes_every_conversation_once(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        first = index.fill(store)
        again = index.fill(store)

        assert first is not None
        assert (first.written, first.embedded, first.waiting) == (5, 5, 0)
        assert again == filling.Filling()
        assert held(index) == TRACES
        assert nearest(index, "kettle refund late")[:2] == ["bob-kettle", "kettle"]


def test_the_four_tables_hold_users_sessions_interactions_and_cycles(
    store: SqliteStore, tmp_path: Path
) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
        tables = index._opened()
        assert tables is not None
        users = {row["user_id"]: row["interactions"] for row in tables.people(lance.USERS)}
        sessions = [row["session_id"] for row in tables.people(lance.SESSIONS)]
        cycles = tables.people(lance.CYCLES)
        number = index._register.numbers(["kettle"])["kettle"]
        row = tables.rows([number], ["context", "asked", "user_id", "start_ns"])[number]

    assert users == {"ada": 3, "bob": 2}
    assert sorted(sessions) == ["invoice-session", "s1", "s1", "s3"]
    assert len(cycles) == 6
    assert "lookup timed out" in next(c["context"] for c in cycles if c["kind"] == "tool")
    assert '"The kettle refund never came"' in row["context"]
    assert row["user_id"] == "ada"


def test_only_what_changed_is_read_again_and_known_texts_are_not_embedded_again(
    store: SqliteStore, tmp_path: Path
) -> None:
    embedder = Counting()
    with Index(tmp_path / "index", embedder) as index:
        index.fill(store)
        embedder.embedded.clear()
        asked, answered = "My kettle refund is late", "It was booked on Friday"
        store.write_runs(conversation("twin", asked, answered, at_ms=9, user_id="eve"))
        store.write_runs([run("lamp/9", "tool", "lamp", name="ship", at_ms=60_009)])

        done = index.fill(store)

        assert done is not None
        assert (done.written, done.embedded) == (2, 0)
        assert embedder.embedded == []
        assert nearest(index, "kettle", Query(user="eve")) == ["twin"]
        with_tool = nearest(index, "lamp shade", Query(kind="tool"))
        assert with_tool[0] == "lamp"
        assert set(with_tool) <= {"lamp", "broken"}


def test_a_deleted_trace_leaves_the_index_and_the_disk(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
        store.delete_traces(["invoice"])
        assert index.forget(["invoice"], store)

        assert "invoice" not in held(index)
    left = [p for p in (tmp_path / "index").rglob("*") if p.is_file()]
    assert not [path for path in left if b"VAT number" in path.read_bytes()]
    assert not [path for path in left if b"invoice-session" in path.read_bytes()]


def test_a_trace_that_is_gone_is_never_found_before_the_next_filling(
    store: SqliteStore, tmp_path: Path
) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
        store.delete_traces(["invoice"])

        done = index.fill(store)

        assert done is not None
        assert done.removed == 1
        assert held(index) == [name for name in TRACES if name != "invoice"]


def test_a_filling_that_was_stopped_goes_on_where_it_was(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "BATCH", 2)
    with Index(tmp_path / "index", Stopping(2)) as index, pytest.raises(KeyboardInterrupt):
        index.fill(store)
    embedder = Counting()

    with Index(tmp_path / "index", embedder) as index:
        done = index.fill(store)

        assert done is not None
        assert (done.written, len(embedder.embedded)) == (3, 3)
        assert held(index) == TRACES


def test_rows_that_were_written_but_not_registered_go(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
        index._register.remove(["kettle"])
        assert len(index._opened().numbers()) == 5  # type: ignore[union-attr]

        done = index.fill(store)

        assert done is not None
        assert done.written == 1
        assert sorted(index._opened().numbers()) == [1, 2, 3, 4, 5]  # type: ignore[union-attr]
        assert held(index) == TRACES


def test_rows_that_were_lost_are_filled_again(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
        index._opened().remove([2, 3])  # type: ignore[union-attr]

        done = index.fill(store)

        assert done is not None
        assert done.written == 2
        assert held(index) == TRACES


def test_filling_may_be_bounded_in_time(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "BATCH", 2)
    told: list[tuple[int, int]] = []
    with Index(tmp_path / "index", Counting()) as index:
        part = index.fill(store, 0.0, lambda done, total: told.append((done, total)))
        rest = index.fill(store)

    assert part is not None
    assert rest is not None
    assert (part.written, part.waiting, rest.written) == (2, 3, 3)
    assert told == [(2, 5)]


def test_a_store_of_the_same_mark_is_not_looked_at_again(
    store: SqliteStore, tmp_path: Path
) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store, mark="one")
        store.delete_traces(["lamp"])

        same = index.fill(store, mark="one")
        other = index.fill(store, mark="two")

    assert same == filling.Filling()
    assert other is not None
    assert other.removed == 1


def test_one_process_owns_the_index_and_others_read(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting()) as owner:
        owner.fill(store)
        with Index(tmp_path / "index", Counting(), wait_s=0.0) as reader:
            assert reader.fill(store) is None
            assert not reader.forget(["kettle"], store)
            with pytest.raises(InputError):
                reader.rebuild(store)
            assert nearest(reader, "lamp shade")[0] == "lamp"
    with Index(tmp_path / "index", Counting()) as free:
        assert free.fill(store) is not None


def test_vectors_of_two_embedders_are_never_mixed(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting(64)) as index:
        index.fill(store)
    with Index(tmp_path / "index", Counting(32)) as other:
        assert other.state().is_other
        for ask in (
            lambda: other.fill(store),
            lambda: nearest(other, "kettle"),
            lambda: other.point_of("kettle"),
        ):
            with pytest.raises(OtherEmbedderError, match="hash-64"):
                ask()

        done = other.rebuild(store)

        assert (done.written, other.state().dimensions) == (5, 32)
        assert nearest(other, "lamp shade")[0] == "lamp"
    assert len(list((tmp_path / "index").glob("tables-*"))) == 1


class _Wrong(Counting):
    """Says it has 64 dimensions and gives others."""

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [[1.0, 0.0] for _ in texts]


class _NotANumber(Counting):
    """Gives vectors without a value."""

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        made = np.asarray(super().embed(texts))
        made[::2] = np.nan
        return [[float(value) for value in row] for row in made]


def test_an_embedder_that_breaks_its_word_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    with (
        Index(tmp_path / "index", _Wrong()) as index,
        pytest.raises(InputError, match=r"\(5, 2\)"),
    ):
        index.fill(store)


def test_vectors_without_a_value_are_near_nothing(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", _NotANumber()) as index:
        index.fill(store)
        assert index.point("kettle") is None
        points = [index.point_of(trace) for trace in TRACES]

    assert sum(point is None for point in points) == 3


@pytest.mark.parametrize("pattern", ["*.lance", "*.manifest"])
def test_damaged_tables_are_told_and_made_anew(
    store: SqliteStore, tmp_path: Path, pattern: str
) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
    for path in (tmp_path / "index").rglob(pattern):
        if path.is_file():
            path.write_bytes(b"\xff" * max(16, path.stat().st_size // 2))

    with Index(tmp_path / "index", Counting()) as index:
        with pytest.raises(BROKEN):
            index.fill(store)
            nearest(index, "kettle")
        index.rebuild(store)
        assert held(index) == TRACES


def test_a_damaged_register_is_set_aside(store: SqliteStore, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "register.db").write_bytes(b"no database at all" * 500)

    with Index(folder, Counting()) as index:
        index.fill(store)
        assert held(index) == TRACES
        assert "damaged" in index.notes[0]
    assert list(folder.glob("damaged-*.db"))


def test_a_register_of_a_newer_version_is_left_alone(store: SqliteStore, tmp_path: Path) -> None:
    with Index(tmp_path / "index", Counting()) as index:
        index._register.note({"schema_version": "99"})

    with pytest.raises(RefineryError, match="newer version"):
        Index(tmp_path / "index", Counting())


def test_filters_are_values_whatever_they_hold(store: SqliteStore, tmp_path: Path) -> None:
    evil = "o'); DELETE FROM interactions; -- \" % _ \\ \u202e é中 $1 ?"
    store.write_runs(conversation("evil", "lamp shade please", "no", at_ms=7, user_id=evil))
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)

        assert nearest(index, "lamp shade", Query(user=evil)) == ["evil"]
        assert nearest(index, "lamp shade", Query(user="x' OR '1'='1")) == []
        near = nearest(index, "lamp", Query(project="shop", status="ok", session="s1", user="ada"))
        assert near[0] == "lamp"
        assert set(near) <= {"lamp", "kettle"}
        assert index.containing("cracked", Query(), 9) == ["lamp"]
        assert index.containing("%", Query(), 9) == []
        assert len(held(index)) == 6


def test_a_label_makes_a_conversation_failed(store: SqliteStore, tmp_path: Path) -> None:
    from refinery.model.trace import Feedback

    said = Feedback("f1", "lamp", "label", value={"outcome": Label("fail").outcome})
    with Index(tmp_path / "index", Counting()) as index:
        index.fill(store)
        store.write_feedback([said])
        index.fill(store)

        assert nearest(index, "lamp shade", Query(status="failed"))[0] == "lamp"
        assert nearest(index, "where is the order", Query(status="error")) == ["broken"]


def test_a_large_index_reaches_its_recall_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from refinery.search import index as room

    monkeypatch.setattr(room, "INDEX_FROM", 400)
    monkeypatch.setattr(room, "EXACT_UP_TO", 100)
    words = ["kettle", "lamp", "invoice", "refund", "order", "shade", "parcel", "late", "blue"]
    chance = np.random.default_rng(3)
    with SqliteStore(tmp_path / "traces.db") as store:
        for number in range(600):
            said = " ".join(chance.choice(words, 5))
            store.write_runs(conversation(f"c{number:03}", f"{said} {number}", said, at_ms=number))
        with Index(tmp_path / "index", Counting()) as index:
            index.fill(store)
            state = index.state()
            point = index.point("kettle refund late")
            assert point is not None
            quick = index.nearest(point, Query(), 10)
            exact = index.nearest(point, Query(), 10, exact=True)
            few = index.nearest(point, Query(until_ns=START_NS + 50 * 10**6), 10)
            many = index.nearest(point, Query(until_ns=START_NS + 400 * 10**6), 10)

    assert state.recall is not None
    assert state.recall >= 0.95
    assert len(quick) == len(exact) == 10
    assert quick[0][1] == pytest.approx(exact[0][1], abs=1e-5)
    assert all(name < "c050" for name, _ in few)
    assert len(many) == 10
    assert all(name < "c400" for name, _ in many)


FILLER = """
import sys
from pathlib import Path
from refinery.embedders.hash import HashEmbedder
from refinery.search import filling
from refinery.search.index import Index
from refinery.stores.sqlite import SqliteStore
filling.BATCH = 5
with SqliteStore(Path(sys.argv[1])) as store, Index(Path(sys.argv[2]), HashEmbedder(64)) as index:
    print("ready", flush=True)
    index.fill(store, None, lambda done, total: print(done, flush=True))
"""


@pytest.mark.slow
def test_a_killed_filling_loses_and_doubles_nothing(tmp_path: Path) -> None:
    batches = 2
    with SqliteStore(tmp_path / "traces.db") as store:
        for number in range(40):
            store.write_runs(conversation(f"c{number:02}", f"question {number}", "answer"))
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(FILLER), str(tmp_path / "traces.db"),
             str(tmp_path / "index")],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        for _ in range(batches + 1):
            child.stdout.readline()
        child.kill()
        child.wait()
        child.stdout.close()

        with Index(tmp_path / "index", Counting()) as index:
            done = index.fill(store)
            assert done is not None
            assert done.written <= 40 - 5 * batches
            assert held(index) == [f"c{number:02}" for number in range(40)]
            numbers = index._opened().numbers()  # type: ignore[union-attr]
            assert len(numbers) == len(set(numbers)) == 40
