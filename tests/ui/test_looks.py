"""What was wrong to the eye once: covered fields, cut controls, units and times that mislead."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from tests.kits.browser import NARROW, Seen, Served, serving
from tests.kits.traces import run
from tests.ui import sights

pytestmark = pytest.mark.slow

LONG = "a-very-long-name-that-nobody-would-choose-" * 4
CUT = """() => [...document.querySelectorAll("#app *")].filter((element) => {
  const box = element.getBoundingClientRect();
  if (box.width === 0 || box.right <= innerWidth + 1) return false;
  if (element.closest(".visually-hidden, caption, option")) return false;
  for (let above = element.parentElement; above; above = above.parentElement) {
    const style = getComputedStyle(above);
    const holds = above.getBoundingClientRect().right <= innerWidth + 1;
    if (style.overflowX !== "visible" && holds) return false;
  }
  return true;
}).map((element) => element.outerHTML.slice(0, 120))"""
"""Elements that reach beyond the window where nothing scrolls them into view."""
FIGURES = """async () => {
  const { compact, cost, percent, rounded } = await import("/ui/static/format.js");
  return [compact(222_700_000), compact(2300), cost(123456.789), percent(0.0004), percent(0.9996),
    percent(0), percent(1), rounded("30 min 00 s"), rounded("2 h 0 min"), rounded("2 h 10 min")];
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Traces with long names, one of which cost much; one project has a single trace."""
    root = tmp_path_factory.mktemp("looks") / "project"
    store = sights.store_at(root)
    sights.fill(store)
    costly = run("costly", "llm", name=LONG, user_id=LONG, cost_usd=Decimal("123456.789"))
    store.write_runs([replace(costly, model_requested="m")], source="looks", project=LONG)
    store.close()
    with serving(root) as found:
        yield found


def test_nothing_reaches_out_of_a_narrow_window(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served, size=NARROW)
    page = seen.page
    for path in (
        "/ui/?source=looks",
        "/ui/traces/costly",
        "/ui/search?q=lamp",
        "/ui/performance?group=model",
        "/ui/compare?left=support-1&right=costly",
        "/ui/guide",
    ):
        seen.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".loading, [aria-busy=true]")).to_have_count(0)
        assert page.evaluate(CUT) == [], path
        changes = page.get_by_role("navigation", name="Pages").get_by_role("link").last
        expect(changes).to_be_in_viewport(ratio=1)

    page.evaluate("document.querySelector('h1').style.width = '500px'")
    assert len(page.evaluate(CUT)) == 1


def test_the_words_searched_for_can_be_read(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    for size in ((1440, 900), NARROW):
        seen = open_page(served, "/ui/search?q=lamp", size=size)
        field = seen.page.get_by_label("Words", exact=True)
        expect(field).to_have_value("lamp")
        expect(seen.page.get_by_label("How to search")).to_be_visible()

        box = field.bounding_box()
        assert box is not None
        assert box["width"] > 250
        field.click()
        expect(field).to_be_focused()


def test_times_are_the_readers_and_their_zone_is_named(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    page = open_page(served).page
    zone = page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")

    expect(page.get_by_text(f"Times: {zone.replace('_', ' ')}")).to_be_visible()
    title = page.locator(".trace-start time").first.get_attribute("title") or ""
    assert "Z)" in title
    assert "UTC" in title or "GMT" in title


def test_figures_do_not_mislead(served: Served, open_page: Callable[..., Seen]) -> None:
    seen = open_page(served, f"/ui/performance?project={LONG}")
    page = seen.page

    expect(page.get_by_text("Of only 1 trace, p99 is the slowest one.")).to_be_visible()
    assert page.evaluate(FIGURES) == [
        *("222.7M", "2.3k", "$123,456.79", "< 0.1 %", "> 99 %"),
        *("0 %", "100 %", "30 min", "2 h", "2 h 10 min"),
    ]
    seen.goto("/ui/performance?project=none")
    expect(page.get_by_label("Project")).to_have_value("none")
    page.get_by_role("button", name="Any time, any project").click()
    expect(page.get_by_label("Project")).to_have_value("")
    expect(page.get_by_role("link", name="return question")).to_be_visible()


def test_the_menu_of_a_trace_closes_when_something_else_is_used(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    page = open_page(served, "/ui/traces/support-1").page
    more, item = page.get_by_text("More", exact=True), page.get_by_text("Label: pass")
    more.click()
    expect(item).to_be_visible()

    page.get_by_label("Search inside this trace").click()
    expect(item).to_be_hidden()
    more.click()
    page.keyboard.press("Escape")
    expect(item).to_be_hidden()
    assert page.evaluate("document.activeElement.innerText") == "More"


def test_documents_of_one_subject_are_told_apart(
    served: Served, open_page: Callable[..., Seen]
) -> None:
    page = open_page(served, "/ui/traces/support-1/runs/support-1%2Ffind").page

    heads = page.locator(".document-head")
    expect(heads.nth(0)).to_contain_text("returns-2026.md")
    expect(heads.nth(1)).to_contain_text("returns-2023.md")
