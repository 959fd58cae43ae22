from collections.abc import Iterator
from pathlib import Path

import pytest

from refinery.errors import RefusedError
from refinery.model.codec import encode
from refinery.model.lesson import Lesson, LessonOutcome
from refinery.model.verdict import Change
from refinery.safety.ledger import Ledger
from refinery.workflows import search
from refinery.workflows.clean import clean
from refinery.workflows.learning import lessons_of
from refinery.workflows.wiring import Workspace, open_workspace
from tests.kits.traces import START_NS, run
from tests.search.kit import shop

NOW_NS = START_NS + 3 * 60 * 10**9
"""Three minutes later: kettle, lamp and invoice are older."""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("REFINERY_HOME", str(tmp_path / "home"))
    shop(tmp_path / "home" / "traces.db").close()
    opened = open_workspace()
    yield opened
    opened.store.close()


def there(workspace: Workspace) -> set[str]:
    from refinery.ports import TraceFilter

    return {one.trace_id for one in workspace.store.list_traces(TraceFilter())}


def change(workspace: Workspace, trace_id: str) -> None:
    made = Change("fix-1", "c0ffee", trace_id, "title", ("a.py",), "main", 1)
    Ledger(workspace.home / "ledger.jsonl").append("approved", {"change": encode(made)})


def test_a_dry_run_says_and_changes_nothing(workspace: Workspace) -> None:
    before = there(workspace)

    done = clean(workspace, NOW_NS, dry_run=True)

    assert {one.trace_id for one in done.deleted} == {"kettle", "lamp", "invoice"}
    assert there(workspace) == before


def test_what_a_change_or_a_lesson_refers_to_stays(workspace: Workspace) -> None:
    change(workspace, "kettle")
    lessons_of(workspace.home).learn(
        Lesson("L1", 1, "loop", "prompt", "prompt", "x", LessonOutcome.REJECTED, "lamp")
    )

    done = clean(workspace, NOW_NS)

    assert [one.trace_id for one in done.deleted] == ["invoice"]
    assert {one.trace_id for one in done.kept} == {"kettle", "lamp"}
    assert there(workspace) == {"kettle", "lamp", "bob-kettle", "broken"}


def test_an_altered_ledger_protects_everything(workspace: Workspace) -> None:
    change(workspace, "kettle")
    path = workspace.home / "ledger.jsonl"
    path.write_text(path.read_text().replace("kettle", "kittle"))

    with pytest.raises(RefusedError):
        clean(workspace, 2 * NOW_NS)

    assert len(there(workspace)) == 5


def test_age_is_counted_from_the_last_activity_and_needs_a_time(workspace: Workspace) -> None:
    workspace.store.write_runs(
        [run("long", "agent", at_ms=-100, took_ms=10**9), run("undated", "agent", at_ms=0)]
    )
    from dataclasses import replace

    undated = replace(run("timeless", "agent"), start_ns=None, end_ns=None)
    workspace.store.write_runs([undated])

    done = clean(workspace, NOW_NS)

    assert {"long", "timeless"} <= there(workspace)
    assert "undated" not in there(workspace)
    assert done.undated == 1


@pytest.mark.slow
def test_the_search_index_forgets_as_well(workspace: Workspace) -> None:
    assert search.search(workspace, search.Query(text="kettle refund lamp shade")).hits

    done = clean(workspace, NOW_NS)

    assert done.is_index_clean
    left = [path for path in (workspace.home / search.FOLDER).rglob("*") if path.is_file()]
    assert not [path for path in left if b"cracked shade" in path.read_bytes()]
    hits = search.search(workspace, search.Query(text="kettle refund")).hits
    assert hits[0].trace.trace_id == "bob-kettle"
    assert {hit.trace.trace_id for hit in hits} <= {"bob-kettle", "broken"}


def test_cleaning_again_changes_nothing(workspace: Workspace) -> None:
    clean(workspace, NOW_NS)

    assert clean(workspace, NOW_NS).deleted == ()
