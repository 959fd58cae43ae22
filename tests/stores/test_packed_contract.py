"""Runs that another process has encoded are stored as if they had come as they are."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from refinery.ports import RunBatch, Store
from refinery.stores._shared.preparing import pack, prepare
from refinery.stores.sqlite import SqliteStore, open_store
from tests.kits.store_contract import EVERYTHING, StoreContract, opening
from tests.kits.traces import sample


class PackedStore(SqliteStore):
    """A store that gets every other batch encoded already."""

    turns = itertools.count()

    def write_batches(self, batches: Sequence[RunBatch]) -> int:
        given = [pack([one]) if next(self.turns) % 2 else one for one in batches]
        return self.write_packed(given)


class TestPackedContract(StoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        stores: list[PackedStore] = []

        def open_next() -> Store:
            stores.append(PackedStore(tmp_path / f"{len(stores)}.db"))
            return stores[-1]

        yield open_next
        for store in stores:
            store.close()

    @pytest.fixture
    def store(self, opened: Callable[[], Store]) -> Store:
        return opened()


@pytest.mark.parametrize("seed", range(20))
def test_views_of_one_transaction_join_packed_or_not(seed: int, tmp_path: Path) -> None:
    shuffled = random.Random(seed)
    views = [
        view for run in (*sample().runs, EVERYTHING) for view in (opening(run), run, opening(run))
    ]
    shuffled.shuffle(views)
    batches = [RunBatch([view], f"source {at}", None) for at, view in enumerate(views)]
    packed = [pack([one]) if shuffled.random() < 0.5 else one for one in batches]

    mixed, plain = prepare(packed), prepare(batches)

    assert mixed.rows == plain.rows
    assert list(mixed.rows) == list(plain.rows)
    assert mixed.about == plain.about
    with open_store(str(tmp_path / "traces.db")) as store:
        assert store.write_packed(packed) == 5  # type: ignore[attr-defined]  # an SqliteStore
        assert store.get_trace("full").runs == (EVERYTHING,)  # type: ignore[union-attr]


def test_a_packed_run_joins_one_that_is_stored(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "traces.db")) as store:
        store.write_batches([RunBatch([opening(run) for run in sample().runs])])

        assert store.write_packed([pack([RunBatch(sample().runs)])]) == 0  # type: ignore[attr-defined]
        assert store.get_trace("t").runs == sample().runs  # type: ignore[union-attr]


def test_ids_and_names_may_hold_anything_python_can() -> None:
    odd = RunBatch([opening(EVERYTHING)], "a \ud800", "\udfff\x00")

    assert prepare([pack([odd])]).rows == prepare([odd]).rows
    assert prepare([pack([odd])]).about == prepare([odd]).about
