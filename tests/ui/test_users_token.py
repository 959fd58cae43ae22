"""The pages as somebody sees them who may read their own traces only."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from refinery.server.grants import Grants
from refinery.stores.sqlite import open_store
from tests.kits.browser import Seen, Served
from tests.kits.traces import run

pytestmark = pytest.mark.slow


def test_the_pages_show_a_user_their_own_traces_and_no_page_that_is_closed(
    tmp_path: Path, serve: Callable[..., Served], open_page: Callable[..., Seen]
) -> None:
    state = tmp_path / "state"
    store = open_store(str(state / "traces.db"))
    store.write_runs([run("own", name="mine", user_id="ada", inputs={"question": "a lamp"})])
    store.write_runs([run("theirs", name="canary", user_id="bob", inputs={"question": "a lamp"})])
    store.close()
    served = serve(tmp_path, env={"REFINERY_HOME": str(state)})
    _, token = Grants(state).add("ada")

    seen = open_page(replace(served, token=token))
    navigation = seen.page.get_by_role("navigation", name="Pages")
    expect(seen.page.get_by_text("mine").first).to_be_visible()
    expect(navigation.get_by_role("link", name="Search")).to_be_visible()
    expect(navigation.get_by_role("link", name="Changes")).to_have_count(0)
    expect(navigation.get_by_role("link", name="Guide")).to_have_count(0)
    assert token not in seen.page.url
    assert "canary" not in seen.page.content()
    seen.goto("/ui/traces/own")
    expect(seen.page.get_by_role("link", name="Compare")).to_be_visible()
    expect(seen.page.get_by_role("link", name="Diagnose")).to_have_count(0)
    seen.page.get_by_label("More actions").click()
    expect(seen.page.get_by_text("Download the tree")).to_be_visible()
    expect(seen.page.get_by_text("Delete …")).to_have_count(0)
    seen.goto("/ui/search?q=lamp")
    expect(seen.page.get_by_text("mine").first).to_be_visible()
    assert "canary" not in seen.page.content()
    seen.expect("403")
    seen.goto("/ui/history")
    expect(seen.page.get_by_text("this token reads the traces of one user")).to_be_visible()

    whole = open_page(served)
    expect(whole.page.get_by_text("canary").first).to_be_visible()
    expect(whole.page.get_by_role("link", name="Changes")).to_be_visible()
