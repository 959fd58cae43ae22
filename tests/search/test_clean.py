import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from refinery.errors import InputError, RefusedError
from refinery.model.codec import encode
from refinery.model.lesson import Lesson, LessonOutcome
from refinery.model.trace import Json
from refinery.model.verdict import Change
from refinery.safety.ledger import Ledger
from refinery.workflows import referring, search
from refinery.workflows.clean import clean
from refinery.workflows.guide import session as guides
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


@pytest.mark.parametrize(("decision", "is_kept"), [(None, True), ({"answer": "no"}, False)])
def test_a_fix_that_waits_for_an_approval_keeps_its_traces(
    workspace: Workspace, decision: Json, is_kept: bool
) -> None:
    state = {
        **{"session_id": "session-1", "repository": "/r", "trace_id": "kettle", "chosen": "h1"},
        **{"failing_ids": ["kettle"], "control_ids": ["lamp"], "decision": decision},
    }
    keep_session(workspace.home, state)

    kept = clean(workspace, NOW_NS, dry_run=True)

    assert {one.trace_id for one in kept.kept} == ({"kettle", "lamp"} if is_kept else set())
    if is_kept:
        assert kept.reasons["lamp"] == "session session-1, which waits for your approval"
        with pytest.raises(RefusedError, match="session-1"):
            referring.delete(workspace.store, workspace.home, "kettle")
    else:
        assert referring.delete(workspace.store, workspace.home, "kettle") == 1


def keep_session(home: Path, state: dict[str, Json]) -> None:
    """Keep the state of a session as the pipeline does, after its proof or its approval."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    from refinery.agents import pipeline

    with closing(sqlite3.connect(home / "sessions.db", check_same_thread=False)) as connection:
        graph = pipeline.outline(SqliteSaver(connection))
        stage = "prove" if state["decision"] is None else "approve"
        graph.update_state({"configurable": {"thread_id": "session-1"}}, state, as_node=stage)


def test_a_session_of_the_guide_keeps_its_traces_until_it_is_over(workspace: Workspace) -> None:
    session = guides.create(workspace.home)
    session.trace_id, session.joined = "kettle", ["lamp"]
    guides.save(workspace.home, session)

    kept = clean(workspace, NOW_NS, dry_run=True)

    assert {one.trace_id for one in kept.kept} == {"kettle", "lamp"}
    assert kept.reasons["lamp"] == f"session {session.session_id} of the guide, which is not over"
    session.is_over = True
    guides.save(workspace.home, session)
    assert clean(workspace, NOW_NS, dry_run=True).kept == ()


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


def test_a_time_to_come_is_refused_and_deletes_nothing(workspace: Workspace) -> None:
    before = there(workspace)

    with pytest.raises(InputError, match="yet to come"):
        clean(workspace, 2**62)

    assert there(workspace) == before
