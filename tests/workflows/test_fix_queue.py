"""An item of the optimisation queue, from the audit that found it to a proven commit."""

from datetime import UTC, datetime

import pytest

from refinery.model.trace import Label
from refinery.workflows import traces
from refinery.workflows.record import record_inputs
from tests.cli.calling import call
from tests.kits.repositories import git
from tests.samples import shop_agent
from tests.workflows.shop import Shop

pytestmark = pytest.mark.slow


def test_a_fix_takes_the_most_urgent_item_of_the_queue(shop: Shop) -> None:
    begun = datetime.now(tz=UTC).isoformat()
    wrong = Label("fail", "the newest note counts", (f"contains@answer:{shop_agent.RIGHT}",))
    recorded = record_inputs(shop.workspace, [shop_agent.FAILING] * 5, shop.root)
    ids = [one.trace_id for one in recorded if one.trace_id]
    for trace_id in ids:
        traces.label(shop.workspace, trace_id, wrong)
    shop.workspace.store.close()
    head = git(shop.root, "rev-parse", "HEAD")

    limit = "llm max_duration_ms=0.01"
    audited = call("perf", "audit", "--since", begun, "--limit", limit, "--json")
    assert audited.code == 1, audited.err
    (item,) = call("perf", "queue", "--json").json["items"]
    assert (item["state"], item["name"]) == ("waiting", "ChatOpenAI")
    assert item["trace_id"] in ids

    fixed = call("fix", "queue:next", "--yes", "--json")

    assert fixed.code == 0, fixed.err
    assert fixed.json["change"]["trace_id"] == item["trace_id"]
    assert git(shop.root, "rev-parse", "HEAD^") == head
    (taken,) = call("perf", "queue", "--json").json["items"]
    assert (taken["item_id"], taken["state"]) == (item["item_id"], "taken")
    again = call("fix", "queue:next", "--yes", "--json")
    assert (again.code, git(shop.root, "rev-parse", "HEAD^")) == (5, head)
