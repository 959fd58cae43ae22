"""Replay and what if in the browser: results, keyboard alone, and everything that can go wrong."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from refinery.workflows.wiring import open_workspace
from tests.kits.browser import WORK_MS, Seen, Served, axe
from tests.kits.traces import sample
from tests.ui.shop import NEVER, NEWEST, Shop

pytestmark = pytest.mark.slow

SERVER_GONE = r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE"


@pytest.fixture
def seen(open_page: Callable[..., Seen], served_shop: Served, shop: Shop) -> Seen:
    """The what-if page of the failing recording."""
    return open_page(served_shop, f"/ui/whatif/{shop.failing}")


def fill(page: Page, **fields: str) -> None:
    for name, text in fields.items():
        page.locator(f"[name={name}]").fill(text)


def test_several_values_are_compared_in_a_table_and_each_side_by_side(
    seen: Seen, shop: Shop
) -> None:
    page = seen.page
    fill(page, models=f"scripted, {NEWEST}", temperatures="0, 1")
    expect(page.get_by_text("4 variations")).to_be_visible()

    page.get_by_role("button", name="Try it").click()

    result = page.locator("[data-result=what_if]")
    expect(result).to_contain_text("4 variations, each replayed once", timeout=WORK_MS)
    matrix = result.get_by_role("table", name="The recording and its variations")
    expect(matrix.get_by_role("row")).to_have_count(6)
    matrix.get_by_role("button", name=f"model {NEWEST}, temperature 1").click()
    expect(result).to_contain_text("The answer changed")
    expect(result.locator("ins").first).to_have_text("8")
    result.get_by_text("Steps, and how true").click()
    steps = result.get_by_role("table", name="Steps and how each was answered")
    expect(steps.get_by_role("row", name="retriever Notes")).to_contain_text("as recorded")
    expect(steps.get_by_role("row", name="llm")).to_contain_text("live")
    expect(result).to_contain_text("Each variation ran once")
    assert axe(page) == []
    seen.shoot("whatif-matrix")
    page.get_by_role("link", name="Compare step by step").click()
    expect(page).to_have_url(re.compile(f"/ui/compare.*{shop.failing}"))


def test_a_recording_replays_as_it_was(seen: Seen) -> None:
    seen.page.get_by_role("button", name="Replay as recorded").click()

    result = seen.page.locator("[data-result=replay]")
    expect(result).to_contain_text("ended as it did then, with the same result", timeout=WORK_MS)
    expect(seen.page.get_by_role("status").filter(has_text="Done: the result")).to_be_attached()
    assert axe(seen.page) == []
    seen.shoot("replay-same")


def test_what_cannot_be_tried_is_said_before_anything_runs(seen: Seen) -> None:
    page = seen.page

    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("alert")).to_have_text("Change at least one thing.")
    fill(page, temperatures="warm")
    page.get_by_role("button", name="Try it").click()

    expect(page.get_by_role("alert")).to_have_text(
        "A temperature is a number from 0 up, e.g. 0.7."
    )


def test_other_instructions_begin_with_the_recorded_ones(seen: Seen) -> None:
    page = seen.page
    page.get_by_role("button", name="Change the instructions").click()
    box = page.get_by_label("Instructions (system prompt)")
    expect(box).to_have_value(re.compile("^You help customers of the shop"))
    box.fill(box.input_value() + "\nThe most recent note counts.")

    page.get_by_role("button", name="Try it").click()

    result = page.locator("[data-result=what_if]")
    expect(result).to_contain_text("The answer changed", timeout=WORK_MS)
    expect(result.locator("ins").first).to_have_text("8")
    expect(box).to_have_value(re.compile(r"The most recent note counts\.$"))


def test_the_keyboard_alone_leads_from_the_list_to_a_result(
    open_page: Callable[..., Seen], served_shop: Served, shop: Shop
) -> None:
    page = open_page(served_shop).page
    expect(page.get_by_role("row").nth(2)).to_be_visible()

    tab_to(page, f"a[href*='{shop.failing}']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="What if?")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    tab_to(page, "a[href*='/whatif/']")
    page.keyboard.press("Enter")
    expect(page.locator("[name=models]")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    tab_to(page, "[name=models]")
    page.keyboard.type(NEWEST)
    page.keyboard.press("Enter")

    result = page.locator("[data-result=what_if]")
    expect(result).to_contain_text("The answer changed", timeout=WORK_MS)


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Press Tab until that element has the focus, which then shows."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(outline) != "none"
            return
    raise AssertionError(f"{most} times Tab did not lead to {selector}")


def test_a_cancelled_job_says_so_and_leaves_nothing_behind(
    seen: Seen, served_shop: Served
) -> None:
    page = seen.page
    fill(page, models=NEVER)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("log", name="Progress")).to_contain_text("replaying", timeout=WORK_MS)
    before = len(traces(served_shop))
    seen.shoot("job-running")

    page.get_by_role("button", name="Cancel").click()

    expect(page.locator("[data-job=cancelled]")).to_contain_text("nothing new was stored")
    expect(page.get_by_role("button", name="Try it")).to_be_enabled()
    assert len(traces(served_shop)) == before
    assert axe(page) == []
    seen.shoot("job-cancelled")


def test_a_failed_job_says_why_and_what_to_do(seen: Seen) -> None:
    page = seen.page
    fill(page, models="anthropic:claude-x")

    page.get_by_role("button", name="Try it").click()

    failure = page.get_by_role("alert").filter(has_text="cannot be asked")
    expect(failure).to_contain_text("Ask only this one model call again", timeout=WORK_MS)
    assert axe(page) == []
    seen.shoot("job-failed")


def test_a_trace_deleted_while_open_is_said_to_be_gone(
    seen: Seen, served_shop: Served, shop: Shop
) -> None:
    page = seen.page
    seen.expect("404")
    workspace = open_workspace(shop.root)
    workspace.store.write_runs(sample("gone").runs, source="test")
    workspace.store.close()
    seen.goto("/ui/whatif/gone")
    expect(page.get_by_role("button", name="Try it")).to_be_enabled()
    address = f"{served_shop.url}/refinery/v1/traces/gone"
    assert httpx.delete(address, headers=served_shop.headers()).status_code < 300

    page.get_by_role("button", name="Replay as recorded").click()
    expect(page.locator(".toast-failure")).to_contain_text("no trace")
    page.reload()

    expect(page.get_by_role("alert").filter(has_text="no trace")).to_be_visible()
    seen.shoot("trace-deleted")


@pytest.fixture
def own_server(shop: Shop, serve: Callable[..., Served]) -> Iterator[Served]:
    """A server of the test's own, to be stopped."""
    yield serve(shop.root, env=shop.env)


