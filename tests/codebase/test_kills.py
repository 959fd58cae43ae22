"""Random SIGKILLs while a patch is applied: the repository is as before, or the change whole."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from benchmarks import kills
from refinery.codebase.commit import apply, recover, revert
from refinery.codebase.locks import wait_for_git
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.model.patch import FileChange
from tests.kits.repositories import git, make_repository, write_files
from tests.kits.timing import until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "20"))
"""More with `KILLS=1000 pytest -m slow tests/codebase/test_kills.py`."""
LINES = [f"line {number}\n" for number in range(40)]
OWN = {"other.txt": "my change\n", "untracked.txt": "mine\n", "staged.txt": "staged, then more\n"}


def version(number: int) -> str:
    return "".join([f"version {number}\n", *LINES])


def prepare(folder: Path) -> Path:
    files = {"agent.py": version(0), "sub/p.md": version(0), "other.txt": "x\n", "u.txt": "0\n"}
    make_repository(folder, files)
    write_files(folder, {"staged.txt": "staged\n"})
    git(folder, "add", "staged.txt")
    write_files(folder, OWN)
    # The user's own unsaved line in a file the patch touches.
    with (folder / "agent.py").open("a") as file:
        file.write("my own line\n")
    return folder


def start_apply(folder: Path, number: int, journal: Path) -> int:
    """Apply the next version in a process group of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        repository = Repository.open(folder)
        changes = [
            FileChange(path, repository.read(path), version(number).encode())
            for path in ("agent.py", "sub/p.md")
        ]
        apply(repository, build((), changes, repository.head_commit()), f"v{number}", journal)
    finally:
        os._exit(0)


def kill_at_random(child: int, journal: Path, chance: random.Random, usual_s: float) -> None:
    """Half of the kills fall anywhere, half just behind the journal entry."""
    until = time.monotonic() + chance.uniform(0, usual_s)
    if chance.random() < 0.5:
        limit = time.monotonic() + 5
        while not list(journal.glob("apply-*/entry.json")) and time.monotonic() < limit:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        until = time.monotonic() + chance.uniform(0, 0.05)
    time.sleep(max(0.0, until - time.monotonic()))
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def assert_before_or_whole(folder: Path, before: int, number: int) -> int:
    """Both files of one version, in the commit, the index and the work tree; which it is."""
    subject = git(folder, "show", "HEAD:agent.py").partition("\n")[0]
    now = int(subject.removeprefix("version "))
    assert now in (before, number)
    for path in ("agent.py", "sub/p.md"):
        assert git(folder, "show", f"HEAD:{path}") == version(now)
        assert git(folder, "show", f":{path}") == version(now)
    assert (folder / "agent.py").read_text() == version(now) + "my own line\n"
    assert (folder / "sub/p.md").read_text() == version(now)
    for name, text in OWN.items():
        assert (folder / name).read_text() == text
    assert git(folder, "show", ":staged.txt") == "staged\n"
    listed = sorted(path.name for path in folder.iterdir())
    assert listed == [
        ".git",
        "agent.py",
        "other.txt",
        "staged.txt",
        "sub",
        "u.txt",
        "untracked.txt",
    ]
    assert [path.name for path in (folder / "sub").iterdir()] == ["p.md"]
    return now


def user_commits(folder: Path, number: int) -> None:
    """What the user does next: add and commit one file of their own."""
    write_files(folder, {"u.txt": f"{number}\n"})
    git(folder, "add", "u.txt")
    git(folder, "commit", "-q", "-m", f"user {number}", "--", "u.txt")


def test_a_kill_leaves_the_repository_as_before_or_the_change_whole(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    chance = random.Random(20_240_917)
    started = time.monotonic()
    os.waitpid(start_apply(folder, 1, journal), 0)
    usual_s = time.monotonic() - started
    state = assert_before_or_whole(folder, 0, 1)
    assert state == 1
    seen = {"before": 0, "whole": 0, "mended": 0}

    for number in range(2, KILLS + 2):
        kill_at_random(start_apply(folder, number, journal), journal, chance, usual_s)

        said = recover(Repository.open(folder), journal)

        seen["mended"] += bool(said)
        new = assert_before_or_whole(folder, state, number)
        seen["whole" if new == number else "before"] += 1
        state = new
        assert not [path for path in (folder / ".git").rglob("*.lock")], said
        assert not list((folder / ".git").glob("refinery-*"))
        assert not list(journal.glob("apply-*"))
        user_commits(folder, number)
        if number % 10 == 0:
            git(folder, "fsck", "--full", "--strict")
    git(folder, "fsck", "--full", "--strict")
    assert seen["before"] and seen["whole"] and seen["mended"], seen


def test_git_that_outlives_its_starter_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    slow = tmp_path / "slow" / "git"
    slow.parent.mkdir()
    real = shutil.which("git")
    # Between fork and exec git has another name; a long such moment:
    wait = f"""exec /bin/sh -c 'sleep 0.7; exec "$0" "$@"' {real} "$@\""""
    begun = tmp_path / "begun"
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = update-ref ] && : > {begun} && {wait}\nexec {real} "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    child = start_apply(folder, 1, journal)
    until(begun.exists)  # the ref update has been started and sleeps
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    said = recover(Repository.open(folder), journal)

    assert "halfway" in said[-1]
    assert assert_before_or_whole(folder, 0, 1) == 1


