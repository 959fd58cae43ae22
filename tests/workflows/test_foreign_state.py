"""State that a repository brings along, or that somebody altered, is never taken for ours."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from refinery.codebase.repository import is_tracked
from refinery.errors import InputError, RefusedError
from refinery.workflows import repositories
from refinery.workflows.fix import Decision, fix, resume
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.spool import drain
from refinery.workflows.wiring import open_workspace, state_folder
from tests.kits.repositories import commit_all, git, make_repository, write_files
from tests.kits.traces import run, trace
from tests.workflows.shop import Shop


def test_a_folder_that_the_repository_tracks_is_refused(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "cloned", {"app.py": "", ".refinery/sessions.db": "x"})

    with pytest.raises(InputError, match="tracked by git"):
        open_workspace(root)

    assert is_tracked(root / ".refinery")
    assert not (root / ".refinery/traces.db").exists()


def test_a_linked_folder_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "cloned", {"app.py": ""})
    precious = tmp_path / "precious"
    write_files(precious, {"deep/train.jsonl": "{}\n"})
    (root / ".refinery").symlink_to(precious)

    with pytest.raises(InputError, match="is a link"):
        open_workspace(root)

    assert [p.name for p in precious.rglob("*")] == ["deep", "train.jsonl"]


def test_a_linked_spool_is_refused_and_not_drained(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "cloned", {"app.py": ""})
    precious = tmp_path / "precious"
    write_files(precious, {"deep/train.jsonl": "{}\n"})
    (root / ".refinery").mkdir()
    (root / ".refinery/spool").symlink_to(precious)

    with pytest.raises(InputError, match="is a link"):
        open_workspace(root)
    assert drain(root / ".refinery/spool", store=None) == 0  # type: ignore[arg-type]

    assert (precious / "deep/train.jsonl").exists()


def test_an_own_folder_is_used(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "mine", {"app.py": ""})
    folder = state_folder(root)

    assert state_folder(root) == folder == root / ".refinery"
    assert not is_tracked(folder)


def test_the_repository_a_trace_names_is_not_used_unasked(tmp_path: Path) -> None:
    named = make_repository(tmp_path / "named", {"app.py": ""})
    entry = {"kind": "callable", "target": "app:answer", "repository": str(named)}
    imported = trace(run("t", "chain", metadata={"refinery": {"entry_point": entry}}))

    with pytest.raises(InputError) as raised:
        repositories.choose(None, imported)

    assert str(named) in raised.value.hint
    assert repositories.choose(named, imported) == named


def alter(value: Any) -> Any:
    """The checkpointed state with a hostile line in every patch."""
    text = json.dumps(value).replace("ranked[:2]", "evil()")
    return json.loads(text)


@pytest.mark.slow
def test_an_altered_session_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[FixOutcome] = []

    def later(outcome: FixOutcome) -> Decision:
        seen.append(outcome)
        return Decision("later", "tester")

    fix(shop.workspace, shop.request(), later, print)
    session = seen[0].session_id
    yes = Decision("yes", "tester", covers_held=True)

    # The same session under the key of somebody else.
    with monkeypatch.context() as foreign:
        foreign.setenv("XDG_DATA_HOME", str(shop.root.parent / "other-user"))
        with pytest.raises(RefusedError, match="not begun by your Refinery"):
            resume(shop.workspace, session, lambda _: yes, print)

    _rewrite_checkpoints(shop.workspace.home / "sessions.db")
    with pytest.raises(RefusedError, match="altered"):
        resume(shop.workspace, session, lambda _: yes, print)

    assert git(shop.root, "rev-list", "--count", "HEAD").strip() == "1"


def _rewrite_checkpoints(path: Path) -> None:
    """Alter the patch inside every stored checkpoint, keeping its length."""
    with sqlite3.connect(path) as db:
        rows = db.execute("select rowid, checkpoint from checkpoints").fetchall()
        for rowid, blob in rows:
            changed = blob.replace(b"ranked[:2]", b"system(22)")
            db.execute("update checkpoints set checkpoint = ? where rowid = ?", (changed, rowid))
    db.close()


@pytest.mark.slow
def test_a_session_is_resumed_only_in_its_own_repository(shop: Shop, tmp_path: Path) -> None:
    later = Decision("later", "tester")
    outcome = fix(shop.workspace, shop.request(), lambda _: later, print)
    other = make_repository(tmp_path / "other", {"app.py": ""})
    commit_all(other, "more") if git(other, "status", "--porcelain") else None

    with pytest.raises(InputError, match="is about"):
        resume(shop.workspace, outcome.session_id, lambda _: later, print, repository=other)
