"""Fixtures of the tests of the pages: one browser for the folder, servers and pages for a test.

Playwright's synchronous interface keeps an event loop of its own running in this thread, so the
browser ends with the folder's tests: those of other folders may run loops themselves.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from playwright.sync_api import Browser

from tests.kits.browser import Seen, Served, chromium, opened, serving


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
