"""A collector with some traces in it, and short ways to ask it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from refinery.adapters._shared.langsmith_tree import project_id
from refinery.model.trace import Feedback
from refinery.ports import Store
from tests.kits.traces import START_NS, llm, run, sample, trace
from tests.server.serving import serving

UUIDS = [f"0199{n:04d}-0000-7000-8000-000000000000" for n in range(10)]
SHOP, NOTES = project_id("shop"), project_id("notes")


@dataclass(frozen=True, slots=True)
class Asked:
    """A running collector to ask."""

    url: str
    store: Store

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = requests.post(self.url + path, json=body, timeout=20)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = requests.get(self.url + path, params=parameters, timeout=20)
        assert answer.status_code == status, answer.text
        return answer.json()

    def names(self, body: dict[str, Any]) -> list[str]:
        """Names of all runs version 1 answers, over all pages."""
        found, cursor = [], None
        while True:
            page = self.post("/runs/query", body | ({"cursor": cursor} if cursor else {}))
            found += [item["name"] for item in page["runs"]]
            cursor = page["cursors"]["next"]
            if cursor is None:
                return found
            assert page["runs"]

    def items(self, body: dict[str, Any], path: str = "/api/v2/runs/query") -> list[Any]:
        """All items version 2 answers, over all pages."""
        found, cursor = [], None
        while True:
            page = self.post(path, body | ({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found
            assert page["items"]


@contextmanager
def reading(path: Path) -> Iterator[Asked]:
    """A collector that holds six traces of two projects and one of none; yields a way to ask."""
    with serving(path / "traces.db") as served:
        fill(served.store)
        yield Asked(served.url, served.store)


def fill(store: Store) -> None:
    """Write the sample traces, the later ones newer."""
    for number in range(4):
        one = sample(f"t{number}", failed="no lamp" if number == 1 else None, at_ms=number * 1000)
        store.write_runs(one.runs, project="shop", source="test")
    whole = trace(
        run(UUIDS[0], "agent", name="root", at_ms=9000, session_id="th", tags=["beta"]),
        llm(UUIDS[1], UUIDS[0], "hi", "ho", trace_id=UUIDS[0], name="ask", at_ms=9001),
        run(UUIDS[2], "step", UUIDS[0], trace_id=UUIDS[0], name="last", at_ms=9002),
    )
    store.write_runs(whole.runs, project="notes", source="test")
    alone = run(UUIDS[5], name="alone", at_ms=10_000, metadata={"env": "prod"}, session_id="th")
    store.write_runs([alone], source="test")
    store.write_feedback(
        [
            Feedback(UUIDS[7], UUIDS[0], "score", UUIDS[1], score=1.0, created_ns=START_NS),
            Feedback(UUIDS[8], UUIDS[0], "label", value={"outcome": "pass"}, created_ns=START_NS),
        ]
    )
