"""A real `refinery serve`, a real Chromium, and a page that tells what went wrong in it.

    with serving(root) as served, chromium() as browser, opened(browser, served) as seen:
        seen.page.get_by_role("link", name="Traces").click()

At the end of `opened` the test fails for any console error, any violation of the content
security policy, any exception of a script and any request to another origin, unless it said
beforehand that it expects it (`seen.expect`).
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Whatever a page may try: no name but the loopback address leads anywhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WIDE = (1280, 900)
NARROW = (390, 844)
"""A common telephone, in CSS pixels."""
PATIENCE_MS = 30_000
"""Longest wait for an element; a machine shared with other suites is slow."""
WORK_MS = 300_000
"""Longest wait for the result of a job, which starts processes of its own."""

# Read before the tests' isolation hides REFINERY_* variables.
_SCREENSHOTS = os.environ.get("REFINERY_SCREENSHOTS", "")
_ADDRESS = re.compile(r"(https?://[^\s\"'/]+)/ui/\?token=([^\s\"'&]+)")
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP violation: ${event.effectiveDirective} ${event.blockedURI}`));
"""


@dataclass
class Served:
    """A `refinery serve` of its own process."""

    url: str
    """Origin, without a slash at the end."""
    token: str
    root: Path
    """Folder it was started in."""
    process: subprocess.Popen[bytes]
    log: Path
    """What it wrote to stderr."""

    def address(self, path: str = "/ui/") -> str:
        """A page's address that logs a new browser in."""
        page, _, fragment = path.partition("#")
        mark = "&" if "?" in page else "?"
        return f"{self.url}{page}{mark}token={self.token}" + (f"#{fragment}" if fragment else "")

    def headers(self) -> dict[str, str]:
        """What a program sends to be let in."""
        return {"authorization": f"Bearer {self.token}"}

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _end(self.process)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def serving(
    root: Path, *arguments: str, env: Mapping[str, str] | None = None, start_s: float = 60
) -> Iterator[Served]:
    """Start `refinery serve` in a folder, on a free port, and end it afterwards.

    Args:
        root: working directory: the agent's repository, or any folder.
        arguments: further options, e.g. `--store`.
        env: variables besides those of this process.
        start_s: longest wait until it takes requests.
    """
    out, log = root.parent / "serve.out", root.parent / "serve.log"
    command = [sys.executable, "-m", "refinery", "serve", "--port", "0", "--json", *arguments]
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=root, stdout=stdout, stderr=stderr, env={**os.environ, **(env or {})}
        )
    try:
        url, token = _ready(process, (out, log), start_s)
        yield Served(url, token, root, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        _end(process)


def _ready(
    process: subprocess.Popen[bytes], files: tuple[Path, Path], start_s: float
) -> tuple[str, str]:
    end = time.monotonic() + start_s
    while time.monotonic() < end:
        for file in files:
            found = _ADDRESS.search(file.read_text(errors="replace"))
            if found:
                return found[1], found[2]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    told = "\n".join(file.read_text(errors="replace")[-2000:] for file in files)
    raise RuntimeError(f"refinery serve told no address of its pages: {told}")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without one the test is skipped, in CI it fails."""
    path = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    if path is None:
        reason = f"no Chromium at {CHROMIUM} (apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """A page, and what went wrong in it."""

    page: Page
    served: Served
    problems: list[str] = field(default_factory=list)
    """Console errors, script exceptions, violations of the policy, foreign requests; in order."""
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """From now on a problem this regular expression is found in is none."""
        self.expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        """The problems nobody expected."""
        return [p for p in self.problems if not any(e.search(p) for e in self.expected)]

    def goto(self, path: str) -> None:
        """Go to a path of the same server, e.g. `/ui/#/traces`."""
        self.page.goto(self.served.url + path)

    def shoot(self, name: str, *, full: bool = True) -> None:
        """Keep a picture of the page as it is, when REFINERY_SCREENSHOTS names a folder."""
        if _SCREENSHOTS:
            folder = Path(_SCREENSHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=folder / f"{name}.png", full_page=full)


@contextmanager
def opened(
    browser: Browser,
    served: Served,
    path: str = "/ui/",
    *,
    size: tuple[int, int] = WIDE,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Seen]:
    """A page of a browser profile of its own, logged in by the address with the token.

    Raises:
        AssertionError: at the end, when something went wrong in the page.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        permissions=["clipboard-read", "clipboard-write"],
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(_TELL_VIOLATIONS)
    page = context.new_page()
    seen = Seen(page, served)
    _watch(seen)
    try:
        page.goto(served.address(path))
        yield seen
        assert not seen.unexpected(), "\n".join(seen.unexpected())
    finally:
        context.close()


def _watch(seen: Seen) -> None:
    context = seen.page.context

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            seen.problems.append(f"console: {message.text} ({_path(where)})")

    def on_request(request: Request) -> None:
        if not request.url.startswith((f"{seen.served.url}/", "data:", "about:")):
            seen.problems.append(f"foreign request: {request.url}")

    context.on("console", on_console)
    context.on("weberror", lambda error: seen.problems.append(f"exception: {error.error}"))
    context.on("request", on_request)


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def axe(page: Page, *, impacts: Sequence[str] = ("serious", "critical")) -> list[str]:
    """Accessibility faults axe-core finds in the page as it is: `rule: element: what is wrong`."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{rule['id']}: {' '.join(node['target'][0:1])}: {node.get('failureSummary', '')}"
        for rule in found["violations"]
        if rule.get("impact") in impacts
        for node in rule["nodes"]
    ]
