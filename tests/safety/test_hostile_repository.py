"""A repository full of programs: no verb of ours runs one of them, from change to proof."""

import subprocess
from pathlib import Path

import pytest

from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import NotFoundError, RefineryError
from refinery.model.patch import FileChange
from refinery.workflows import changes, verify
from refinery.workflows.wiring import open_workspace
from tests.cli.calling import call
from tests.codebase.test_git_runs_nothing import HOOKS, Trap
from tests.kits.repositories import git

pytestmark = pytest.mark.slow
AFTER = b"ONE\ntwo\nthree\n"


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


def test_change_history_rollback_redo_verify_and_export_run_no_program(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap.ran()
    monkeypatch.chdir(trap.folder)
    workspace = open_workspace(trap.folder)
    home = workspace.home
    repository = Repository.open(trap.folder)
    head = repository.head_commit()
    change = FileChange("a.py", repository.read("a.py"), AFTER)

    made = changes.commit_change(
        repository, build((), (change,), head), trace_id="t", title="fix", body="x", home=home
    )
    assert changes.history(home)[0].change_id == made.change_id
    changes.preview(repository, home, made)
    changes.rollback(repository, home, made.change_id)
    changes.redo(repository, home, made.change_id)
    with pytest.raises((NotFoundError, RefineryError)):
        verify.verify(workspace, repository, made.change_id)
    repository.export(repository.head_commit(), tmp_path / "out", repository.dirty_diff())
    changes.recover(repository, home)
    workspace.store.close()

    assert trap.ran() == []
    assert (trap.folder / "a.py").read_bytes() == AFTER
    assert (tmp_path / "out/a.py").read_bytes() == AFTER


@pytest.mark.parametrize(
    "words",
    [
        ("history",), ("rollback", "latest"), ("redo",), ("verify", "latest"), ("doctor",),
        ("traces",), ("config", "show"), ("diff", "latest", "latest"), ("bisect", "latest"),
        ("replay", "latest"), ("fix", "latest-failed"), ("init", "--json"), ("export",),
    ],
)  # fmt: skip
def test_no_command_in_such_a_repository_runs_a_program(
    trap: Trap, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    trap.ran()
    monkeypatch.chdir(trap.folder)

    called = call(*words)

    assert called.code != 70, called.stderr
    assert trap.ran() == []


def test_plain_git_does_run_them_over_the_same_verbs(trap: Trap) -> None:
    trap.ran()
    (trap.folder / "a.py").write_text("mine\n")

    for command in (
        ["status"], ["diff"], ["add", "-A"], ["commit", "--no-gpg-sign", "-m", "x"],
        ["log", "-p", "-1"], ["revert", "--no-edit", "HEAD"], ["checkout", "-b", "other"],
        ["archive", "HEAD"], ["fetch", "origin"],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=trap.folder, capture_output=True, check=False)

    ran = set(trap.ran())
    assert len(ran & {f"hook-{name}" for name in HOOKS}) >= 5
    assert {"clean", "fsmonitor", "diff-command"} <= ran


def test_nothing_of_the_trap_is_weaker_than_it_looks(trap: Trap) -> None:
    assert len(HOOKS) >= 10
    assert git(trap.folder, "config", "filter.evil.clean").strip().endswith("clean")
