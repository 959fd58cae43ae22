"""The part `pages` of `benchmarks.ui`: how soon the pages show what one came for, in Chromium.

A page is useful when the first row of its list or tree is painted: the second animation frame
after the row is in the document. Cold is a browser profile of its own with an empty cache, warm
the same page loaded again. Scrolling goes through the whole tree, one screen a frame. CPU is the
time the page's main thread worked, by the thread's own clock: unlike the rest it says the same on
a machine that is busy otherwise.
"""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from tests.kits.browser import chromium

ROUNDS = 8
_WATCH = """
  new MutationObserver((_records, observer) => {
    if (!document.querySelector("SELECTOR")) return;
    observer.disconnect();
    const painted = () => { window.__useful = performance.now(); };
    requestAnimationFrame(() => requestAnimationFrame(painted));
  }).observe(document, { childList: true, subtree: true });
"""
_SCROLL = """async () => {
  const scroll = document.querySelector(".tree-scroll");
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const took = [];
  let before = await frame();
  for (let top = 0; top < scroll.scrollHeight; top += scroll.clientHeight) {
    scroll.scrollTop = top;
    const now = await frame();
    took.push(now - before);
    before = now;
  }
  const rows = document.querySelectorAll(".tree-row").length;
  return { took, rows, height: scroll.scrollHeight };
}"""
_KEYS = """async () => {
  const tree = document.querySelector("[role=treegrid]");
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const took = [];
  tree.focus();
  for (let press = 0; press < 60; press += 1) {
    const began = performance.now();
    tree.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    await frame();
    took.push(performance.now() - began);
  }
  return took;
}"""


def measure(url: str, token: str, large: str, rounds: int = ROUNDS) -> Iterator[str]:
    """Lines of figures: list and large trace, cold and warm; scrolling and keys in the tree.

    Args:
        url: origin of the server.
        token: what lets the browser in.
        large: id of the trace of many runs.
        rounds: loads of each page.
    """
    places = (("list", "/ui/", ".trace-row"), ("trace", f"/ui/traces/{large}", ".tree-row"))
    with chromium() as browser:
        for name, path, selector in places:
            loads = [_loads(browser, url, token, (path, selector)) for _ in range(rounds)]
            for how in ("cold", "warm"):
                useful = [one[how]["useful"] for one in loads]
                painted = [one[how]["painted"] for one in loads]
                worked = [one[how]["cpu"] for one in loads]
                kilobytes = loads[0][how]["bytes"] / 1000
                yield (
                    f"  {name:<6} {how}: first useful paint {_figures(useful)}; "
                    f"first paint {_figures(painted)}; CPU {_figures(worked)}; "
                    f"{kilobytes:.0f} kB over the wire"
                )
        yield from _tree(browser, url, token, f"/ui/traces/{large}")


def _entered(browser: Browser, url: str, token: str) -> BrowserContext:
    """A profile with the cookie and an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    # The answer to the token's address sets the cookie; no page is loaded by it.
    context.request.get(f"{url}/ui/?token={token}")
    return context


def _loads(browser: Browser, url: str, token: str, place: tuple[str, str]) -> dict[str, Any]:
    path, selector = place
    context = _entered(browser, url, token)
    page = context.new_page()
    page.add_init_script(_WATCH.replace("SELECTOR", selector))
    clock = _clock(context, page)
    figures = {how: _load(page, url + path, clock) for how in ("cold", "warm")}
    context.close()
    return figures


def _clock(context: BrowserContext, page: Page) -> Callable[[], float]:
    """Milliseconds the main thread of a page has worked so far."""
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def read() -> float:
        told = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration")) * 1000

    return read


def _load(page: Page, address: str, clock: Callable[[], float]) -> dict[str, float]:
    page.goto("about:blank")
    began = clock()
    page.goto(address)
    # Not `wait_for_function`: it needs `eval`, which the policy of the pages forbids.
    told: dict[str, float] = page.evaluate(
        """async () => {
          while (!window.__useful) await new Promise((done) => setTimeout(done, 20));
          return ({
          useful: window.__useful,
          painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
          bytes: performance.getEntries().reduce((sum, one) => sum + (one.transferSize ?? 0), 0),
          });
        }"""
    )
    return {**told, "cpu": clock() - began}


def _tree(browser: Browser, url: str, token: str, path: str) -> Iterator[str]:
    context = _entered(browser, url, token)
    page = context.new_page()
    page.goto(url + path)
    page.wait_for_selector(".tree-row")
    page.wait_for_timeout(1000)
    clock = _clock(context, page)
    marks = [clock()]
    scrolled = page.evaluate(_SCROLL)
    marks.append(clock())
    pressed = page.evaluate(_KEYS)
    marks.append(clock())
    frame = (marks[1] - marks[0]) / len(scrolled["took"])
    press = (marks[2] - marks[1]) / len(pressed)
    yield (
        f"  scrolling {scrolled['height']:.0f} px of rows, {scrolled['rows']} of them in the "
        f"document: a frame takes {_figures(scrolled['took'])}, {frame:.1f} ms of CPU"
    )
    yield f"  from a key to the next painted row: {_figures(pressed)}, {press:.1f} ms of CPU"
    context.close()


def _figures(ms: list[float]) -> str:
    return f"median {statistics.median(ms):.0f} ms (worst {max(ms):.0f})"
