"""The viewing pages while things change: a first trace, a pipeline, deletions, a dead server."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from refinery.model.trace import RunStatus
from tests.kits.browser import Seen, Served, axe
from tests.kits.traces import run
from tests.ui import sights

pytestmark = pytest.mark.slow

PIPELINE = Path(__file__).parents[2] / "examples" / "xray_pipeline.py"
Opening = Callable[..., Seen]


def test_without_traces_the_page_says_how_to_record_and_the_first_one_appears_by_itself(
    tmp_path: Path, serve: Callable[..., Served], open_page: Opening
) -> None:
    root = tmp_path / "project"
    store = sights.store_at(root)
    seen = open_page(serve(root))
    expect(seen.page.get_by_role("heading", name=re.compile("No traces yet"))).to_be_visible()
    expect(seen.page.get_by_text("refinery.record()")).to_be_visible()
    seen.shoot("no-traces")
    assert axe(seen.page) == []

    started = sights.still_running()
    store.write_runs(started, source="sights")
    row = seen.page.get_by_role("row", name=re.compile("long research"))
    expect(row).to_contain_text("Running")

    row.get_by_role("link").click()
    expect(seen.page.get_by_role("treegrid")).to_contain_text("running")
    ended = {"end_ns": sights.START_NS + 2_000 * sights.MS, "status": RunStatus.OK}
    store.write_runs([replace(one, **ended) for one in started], source="sights")
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("OK")


def test_the_pipeline_of_the_examples_shows_what_it_judged_and_where_it_failed(
    tmp_path: Path, serve: Callable[..., Served], open_page: Opening
) -> None:
    root = tmp_path / "project"
    sights.store_at(root).close()
    subprocess.run([sys.executable, str(PIPELINE)], cwd=root, check=True, timeout=60)
    seen = open_page(serve(root))
    rows = seen.page.locator(".trace-row")
    expect(rows).to_have_count(3)

    rows.nth(2).get_by_role("link").click()
    step = seen.page.locator(".tree-row", has_text="filter and rank")
    expect(step).to_contain_text("judged")
    step.click()
    table = seen.page.get_by_role("region", name="Evaluations")
    expect(table).to_contain_text("of 3.8")
    expect(table).to_contain_text("against 12.00 to 48.00")
    seen.shoot("pipeline", full=False)

    seen.goto("/ui/?status=error")
    rows.first.get_by_role("link").click()
    seen.page.locator(".tree-row", has_text="search candidates").click()
    error = seen.page.get_by_role("region", name="Error")
    expect(error).to_contain_text("none of 0 products is a bottle or jug")


def test_a_deleted_trace_a_huge_payload_and_a_stopped_server_are_told(
    tmp_path: Path, serve: Callable[..., Served], open_page: Opening
) -> None:
    root = tmp_path / "project"
    store = sights.store_at(root)
    huge = {"rows": ["0123456789" * 1000] * 1000}
    store.write_runs([run("huge", "tool", outputs=huge)], source="sights")
    many = sights.filtering(3000)[-1]
    judged = replace(many, run_id="judged", trace_id="huge", parent_id="huge")
    store.write_runs([judged], source="sights")
    store.write_runs(sights.failed_lookup(), source="sights")
    served = serve(root)

    seen = open_page(served, "/ui/traces/huge/runs/huge")
    cut = seen.page.locator(".cut").first
    expect(cut).to_contain_text("10.0 MB, too large to be shown at once")
    with seen.page.expect_download() as waiting:
        cut.get_by_role("link", name="Download it").click()
    assert json.loads(waiting.value.path().read_text()) == huge
    cut.get_by_role("button", name="Read it here").click()
    expect(seen.page.get_by_role("button", name="rows:[1,000 items]")).to_be_visible()
    seen.goto("/ui/traces/huge/runs/judged")
    seen.page.get_by_role("button", name="Read it here").first.click()
    expect(seen.page.get_by_role("button", name="Show 100 of 2,900 more")).to_be_visible()

    seen.expect("404")
    seen.goto("/ui/traces/lookup")
    expect(seen.page.get_by_role("treegrid")).to_be_visible()
    store.delete_traces(["lookup"])
    seen.page.reload()
    expect(seen.page.get_by_role("alert")).to_contain_text("it may have been deleted")

    seen.goto("/ui/")
    expect(seen.page.get_by_role("link", name="huge")).to_be_visible()
    seen.expect("ERR_CONNECTION_REFUSED|Failed to fetch|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET")
    served.kill()
    expect(seen.page.get_by_text("The server does not answer.").first).to_be_visible()
    expect(seen.page.get_by_role("link", name="huge")).to_be_visible()
