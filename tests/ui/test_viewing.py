"""The viewing pages, as a person at the keyboard sees them: list, trace, step, compare, search."""

import re
from collections.abc import Callable, Iterator
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.kits.browser import NARROW, WIDE, Seen, Served, axe, serving
from tests.ui import sights

pytestmark = pytest.mark.slow

Opening = Callable[..., Seen]
STEPS = {
    "judged": "/ui/traces/xray/runs/xray%2Ffilter",
    "failed": "/ui/traces/lookup/runs/lookup%2Ffind",
    "answered": "/ui/traces/support-1/runs/support-1%2Fanswer",
    "retrieved": "/ui/traces/support-1/runs/support-1%2Ffind",
    "unknown": "/ui/traces/shape/runs/shape%2Fone",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server with every sight and a trace of 5,000 runs, for all tests that only look."""
    root = tmp_path_factory.mktemp("viewing") / "project"
    store = sights.store_at(root)
    sights.fill(store)
    store.write_runs(sights.many_runs(), source="sights", project="crawler")
    store.close()
    with serving(root) as found:
        yield found


def test_files_the_browser_has_are_not_sent_again_and_those_named_in_advance_exist(
    served: Served,
) -> None:
    with httpx.Client(base_url=served.url, headers=served.headers()) as client:
        first = client.get("/ui/static/app.js")
        again = client.get("/ui/static/app.js", headers={"if-none-match": first.headers["etag"]})
        named = re.findall(r'(?:href|src)="(/ui/static/[^"]+)"', client.get("/ui/").text)
        missing = [path for path in named if client.get(path).status_code != 200]

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert len(named) > 30
    assert missing == []


def test_the_list_tells_of_each_trace_and_marks_the_failed_one(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served)
    row = seen.page.get_by_role("row", name=re.compile("order question"))
    seen.shoot("list")

    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("640 ms")
    expect(row).to_contain_text("ben")
    expect(seen.page.get_by_role("row", name=re.compile("long research"))).to_contain_text(
        "Running"
    )
    support = seen.page.get_by_role("row", name=re.compile("return question")).first
    expect(support).to_contain_text("1.8k")
    expect(support).to_contain_text("$0.0053")


def test_filters_of_the_list_stand_in_the_address(served: Served, open_page: Opening) -> None:
    seen = open_page(served, "/ui/?status=error")
    rows = seen.page.locator(".trace-row")
    expect(rows).to_have_count(1)

    seen.page.get_by_role("button", name="Failed").click()
    expect(rows).to_have_count(7)
    seen.page.get_by_label("Words somewhere in the trace").fill("gift cards")
    expect(rows).to_have_count(2)

    assert seen.page.url.endswith("/ui/?q=gift+cards")
    seen.page.reload()
    expect(rows).to_have_count(2)


def test_from_the_list_to_a_step_and_back_by_keyboard_alone(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, "/ui/?project=support&user=ben")
    keys = seen.page.keyboard
    expect(seen.page.locator(".trace-row")).to_have_count(1)

    keys.press("j")
    keys.press("Enter")
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("order question")
    expect(seen.page.get_by_role("heading", level=1)).to_be_focused()
    expect(seen.page.get_by_role("treegrid")).to_be_visible()
    keys.press("e")
    keys.press("e")
    keys.press("o")
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("find_order")
    keys.press("u")
    expect(seen.page.get_by_role("treegrid")).to_be_visible()
    keys.press("?")
    expect(seen.page.get_by_role("dialog", name="Keyboard")).to_contain_text("Next failed run")
    keys.press("Escape")
    expect(seen.page.get_by_role("dialog", name="Keyboard")).to_be_hidden()


def test_the_first_tab_skips_to_the_content_and_every_control_can_be_reached(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served)
    expect(seen.page.locator(".trace-row").first).to_be_visible()
    reached = set()
    for number in range(40):
        seen.page.keyboard.press("Tab")
        told = seen.page.evaluate(
            "() => { const e = document.activeElement;"
            " return (e.ariaLabel || e.innerText || e.id || '').trim() }"
        )
        reached.add(told)
        if number == 0:
            assert told == "Skip to the content"

    assert {"Compare", "Search", "Performance", "Failed", "order question"} <= reached


def test_the_tree_is_walked_closed_and_opened_by_its_keys(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, "/ui/traces/lookup")
    tree = seen.page.get_by_role("treegrid")
    rows = tree.locator(".tree-row")
    expect(rows).to_have_count(3)

    tree.focus()
    tree.press("ArrowDown")
    tree.press("ArrowLeft")
    expect(rows).to_have_count(2)
    chosen = tree.locator(".tree-row[aria-selected=true]")
    expect(chosen).to_contain_text("plan")
    expect(chosen).to_have_attribute("aria-expanded", "false")
    assert tree.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    tree.press("ArrowRight")
    tree.press("ArrowRight")
    expect(chosen).to_contain_text("find_order")
    tree.press("Enter")
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("find_order")


def test_a_step_that_judged_items_shows_them_with_every_filter(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, STEPS["judged"])
    table = seen.page.get_by_role("table")
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(50)
    seen.shoot("evaluations")

    first = table.get_by_role("row", name=re.compile("P00"))
    expect(first).to_contain_text("No")
    expect(first).to_contain_text("10.00 of at most 40.00")
    expect(first).to_contain_text("3.0 of at least 3.8")
    expect(first).to_contain_text("fails rating")
    seen.page.get_by_role("button", name="Qualified 18", exact=True).click()
    expect(rows).to_have_count(18)
    seen.page.get_by_role("button", name=re.compile("^All")).click()
    seen.page.get_by_role("button", name=re.compile("price.*of 50 pass")).click()
    expect(rows).to_have_count(19)
    seen.page.get_by_role("button", name="P31").click()
    expect(seen.page.get_by_role("group", name="Item P31")).to_contain_text("Bottle 31")


def test_a_failed_step_shows_its_error_and_stack(served: Served, open_page: Opening) -> None:
    seen = open_page(served, STEPS["failed"])
    error = seen.page.get_by_role("region", name="Error")
    seen.shoot("failed-step")

    expect(error).to_contain_text("LookupError")
    expect(error).to_contain_text("no order 'A-1043' in the archive")
    expect(error).to_contain_text('File "support/orders.py", line 31, in find')


def test_an_unknown_shape_is_shown_as_json_that_opens_branch_by_branch(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, STEPS["unknown"])
    output = seen.page.get_by_role("group", name="Output")

    expect(output).to_contain_text("matrix")
    deep = output.get_by_role("button", name=re.compile("deep"))
    expect(deep).to_have_attribute("aria-expanded", "false")
    deep.click()
    long = output.get_by_role("button", name=re.compile(r"er.*150 items"))
    expect(long).to_have_attribute("aria-expanded", "false")
    assert output.locator(".json-string").count() == 0
    long.click()
    expect(output.locator(".json-string")).to_have_count(100)
    output.get_by_role("button", name="Show 50 of 50 more").click()
    expect(output.locator(".json-string")).to_have_count(150)


def test_a_model_call_shows_model_parameters_tokens_cost_and_conversation(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, STEPS["answered"])
    main = seen.page.get_by_role("main")
    expect(main.get_by_role("list", name="Answer")).to_contain_text("within 30 days")
    seen.shoot("model-call")

    for told in ("example-large-2026-05", "stop", "1.05 s", "250 ms", "901", "24 reasoning"):
        expect(main).to_contain_text(told)
    expect(main).to_contain_text("$0.0029 reported")
    expect(seen.page.get_by_role("group", name="Parameters")).to_contain_text("temperature 0.2")
    given = main.get_by_role("list", name="Given")
    assert given.locator(".message-role").all_inner_texts() == ["System", "User", "Model", "Tool"]
    expect(given).to_contain_text("calls order_of")
    expect(main.get_by_role("region", name="Reasoning")).to_contain_text("35 days is more than")
    main.get_by_role("tab", name="Raw").click()
    expect(main.get_by_role("group", name="The whole run")).to_contain_text("run_id")
    assert seen.page.url.endswith("?tab=raw")


def test_retrieved_documents_have_scores_dates_and_a_mark_on_the_newest(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, STEPS["retrieved"])
    documents = seen.page.locator(".document")
    expect(documents).to_have_count(3)

    expect(documents.nth(0)).to_contain_text("0.910")
    expect(documents.nth(0)).to_contain_text("2026-03-02")
    expect(documents.nth(0)).to_contain_text("newest")
    expect(documents.nth(1)).not_to_contain_text("newest")


def test_five_thousand_runs_are_scrolled_without_drawing_them_all(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, "/ui/traces/many")
    tree = seen.page.get_by_role("treegrid")
    rows = tree.locator(".tree-row")
    expect(rows.first).to_be_visible()
    seen.shoot("many-runs", full=False)

    assert rows.count() < 80
    assert tree.get_attribute("aria-rowcount") == "5001"
    tree.focus()
    tree.press("End")
    expect(tree.get_by_text("tool 4999")).to_be_visible()
    assert rows.count() < 160
    seen.page.keyboard.press("e")
    expect(tree.locator(".tree-row[aria-selected=true]")).to_contain_text("499")


def test_search_inside_a_trace_goes_from_hit_to_hit(served: Served, open_page: Opening) -> None:
    seen = open_page(served, "/ui/traces/support-1")
    field = seen.page.get_by_label("Search inside this trace")
    field.fill("gift cards")
    expect(seen.page.locator(".hits-count")).to_have_text("1 of 5")

    expect(seen.page.get_by_role("list", name="Hits")).to_contain_text("Gift cards cannot")
    field.press("Enter")
    chosen = seen.page.locator(".tree-row[aria-selected=true]")
    expect(chosen).to_contain_text("policy search")
    assert "run=support-1%2Ffind" in seen.page.url


def test_findings_of_a_diagnosis_mark_and_link_cause_and_symptom(
    served: Served, open_page: Opening
) -> None:
    with httpx.Client(base_url=served.url, headers=served.headers()) as client:
        order = {"kind": "diagnose", "trace_id": "lookup", "options": {}}
        job = client.post("/refinery/v1/jobs", json=order).json()["job_id"]
        stream = client.get(f"/refinery/v1/jobs/{job}/events", timeout=60)
    assert '"done"' in stream.text

    seen = open_page(served, "/ui/traces/lookup")
    findings = seen.page.get_by_role("region", name="Findings")
    rows = seen.page.get_by_role("treegrid").locator(".tree-row")
    expect(findings).to_contain_text("find_order failed")
    expect(rows.nth(0)).to_contain_text("symptom F1")
    expect(rows.nth(2)).to_contain_text("cause F1")
    expect(seen.page.locator(".thread")).to_have_count(1)
    seen.shoot("findings")
    findings.get_by_role("button", name="Cause: find_order").click()
    expect(rows.nth(2)).to_have_attribute("aria-selected", "true")
    assert axe(seen.page) == []


def test_a_copied_link_leads_to_the_run(served: Served, open_page: Opening) -> None:
    seen = open_page(served, "/ui/traces/support-1?run=support-1%2Forder")
    seen.page.get_by_role("button", name="Copy link").click()
    copied = seen.page.evaluate("navigator.clipboard.readText()")

    assert copied == f"{served.url}/ui/traces/support-1?run=support-1%2Forder"
    seen.page.goto(copied)
    expect(seen.page.locator(".tree-row[aria-selected=true]")).to_contain_text("order_of")


def test_two_traces_are_compared_side_by_side(served: Served, open_page: Opening) -> None:
    seen = open_page(served, "/ui/compare?left=support-1")
    seen.page.get_by_role("button", name=re.compile("return question")).click()
    first = seen.page.locator(".note", has_text="What changed first")
    expect(first).to_contain_text("policy search")
    seen.shoot("compare")

    expect(first.locator("del")).to_have_text("30")
    expect(first.locator("ins")).to_have_text("45")
    expect(seen.page.get_by_text("3 changed")).to_be_visible()
    rows = seen.page.get_by_role("region", name="Aligned runs").locator("tbody tr")
    expect(rows).to_have_count(3)
    seen.page.get_by_label("Also what is the same").check()
    expect(rows).to_have_count(5)


def test_search_finds_conversations_by_words_and_meaning(
    served: Served, open_page: Opening
) -> None:
    seen = open_page(served, "/ui/search")
    seen.page.get_by_label("Words").fill("archive A-1043")
    seen.page.get_by_label("Words").press("Enter")
    hits = seen.page.get_by_role("list", name="Conversations that fit").get_by_role("listitem")
    expect(hits.first).to_contain_text("find_order")

    expect(hits.first.locator("mark").first).to_be_visible()
    expect(seen.page.get_by_text("Searched by words and meaning (embedder hash")).to_be_visible()
    seen.page.get_by_label("How to search").select_option("text")
    seen.page.get_by_role("button", name="Search", exact=True).click()
    expect(seen.page.get_by_text("Searched by words.")).to_be_visible()
    hits.first.get_by_role("link", name="find_order").click()
    expect(seen.page.get_by_role("region", name="Error")).to_be_visible()


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_window(
    served: Served, open_page: Opening, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    pages = {
        "list": "/ui/",
        "trace": "/ui/traces/support-1",
        "compare": "/ui/compare?left=support-1&right=support-2&rows=all",
        "search": "/ui/search?q=lamp",
        "performance": "/ui/performance",
        **STEPS,
    }
    seen = open_page(served, "/ui/", size=size, scheme=scheme)
    faults = {}
    for name, path in pages.items():
        seen.goto(path)
        _settle(seen.page)
        seen.shoot(f"{name}-{size[0]}-{scheme}")
        faults[name] = axe(seen.page)
        if seen.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            faults[name].append("wider than the window")

    assert {name: told for name, told in faults.items() if told} == {}


def _settle(page: Page) -> None:
    """Wait until nothing has been read for a moment."""
    # Not `wait_for_function`: it needs `eval`, which the policy of the pages forbids.
    page.evaluate(
        """async () => {
          for (let still = 0; still < 10; still += 1) {
            await new Promise((done) => setTimeout(done, 15));
            const busy = document.querySelector(".loading, [aria-busy=true], .boot");
            if (busy || !document.querySelector("h1")) still = -1;
          }
        }"""
    )