def test_random_kills_over_every_kind_of_change_leave_one_of_the_two_states(
    tmp_path: Path,
) -> None:
    scene = kills.run(tmp_path, KILLS // 3, seed=7)

    assert scene.failures == []
    assert scene.counts["before"] + scene.counts["whole"] == KILLS // 3


def test_a_change_stopped_before_the_ref_moved_is_dropped(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    left = stop_at(folder, journal, "ref")

    said = recover(Repository.open(folder), journal)

    assert "stopped before it was made" in said[-1]
    assert assert_before_or_whole(folder, 0, 1) == 0
    assert not left.exists()


def test_a_change_stopped_after_the_ref_moved_is_finished(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    stop_at(folder, journal, "files")

    said = recover(Repository.open(folder), journal)

    assert "put agent.py in place" in said
    assert "halfway" in said[-1]
    assert assert_before_or_whole(folder, 0, 1) == 1
    assert recover(Repository.open(folder), journal) == []


def test_files_the_user_wrote_after_the_kill_are_left(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    stop_at(folder, journal, "files")
    write_files(folder, {"agent.py": "rewritten\n"})

    said = recover(Repository.open(folder), journal)

    assert "left agent.py as it is: it was changed since" in said
    assert (folder / "agent.py").read_text() == "rewritten\n"
    assert (folder / "sub/p.md").read_text() == version(1)


def test_only_locks_that_are_ours_are_removed(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    left = stop_at(folder, journal, "ref")
    ref_lock = folder / ".git/refs/heads/main.lock"
    ref_lock.write_text("f" * 40 + "\n")  # somebody else's commit
    (folder / ".git/HEAD.lock").touch()  # empty and of the right moment: ours
    (folder / ".git/index.lock").write_text("DIRC")  # no link of our copy

    said = recover(Repository.open(folder), journal)

    assert "removed our lock HEAD.lock" in said
    assert ref_lock.exists()
    assert (folder / ".git/index.lock").exists()
    assert sum("may belong to another" in one for one in said) == 2
    assert not left.exists()


def test_an_old_lock_is_never_ours(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    left = stop_at(folder, journal, "ref")
    lock = folder / ".git/HEAD.lock"
    lock.touch()
    long_before = (left / "entry.json").stat().st_mtime - 60
    os.utime(lock, (long_before, long_before))

    recover(Repository.open(folder), journal)

    assert lock.exists()


def test_the_next_change_mends_first(tmp_path: Path) -> None:
    folder, journal = prepare(tmp_path / "repo"), tmp_path / "journal"
    stop_at(folder, journal, "files")
    first = git(folder, "rev-parse", "HEAD").strip()

    revert(Repository.open(folder), first, "back", journal)

    assert assert_before_or_whole(folder, 0, 1) == 0


def stop_at(folder: Path, journal: Path, step: str) -> Path:
    """Kill an apply before the ref moves (`ref`) or before files follow (`files`).

    Watched from outside and tried again until the kill fell at that moment.
    """
    for _ in range(400):
        child = start_apply(folder, 1, journal)
        head = git(folder, "rev-parse", "HEAD")
        while not list(journal.glob("apply-*/entry.json")):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        ref = folder / ".git/refs/heads/main"
        while step == "files" and ref.read_text() == head:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        wait_for_git(Repository.open(folder).git)  # a git command outlives its starter
        left = list(journal.glob("apply-*/entry.json"))
        moved = ref.read_text() != head
        untouched = (folder / "agent.py").read_text().startswith("version 0")
        if left and moved == (step == "files") and untouched:
            return left[0].parent
        recover(Repository.open(folder), journal)
        if moved:
            git(folder, "update-ref", "refs/heads/main", head.strip())
            for path in ("agent.py", "sub/p.md"):
                git(folder, "reset", "-q", "--", path)
            write_files(folder, {"sub/p.md": version(0), "agent.py": version(0) + "my own line\n"})
    raise AssertionError(f"never stopped at {step}")
