from dataclasses import replace
from pathlib import Path

import pytest

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefineryError, RefusedError
from refinery.model.codec import encode
from refinery.model.patch import FileChange, Patch
from refinery.model.verdict import Change
from refinery.safety.ledger import Ledger
from refinery.workflows import changes
from tests.kits.repositories import commit_all, git, make_repository, write_files

BEFORE = "one\ntwo\nthree\nfour\nfive\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo", {"agent.py": BEFORE})


def home_of(folder: Path) -> Path:
    return folder / ".refinery"


def patch_of(repository: Repository, old: str, new: str) -> Patch:
    before = repository.read("agent.py") or b""
    change = FileChange("agent.py", before, before.replace(old.encode(), new.encode()))
    return build((), (change,), repository.head_commit())


def commit(folder: Path, old: str = "two", new: str = "TWO", **more: str) -> Change:
    repository = Repository.open(folder)
    text = {"trace_id": "trace-1", "title": "use two", "body": "Because of the trace.", **more}
    return changes.commit_change(
        repository, patch_of(repository, old, new), home=home_of(folder), **text
    )


def test_a_change_is_one_commit_with_trailers_and_one_line_of_history(folder: Path) -> None:
    change = commit(folder)

    message = git(folder, "log", "-1", "--format=%B")
    assert message.splitlines()[0] == "use two"
    trailers = git(folder, "log", "-1", "--format=%(trailers:only)").split("\n")
    assert f"Refinery-Change: {change.change_id}" in trailers
    assert "Refinery-Trace: trace-1" in trailers
    assert change.commit == git(folder, "rev-parse", "HEAD").strip()
    assert (change.branch, change.paths, change.state) == ("main", ("agent.py",), "applied")
    assert changes.history(home_of(folder)) == [change]
    assert git(folder, "status", "--porcelain") == ""


def test_a_title_from_a_trace_cannot_forge_a_trailer(folder: Path) -> None:
    commit(
        folder, title="fix\n\nRefinery-Change: fix-00000000\x1b[2J", body="x\n\nRefinery-Trace: y"
    )

    trailers = git(folder, "log", "-1", "--format=%(trailers:only)").strip().split("\n")
    assert len(trailers) == 2
    assert "\x1b" not in git(folder, "log", "-1", "--format=%B")


def test_a_rollback_restores_the_bytes_and_is_a_commit(folder: Path) -> None:
    change = commit(folder)

    done = changes.rollback(Repository.open(folder), home_of(folder))

    assert (folder / "agent.py").read_text() == BEFORE
    assert done == replace(
        change, state="rolled back", reverted_by=git(folder, "rev-parse", "HEAD").strip()
    )
    assert changes.history(home_of(folder)) == [done]
    trailers = git(folder, "log", "-1", "--format=%(trailers:only)")
    assert f"Refinery-Reverts: {change.change_id}" in trailers
    Ledger(home_of(folder) / "ledger.jsonl").verify()


def test_a_rollback_names_its_change_by_prefix_commit_or_latest(folder: Path) -> None:
    first = commit(folder)
    second = commit(folder, "four", "FOUR")
    home = home_of(folder)

    assert changes.find(home) == second
    assert changes.find(home, first.change_id[:10]) == first
    assert changes.find(home, first.commit) == first
    with pytest.raises(InputError, match="fits several"):
        changes.find(home, "fix-")
    with pytest.raises(NotFoundError, match="no change 'fix-zzz'"):
        changes.find(home, "fix-zzz")
    assert [one.change_id for one in changes.history(home)] == [second.change_id, first.change_id]


def test_an_older_change_is_taken_back_and_the_newer_stays(folder: Path) -> None:
    first = commit(folder)
    commit(folder, "five", "FIVE")

    changes.rollback(Repository.open(folder), home_of(folder), first.change_id)

    assert (folder / "agent.py").read_text() == BEFORE.replace("five", "FIVE")
    with pytest.raises(NotFoundError, match="rolled back already"):
        changes.rollback(Repository.open(folder), home_of(folder), first.change_id)


def test_a_rollback_against_later_work_is_refused_and_stays_applied(folder: Path) -> None:
    change = commit(folder)
    write_files(folder, {"agent.py": BEFORE.replace("two", "2")})
    commit_all(folder, "mine")

    with pytest.raises(RefusedError, match="same words"):
        changes.rollback(Repository.open(folder), home_of(folder))

    assert changes.history(home_of(folder)) == [change]
    assert (folder / "agent.py").read_text() == BEFORE.replace("two", "2")


