"""The guide at a real terminal, and from a script."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import guide_sessions
from benchmarks._expert import Cut, Expert, jargon_in
from refinery.workflows import check_book
from refinery.workflows.guide import engine, session
from refinery.workflows.wiring import open_workspace
from tests.cli.calling import call_program
from tests.kits.repositories import git, make_repository

AGENT = "stamp_prices"


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Path]:
    with guide_sessions.recorded(AGENT, tmp_path / "agent") as root:
        yield root


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "empty", {"a.py": "x = 1\n"})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_expert_mends_an_answer_though_cut_off_again_and_again_and_takes_the_fix_out(
    recorded: Path, tmp_path: Path
) -> None:
    expert = guide_sessions.expert(AGENT, recorded)
    before = git(recorded, "rev-parse", "HEAD^{tree}")

    cuts = (Cut("mark", "ctrl-c"), Cut("confirm", "terminal"), Cut("proof", "kill"))
    seen = [expert.sit(cut=cut) for cut in cuts]
    _a_busy_repository_is_said_and_asked_again(recorded)
    seen.append(expert.sit())

    assert seen[-1].exit_code == 0, seen[-1].transcript
    assert [one.asked[0] for one in seen] == ["pick"] + ["unfinished"] * 3
    assert "4 of 4 right, 0 of 4 before" in seen[-1].transcript
    assert "The Blue Heron stamp sells for 45 crowns." in seen[-1].transcript
    assert git(recorded, "rev-list", "--count", "HEAD").strip() == "2"
    (entry,) = check_book.entries(recorded / ".refinery")
    assert entry.change_id
    _a_crash_right_after_the_commit_is_harmless(recorded)
    _exported_tests_tell_the_commits_apart(recorded, tmp_path)

    undone = expert.sit("--undo", "heron")

    assert undone.exit_code == 0, undone.transcript
    assert git(recorded, "rev-parse", "HEAD^{tree}") == before
    transcript = "".join(one.transcript for one in (*seen, undone))
    assert jargon_in(transcript) == []


def _a_busy_repository_is_said_and_asked_again(root: Path) -> None:
    workspace = open_workspace(root)
    guide = engine.resume(workspace, session.sessions(workspace.home)[0], repository=root)
    lock = root / ".git" / "index.lock"
    lock.touch()

    guide.answer("approve")
    guide.work(lambda _: None)

    lock.unlink()
    assert guide.page().step == "proof"
    assert "could not be put into effect" in guide.remark
    assert git(root, "rev-list", "--count", "HEAD").strip() == "1"


def _a_crash_right_after_the_commit_is_harmless(root: Path) -> None:
    """A process that died between the commit and its note does not commit twice."""
    workspace = open_workspace(root)
    kept = session.sessions(workspace.home)[0]
    change_id, kept.change_id, kept.step, kept.is_over = kept.change_id, None, "keep", False
    guide = engine.resume(workspace, kept, repository=root)

    guide.work(lambda _: None)

    assert (guide.session.step, guide.session.change_id) == ("done", change_id)
    assert git(root, "rev-list", "--count", "HEAD").strip() == "2"


def _exported_tests_tell_the_commits_apart(root: Path, folder: Path) -> None:
    """The exported file passes on the commit of the fix and fails on the one before."""
    exported = call_program(
        "checks", "export", "--repo", str(root), "--pytest", str(folder / "t.py")
    )
    assert exported.code == 0, exported.stderr
    bare = {n: v for n, v in os.environ.items() if not n.startswith(("OPENAI_", "ANTHROPIC_"))}
    for commit, code in (("HEAD", 0), ("HEAD~1", 1)):
        clone = folder / f"clone-{code}"
        git(folder, "clone", "-q", str(root), str(clone))
        git(clone, "checkout", "-q", git(root, "rev-parse", commit).strip())
        (clone / "test_conversations.py").write_text((folder / "t.py").read_text("utf-8"), "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(clone)],
            cwd=clone, env=bare, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.slow
def test_help_and_details_are_no_answers(empty: Path) -> None:
    seen = Expert(empty, {"pick": "?|? proof|d|later"}).sit()

    assert seen.exit_code == 130
    assert "one page back" in seen.transcript
    assert "proof: The recorded conversations are played again" in seen.transcript
    assert "Your answers are kept" in seen.transcript


@pytest.mark.slow
def test_without_a_terminal_the_guide_asks_for_a_script(empty: Path) -> None:
    called = call_program("guide", "--repo", str(empty))

    assert called.code == 2
    assert "--script" in called.stderr
