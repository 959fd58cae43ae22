"""Fixtures of the tests of the pages: one browser for the folder, servers and pages for a test.

Playwright's synchronous interface keeps an event loop of its own running in this thread, so the
browser ends with the folder's tests: those of other folders may run loops themselves.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from playwright.sync_api import Browser

from tests.conftest import FOREIGN
from tests.kits.browser import Seen, Served, chromium, opened, serving
from tests.kits.repositories import commit_all, git, write_files
from tests.samples import shop_agent
from tests.ui.shop import Shop, recorded_shop


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, shared by the tests of this folder."""
    with chromium() as found:
        yield found


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts `refinery serve`: `serve(root, "--store", url, env={…})`; ended with the test."""
    with ExitStack() as stack:
        yield lambda *args, **more: stack.enter_context(serving(*args, **more))


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Seen]]:
    """Opens a page: `open_page(served, "/ui/#/traces", size=NARROW, scheme="dark")`."""
    with ExitStack() as stack:
        opening = partial(opened, browser)
        yield lambda *args, **more: stack.enter_context(opening(*args, **more))


@pytest.fixture(scope="package")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What every test has by itself, for what the tests share: a home, no keys."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.setenv("LANGSMITH_TRACING", "false")
        yield


@pytest.fixture(scope="package")
def shop(own_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A recorded shop assistant, shared by the tests of this folder; they delete nothing of it."""
    with recorded_shop(tmp_path_factory.mktemp("shop")) as found:
        yield found


@pytest.fixture
def as_recorded(shop: Shop) -> None:
    """The shop's code as it was recorded, whatever an earlier test left."""
    write_files(shop.root, {"app.py": shop_agent.APP})
    if git(shop.root, "status", "--porcelain"):
        commit_all(shop.root, "as recorded")


@pytest.fixture(scope="package")
def served_shop(shop: Shop) -> Iterator[Served]:
    """`refinery serve` in the shop's repository, with its model."""
    with serving(shop.root, env=shop.env) as served:
        yield served
