"""Whether a fixed failure is seen to return, and how often chance is taken for a return."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from refinery import clock
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.intervals import wilson
from refinery.model.patch import FileChange
from refinery.model.trace import Label
from refinery.model.verdict import Change
from refinery.workflows import changes, check_book, traces, watch
from refinery.workflows.recurrence import TOLERATED, Plan, Standing
from refinery.workflows.recurrence import watch as judge
from refinery.workflows.wiring import Workspace, open_workspace
from tests.cli.calling import call
from tests.kits.repositories import commit_all, git, make_repository, write_files
from tests.kits.traces import START_NS, run, trace

PRICE = "What does the red lamp cost?"
STREAMS = 200
Came = Callable[..., str]


def share_flagged(rate: float, length: int, plan: Plan) -> tuple[int, tuple[float, float]]:
    source = random.Random(f"{rate}/{length}")
    flagged = sum(
        judge((source.random() < rate for _ in range(length)), plan).standing is Standing.RETURNED
        for _ in range(STREAMS)
    )
    interval = wilson(flagged, STREAMS)
    assert interval is not None
    return flagged, interval


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.3])
def test_a_false_fix_is_flagged_within_40_conversations_at_90_percent_power(rate: float) -> None:
    flagged, _ = share_flagged(rate, 40, Plan(before=rate))

    assert flagged >= 0.9 * STREAMS


@pytest.mark.parametrize("before", [0.3, 1.0])
def test_a_fix_that_just_holds_is_flagged_in_at_most_5_of_100_lives(before: float) -> None:
    flagged, (low, _) = share_flagged(TOLERATED, 100, Plan(before=before))

    assert low <= 0.05, flagged


def test_two_failures_in_a_row_are_a_return_and_one_is_not() -> None:
    assert judge([True]).standing is Standing.OPEN
    assert judge([True, True]).decided_after == 2


def test_a_return_after_a_long_good_time_is_seen_soon() -> None:
    found = judge([False] * 1_000 + [True] * 40)

    assert found.standing is Standing.RETURNED
    assert found.decided_after is not None
    assert found.decided_after <= 1_010


def test_good_conversations_close_the_question_and_keep_it_watched() -> None:
    found = judge([False] * 40)

    assert (found.standing, found.failed) == (Standing.HOLDS, 0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_repository(tmp_path / "shop", {"agent.py": "PRICE = 19\n"})
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return open_workspace(root)


@pytest.fixture
def came(workspace: Workspace, root: Path) -> Came:
    """Records a conversation, by default with the code that is checked out."""

    def came(name: str, answer: str, *, question: str = PRICE, commit: str = "") -> str:
        ran = commit or git(root, "rev-parse", "HEAD").strip()
        entry = {"kind": "callable", "target": "agent:answer", "commit": ran}
        at_ms = (clock.now_ns() - START_NS) // 1_000_000 + 1
        one = trace(
            run(name, "chain", name="shop", at_ms=at_ms, inputs={"question": question},
                outputs={"answer": answer}, metadata={"refinery": {"entry_point": entry}}),
        )  # fmt: skip
        workspace.store.write_runs(one.runs)
        return name

    return came


@pytest.fixture
def change(workspace: Workspace, root: Path, came: Came) -> Change:
    came("bad", "It costs 19 euros.")
    traces.label(workspace, "bad", Label("fail", "it costs 29", ("contains:29",)))
    repository = Repository.open(root)
    edit = FileChange("agent.py", b"PRICE = 19\n", b"PRICE = 29\n")
    patch = build((), (edit,), repository.head_commit())
    told = {"trace_id": "bad", "title": "New price", "body": "It was old."}
    return changes.commit_change(repository, patch, home=workspace.home, **told)


def look(workspace: Workspace, root: Path) -> watch.Report:
    (report,) = watch.look(workspace, Repository.open(root))
    return report


def test_conversations_that_stay_right_leave_a_change_alone(
    workspace: Workspace, root: Path, change: Change, came: Came
) -> None:
    for number in range(10):
        came(f"new-{number}", "It costs 29 euros.")

    report = look(workspace, root)

    assert (report.watched.standing, report.watched.failed, report.watched.seen) == (
        Standing.HOLDS, 0, 10
    )  # fmt: skip
    assert watch.reopened(workspace.home) == []


def test_a_failure_that_returns_reopens_its_change_and_offers_the_revert(
    workspace: Workspace, root: Path, change: Change, came: Came
) -> None:
    for number in range(3):
        came(f"new-{number}", "It costs 19 euros.")

    called = call("watch", "--json")

    assert called.code == 1, called.stderr
    (found,) = called.json["changes"]
    assert found["standing"] == "returned"
    assert found["failing"] == ["new-2", "new-1", "new-0"]
    assert found["revert"] == f"refinery rollback {change.change_id}"
    assert watch.reopened(workspace.home) == [change.change_id]


def test_a_reopened_change_stays_open_until_it_is_taken_back(
    workspace: Workspace, root: Path, change: Change, came: Came
) -> None:
    for number in range(3):
        came(f"new-{number}", "It costs 19 euros.")
    look(workspace, root)
    for number in range(30):
        came(f"later-{number}", "It costs 29 euros.")
    assert look(workspace, root).has_returned

    called = call("watch", "--revert", "--json")

    assert called.json["reverted"] == [change.change_id]
    assert (root / "agent.py").read_text() == "PRICE = 19\n"
    assert watch.reopened(workspace.home) == []
    assert call("watch").code == 5


def test_conversations_of_older_code_and_of_other_questions_say_nothing_of_a_change(
    workspace: Workspace, root: Path, change: Change, came: Came
) -> None:
    before = git(root, "rev-parse", "HEAD~1").strip()
    for number in range(5):
        came(f"old-{number}", "It costs 19 euros.", commit=before)
        came(f"other-{number}", "At nine.", question="When are you open?")

    report = look(workspace, root)

    assert (report.watched.seen, report.older) == (0, 5)
    assert report.watched.standing is Standing.OPEN


def test_what_holds_always_is_watched_in_every_conversation(
    workspace: Workspace, root: Path, change: Change, came: Came
) -> None:
    bad = workspace.store.get_trace("bad")
    assert bad is not None
    entry = check_book.new_entry(bad, "no old prices", ("not_contains:19 euros",), "always")
    check_book.write(workspace.home, entry)
    check_book.answered_by(workspace.home, "bad", change.change_id)
    write_files(root, {"note.txt": "later work\n"})
    commit_all(root, "later")
    for number in range(3):
        came(f"other-{number}", "That is 19 euros.", question=f"And lamp {number}?")

    assert look(workspace, root).has_returned


def test_nothing_to_watch_is_said(workspace: Workspace) -> None:
    called = call("watch")

    assert called.code == 5
    assert "No change is in force" in called.stdout