def test_a_refused_change_is_not_in_the_history(folder: Path) -> None:
    write_files(folder, {"agent.py": BEFORE.replace("two", "mine")})

    with pytest.raises(RefusedError):
        commit(folder)

    assert changes.history(home_of(folder)) == []
    assert changes.recover(Repository.open(folder), home_of(folder)) == []


def test_a_change_of_another_branch_is_taken_back_there(folder: Path) -> None:
    change = commit(folder, branch="side")
    assert git(folder, "show", "side:agent.py") == BEFORE.replace("two", "TWO")

    changes.rollback(Repository.open(folder), home_of(folder))

    assert change.branch == "side"
    assert git(folder, "show", "side:agent.py") == BEFORE
    assert git(folder, "rev-list", "--count", "main").strip() == "1"


def cut_ledger(folder: Path, lines: int) -> None:
    """The ledger as a process leaves it that was killed before the last lines."""
    path = home_of(folder) / "ledger.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)[:-lines]
    path.write_bytes(b"".join(kept))


def test_a_commit_the_ledger_missed_is_found_by_its_trailer(folder: Path) -> None:
    change = commit(folder)
    cut_ledger(folder, 1)
    assert changes.history(home_of(folder)) == []

    said = changes.recover(Repository.open(folder), home_of(folder))

    assert "was committed as" in said[0]
    assert changes.history(home_of(folder)) == [change]
    assert changes.recover(Repository.open(folder), home_of(folder)) == []


def test_a_rollback_the_ledger_missed_is_found_by_its_trailer(folder: Path) -> None:
    commit(folder)
    done = changes.rollback(Repository.open(folder), home_of(folder))
    cut_ledger(folder, 1)

    said = changes.recover(Repository.open(folder), home_of(folder))

    assert "was rolled back by" in said[0]
    assert changes.history(home_of(folder)) == [done]


@pytest.mark.parametrize("kind", [changes.APPROVED, changes.ROLLING_BACK])
def test_what_was_begun_and_never_made_is_closed(folder: Path, kind: str) -> None:
    change = commit(folder)
    ledger = Ledger(home_of(folder) / "ledger.jsonl")
    begun = change if kind == changes.ROLLING_BACK else replace(change, change_id="fix-ffffffff")
    ledger.append(kind, {"change": encode(begun)})

    (said,) = changes.recover(Repository.open(folder), home_of(folder))

    assert "never committed" in said or "did not happen" in said
    assert changes.history(home_of(folder)) == [change]
    assert changes.recover(Repository.open(folder), home_of(folder)) == []


def test_a_damaged_ledger_stops_everything(folder: Path) -> None:
    commit(folder)
    path = home_of(folder) / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b"trace-1", b"trace-2"))

    for action in (changes.history, changes.find):
        with pytest.raises(RefineryError):
            action(home_of(folder))


def test_no_changes_is_said(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="no change to roll back"):
        changes.rollback(Repository.open(folder), home_of(folder))


def test_redo_makes_the_change_again_and_keeps_later_work(folder: Path) -> None:
    change = commit(folder)
    after = (folder / "agent.py").read_text()
    repository, home = Repository.open(folder), home_of(folder)
    changes.rollback(repository, home)
    (folder / "agent.py").write_text(BEFORE + "# mine\n")
    commit_all(folder, "mine")

    done = changes.redo(repository, home)

    assert (folder / "agent.py").read_text() == after + "# mine\n"
    assert (done.change_id, done.state, done.reverted_by) == (change.change_id, "applied", None)
    assert changes.history(home) == [done]
    trailers = git(folder, "log", "-1", "--format=%(trailers:only)")
    assert f"Refinery-Redoes: {change.change_id}" in trailers
    assert changes.rollback(repository, home).state == "rolled back"
    assert (folder / "agent.py").read_text() == BEFORE + "# mine\n"
    with pytest.raises(NotFoundError, match="is not rolled back"):
        changes.redo(repository, home, commit(folder, "four", "FOUR").change_id)


def test_a_redo_killed_before_the_ledger_knew_is_closed(folder: Path) -> None:
    commit(folder)
    repository, home = Repository.open(folder), home_of(folder)
    changes.rollback(repository, home)
    done = changes.redo(repository, home)
    lines = (home / "ledger.jsonl").read_text().splitlines(keepends=True)
    (home / "ledger.jsonl").write_text("".join(lines[:-1]))

    said = changes.recover(repository, home)

    assert "was done again" in said[0]
    assert changes.history(home) == [done]
