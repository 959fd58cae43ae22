"""The SQLite store keeps the contract of all stores."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from refinery.ports import Store
from refinery.stores.sqlite import open_store
from tests.kits.store_contract import StoreContract


class TestSqliteStore(StoreContract):
    """Runs the contract against files in a temporary folder."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        numbers = count()
        stores: list[Store] = []

        def open_new() -> Store:
            stores.append(open_store(str(tmp_path / f"store{next(numbers)}.db")))
            return stores[-1]

        yield open_new
        for store in stores:
            store.close()
