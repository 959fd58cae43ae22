"""A person who reads no code mends an answer in the browser, in plain words only."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.kits.browser import NARROW, WORK_MS, Seen, Served, axe
from tests.kits.repositories import git
from tests.samples import shop_agent
from tests.ui.shop import Shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("as_recorded")]

WORDS = f"It must say {shop_agent.RIGHT}"
MOST_PAGES = 20
FORBIDDEN = re.compile(r"\b(?:trace|commit|json|diff|patch|regex|span|token|repository)\b", re.I)


def present(page: Page) -> Locator:
    return page.locator("[data-step]")


def step(page: Page) -> str:
    return present(page).get_attribute("data-step") or ""


def answer(page: Page) -> None:
    """What an expert clicks or types on the present page."""
    if step(page) == "mark":
        page.get_by_role("button", name="This is wrong").last.click()
    elif step(page) == "right":
        page.get_by_label(re.compile("in your own words", re.I)).fill(WORDS)
        page.get_by_role("button", name="Send").click()
    else:
        page.locator(".guide-choice").first.click()


def test_an_expert_mends_an_answer_without_reading_code(
    shop: Shop, served_shop: Served, open_page: Callable[..., Seen]
) -> None:
    before = git(shop.root, "rev-list", "--count", "HEAD")
    seen = open_page(served_shop, f"/ui/guide?trace={shop.failing}", size=NARROW)
    page = seen.page
    page.get_by_role("button", name="Start with this conversation").click()
    steps, shown = [], []
    for _ in range(MOST_PAGES):
        expect(
            page.locator(".guide-choice, [data-guide=words], .guide-line button").first.or_(
                page.get_by_role("link", name="Mend another answer")
            )
        ).to_be_visible(timeout=WORK_MS)
        steps.append(step(page))
        shown.append(present(page).inner_text())
        if steps[-1] in ("done", "stuck", "stopped"):
            break
        if steps[-1] in ("mark", "proof"):
            assert axe(page) == []
            assert page.get_by_role("list", name=re.compile("^Part . of 5")).is_visible()
            seen.shoot(f"guide-{steps[-1]}")
        answer(page)
        expect(present(page)).not_to_have_attribute("data-step", steps[-1], timeout=WORK_MS)

    assert steps[-1] == "done", (steps, shown[-1])
    assert git(shop.root, "rev-list", "--count", "HEAD") != before
    assert "sorted(" in (shop.root / "app.py").read_text()
    said = "\n".join(shown).replace("Details for an engineer", "")
    assert not FORBIDDEN.findall(said)
    assert "refinery guide" not in said
    seen.shoot("guide-done")

    page.get_by_role("button", name="Take a fix out again").click()
    expect(present(page)).to_have_attribute("data-step", "undo_pick")


def test_a_session_goes_on_where_it_was_left(
    shop: Shop, served_shop: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served_shop, f"/ui/guide?trace={shop.failing}")
    page = seen.page
    page.get_by_role("button", name="Start with this conversation").click()
    expect(present(page)).to_have_attribute("data-step", "mark")
    answer(page)
    expect(present(page)).to_have_attribute("data-step", "wrong")
    answer(page)
    expect(present(page)).to_have_attribute("data-step", "right")
    page.reload()
    expect(present(page)).to_have_attribute("data-step", "right")
    page.get_by_role("button", name="One page back").click()
    expect(present(page)).to_have_attribute("data-step", "wrong")

    page.get_by_text("What does a word mean?").click()
    page.get_by_label("Word", exact=True).fill("fix")
    page.get_by_role("button", name="Explain").click()
    meaning = present(page).get_by_role("status")
    expect(meaning).to_contain_text("A small change to the agent")

    seen.expect("404")
    seen.goto("/ui/guide/none")
    expect(page.get_by_role("heading", name="These answers are not kept here")).to_be_visible()
    page.get_by_role("link", name="Begin anew").click()
    expect(page.get_by_role("heading", name="Go on where you stopped")).to_be_visible()