def test_a_server_stopped_in_the_middle_is_said_and_its_job_is_not_lost(
    shop: Shop, own_server: Served, serve: Callable[..., Served], open_page: Callable[..., Seen]
) -> None:
    seen = open_page(own_server, f"/ui/whatif/{shop.failing}")
    seen.expect(SERVER_GONE)
    page = seen.page
    fill(page, models=NEVER)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("log", name="Progress")).to_contain_text("replaying", timeout=WORK_MS)

    own_server.stop()

    expect(page.get_by_text("The server does not answer.").first).to_be_visible()
    expect(page.get_by_role("heading", name="What if")).to_be_visible()
    seen.shoot("server-stopped")


def traces(served: Served) -> list[object]:
    answer = httpx.get(f"{served.url}/refinery/v1/traces", headers=served.headers())
    return list(answer.json()["traces"])


def test_nothing_runs_of_hostile_text_in_a_result(
    seen: Seen,
) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page = seen.page
    page.on("dialog", lambda dialog: seen.problems.append(f"dialog: {dialog.message}"))
    page.get_by_text("Set recorded values, limits").click()
    page.get_by_role("button", name="Set a value").click()
    page.get_by_role("combobox", name="Step", exact=True).select_option(label="llm ChatOpenAI")
    page.get_by_label("Becomes").fill(evil)
    page.get_by_role("button", name="Try it").click()

    result = page.locator("[data-result=what_if]")
    expect(result).to_contain_text(evil, timeout=WORK_MS)
    assert page.locator("main img").count() == 0
