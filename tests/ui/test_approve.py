"""From the diagnosis to the commit, back and forth again, by clicks in a real repository."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.kits.browser import NARROW, WIDE, WORK_MS, Seen, Served, axe
from tests.kits.repositories import git
from tests.samples import shop_agent
from tests.ui.shop import Shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("as_recorded")]

SORTED = "sorted("


def look_for_a_fix(page: Page) -> None:
    """Order a fix and wait until it asks for the approval."""
    page.get_by_role("button", name="Look for a fix").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("A fix waits for your approval", timeout=WORK_MS)


def app_of(shop: Shop) -> str:
    return (shop.root / "app.py").read_text()


def commits(shop: Shop) -> list[str]:
    return git(shop.root, "log", "--format=%s").splitlines()


def test_a_cause_is_shown_with_the_words_that_prove_it(
    shop: Shop, served_shop: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served_shop, f"/ui/diagnosis/{shop.failing}")
    page = seen.page
    page.get_by_role("button", name="Diagnose").click()

    finding = page.get_by_role("article").first
    expect(finding).to_contain_text("outdated document", timeout=WORK_MS)
    expect(finding).to_contain_text("likely")
    expect(finding.get_by_role("link", name="Notes")).to_be_visible()
    expect(finding).to_contain_text(re.compile(r"app\.py:\d+.\d+"))
    expect(finding).to_contain_text("def _get_relevant_documents")
    expect(page.get_by_role("region", name="Not established")).to_contain_text("token limits")
    finding.get_by_role("button", name="Show the place").first.click()
    expect(finding.locator("mark")).to_have_text(
        "The shop opens at 10 in the morning on every day."
    )
    assert axe(page) == []
    seen.shoot("diagnosis")

    finding.get_by_role("link", name="Open the step").first.click()
    quoted = page.get_by_role("region", name="The quoted words")
    expect(quoted.locator("mark")).to_have_text(
        "The shop opens at 10 in the morning on every day."
    )
    expect(quoted).to_contain_text("marked below")
    assert axe(page) == []
    seen.shoot("diagnosis-step")


@pytest.mark.timeout(1200)  # two trials, perhaps on a busy machine
def test_a_fix_is_approved_committed_verified_rolled_back_and_done_again(
    shop: Shop, served_shop: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served_shop, f"/ui/fix?trace={shop.failing}")
    page = seen.page
    before = commits(shop)
    expect(page.get_by_text("Nothing is committed before you approve it.")).to_be_visible()
    look_for_a_fix(page)
    check_evidence(seen)
    assert commits(shop) == before

    page.get_by_role("button", name="Approve and commit").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("The fix is committed", timeout=WORK_MS)
    assert commits(shop)[1:] == before
    assert SORTED in app_of(shop).split("return")[1]
    assert axe(page) == []
    seen.shoot("fix-committed")

    page.get_by_role("link", name="Receipt, verification and rollback").click()
    receipt = page.get_by_role("region", name="Receipt")
    expect(receipt).to_contain_text("Approved by")
    expect(page.get_by_role("region", name="What the trial showed")).to_contain_text(
        "5 of 5 right"
    )
    roll_back(seen, shop)
    assert app_of(shop) == shop_agent.APP
    assert len(commits(shop)) == len(before) + 2

    do_again(page)
    assert SORTED in app_of(shop)
    assert len(commits(shop)) == len(before) + 3

    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("The evidence holds")).to_be_visible(timeout=WORK_MS)
    seen.shoot("change-verified")
    seen.goto("/ui/history")
    expect(page.get_by_role("table", name="Changes, newest first")).to_contain_text("in force")
    assert axe(page) == []
    seen.shoot("changes")


def check_evidence(seen: Seen) -> None:
    """What an approval rests on is all there, on a narrow screen too."""
    page = seen.page
    expect(page.get_by_role("region", name="The change to your code").first).to_contain_text(
        SORTED
    )
    trial = page.get_by_role("region", name="What the trial showed")
    expect(trial).to_contain_text("Proven: it fixes the failure")
    expect(trial).to_contain_text(re.compile(r"with the patch, on what failed.*5 of 5 right"))
    expect(trial).to_contain_text(re.compile(r"\d+ % to 100 %"))
    expect(trial).to_contain_text("p = 0.00")
    expect(page.get_by_role("region", name="What the guard says")).to_be_visible()
    assert axe(page) == []
    seen.shoot("fix-waits")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
    seen.shoot("fix-waits-narrow")
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})


def roll_back(seen: Seen, shop: Shop) -> None:
    """Look at what would be written, then do it."""
    page = seen.page
    page.get_by_role("button", name="Roll back …").click()
    plan = page.locator("[data-plan=rollback]")
    expect(plan.locator(".patch-remove").first).to_contain_text(SORTED)
    assert SORTED in app_of(shop).split("return")[1]
    assert axe(page) == []
    seen.shoot("rollback-plan")
    plan.get_by_role("button", name="Roll back", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("later work of others stays")
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("button", name="Do it again …")).to_be_visible()


def do_again(page: Page) -> None:
    page.get_by_role("button", name="Do it again …").click()
    plan = page.locator("[data-plan=redo]")
    plan.get_by_role("button", name="Do it again", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Do it again").click()
    expect(page.get_by_role("button", name="Roll back …")).to_be_visible()


@pytest.mark.timeout(1200)  # two trials, perhaps on a busy machine
def test_an_edited_patch_the_guard_holds_is_committed_only_after_it_was_looked_at(
    shop: Shop, served_shop: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served_shop, f"/ui/fix?trace={shop.failing}")
    page = seen.page
    before = commits(shop)
    look_for_a_fix(page)
    proposed = edit(page, lambda diff: diff.replace("app.py", "none.py"))
    expect(page.get_by_role("alert").first).to_be_visible(timeout=WORK_MS)
    expect(page.get_by_role("button", name="Approve and commit")).to_be_enabled()
    seen.shoot("fix-edit-refused")

    edit(page, lambda diff: diff.replace("reverse=True", "reverse=bool(print() or True)"))
    changed = page.get_by_role("region", name="The change to your code").first
    expect(changed).to_contain_text("print()", timeout=WORK_MS)
    assert "print()" not in proposed
    decline_what_the_guard_holds(seen)
    page.reload()
    approve = page.get_by_role("button", name="Approve and commit")
    expect(approve).to_be_disabled()
    assert commits(shop) == before

    page.get_by_label("I have looked at it").check()
    approve.click()
    page.get_by_role("dialog").get_by_role("button", name="Commit it").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("The fix is committed", timeout=WORK_MS)
    assert commits(shop)[1:] == before
    assert "print()" in app_of(shop)
    considered = page.get_by_role("table", name="Changes considered")
    expect(considered).to_contain_text("the edited one took its place")
    expect(considered).to_contain_text("a person edited another patch")
    seen.shoot("fix-held-committed")


@pytest.mark.timeout(1200)  # a trial, perhaps on a busy machine
def test_a_patch_is_rejected_and_nothing_is_committed(
    shop: Shop, served_shop: Served, open_page: Callable[..., Seen]
) -> None:
    seen = open_page(served_shop, f"/ui/fix?trace={shop.failing}")
    page = seen.page
    before = commits(shop)
    look_for_a_fix(page)
    page.get_by_role("button", name="Reject …").click()
    page.get_by_label("Why not?").fill("The notes should be sorted where they are kept.")
    page.get_by_role("button", name="Reject the patch").click()

    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("The fix was not approved", timeout=WORK_MS)
    expect(page.get_by_text("sorted where they are kept")).to_be_visible()
    assert commits(shop) == before
    assert app_of(shop) == shop_agent.APP
    assert axe(page) == []
    seen.shoot("fix-rejected")


def decline_what_the_guard_holds(seen: Seen) -> None:
    """A held item has to be looked at, and then confirmed once more."""
    page = seen.page
    approve = page.get_by_role("button", name="Approve and commit")
    expect(page.get_by_role("region", name="Your decision")).to_contain_text("gains: uses print")
    expect(approve).to_be_disabled()
    page.get_by_label("I have looked at it").check()
    approve.click()
    dialog = page.get_by_role("dialog", name="Commit it in spite of these?")
    expect(dialog).to_contain_text("gains: uses print")
    assert axe(page) == []
    seen.shoot("fix-held")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()


def edit(page: Page, change: Callable[[str], str]) -> str:
    """Order an edited patch; the one it was made of."""
    page.get_by_role("button", name="Edit the patch …").click()
    box = page.get_by_label("The patch, as a unified diff")
    proposed = box.input_value()
    assert change(proposed) != proposed
    box.fill(change(proposed))
    page.get_by_role("button", name="Try the edited patch").click()
    return proposed
