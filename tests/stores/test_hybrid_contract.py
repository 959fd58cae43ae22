"""The hybrid store keeps the contract of all stores."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from refinery.ports import Store
from refinery.stores.hybrid import open_store
from tests.kits.store_contract import StoreContract


class TestHybridStore(StoreContract):
    """Runs the contract against LMDB folders in a temporary folder."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        numbers = count()
        stores: list[Store] = []

        def open_new() -> Store:
            url = f"hybrid://{tmp_path}/store{next(numbers)}?durability=process&auto_sync=off"
            stores.append(open_store(url))
            return stores[-1]

        yield open_new
        for store in stores:
            store.close()
