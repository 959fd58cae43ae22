"""The kit sees what goes wrong in a page: else the tests of the pages could not fail."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.kits.browser import Served, axe, opened

pytestmark = pytest.mark.slow

POLICY = "default-src 'none'; script-src 'self'; img-src *; style-src 'self'"
FINE = "<!doctype html><html lang=en><title>Fine</title><main><h1>Fine</h1></main></html>"
PAGES = {
    "/fine": FINE,
    "/throws": FINE + "<script src=/throws.js></script>",
    "/throws.js": "throw new Error('thrown on purpose')",
    "/tells": FINE + "<script src=/tells.js></script>",
    "/tells.js": "console.error('told on purpose')",
    "/inline": FINE + "<script>document.title = 'ran'</script>",
    "/foreign": FINE + "<img alt='' src='http://example.com/x.png'>",
    "/faint": "<!doctype html><html><body><img src=/none.png><button></button></body></html>",
    "/none.png": "",
}


@pytest.fixture(scope="module")
def pages() -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = PAGES.get(path, "").encode()
            self.send_response(200)
            kind = "text/javascript" if path.endswith(".js") else "text/html"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-security-policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    nothing = subprocess.Popen([sys.executable, "-c", ""])
    nothing.wait()
    yield Served(f"http://127.0.0.1:{server.server_port}", "t", Path(), nothing, Path())
    server.shutdown()
    server.server_close()


def test_a_page_without_faults_has_no_problems(browser: Browser, pages: Served) -> None:
    with opened(browser, pages, "/fine") as seen:
        assert seen.page.title() == "Fine"
        assert axe(seen.page) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/throws", "thrown on purpose"),
        ("/tells", "told on purpose"),
        ("/inline", "CSP violation: script-src"),
        ("/foreign", "foreign request: http://example.com/x.png"),
    ],
)
def test_a_fault_of_a_page_fails_the_test(
    browser: Browser, pages: Served, path: str, told: str
) -> None:
    with pytest.raises(AssertionError, match=told), opened(browser, pages, path):
        pass


def test_a_fault_that_was_expected_is_none(browser: Browser, pages: Served) -> None:
    with opened(browser, pages, "/fine") as seen:
        seen.expect("told on purpose")
        seen.goto("/tells")
        assert len(seen.problems) == 1


def test_axe_finds_a_picture_and_a_button_without_a_name(browser: Browser, pages: Served) -> None:
    with opened(browser, pages, "/faint") as seen:
        found = "\n".join(axe(seen.page))

    assert "image-alt" in found
    assert "button-name" in found
