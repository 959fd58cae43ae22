import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from refinery.recorders import _origin
from refinery.recorders._origin import Entry, Origin, OriginReader, entry_point
from tests.kits.repositories import git, make_repository
from tests.kits.timing import soonest


def read_origin(folder: Path) -> Origin:
    return OriginReader(folder).get()


def test_a_clean_repository_has_a_commit_and_no_diff(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n"})

    origin = read_origin(root)

    assert origin.root == str(root.resolve())
    assert origin.folder == "."
    assert origin.commit == git(root, "rev-parse", "HEAD").strip()
    assert (origin.dirty, origin.dirty_diff) == (False, None)


def test_uncommitted_changes_of_tracked_files_are_a_diff_git_can_apply(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n", "b.py": "y = 1\n"})
    (root / "a.py").write_text("x = 2\n")
    (root / "untracked.py").write_text("z = 1\n")

    origin = read_origin(root)

    assert origin.dirty is True
    assert origin.dirty_diff and "+x = 2" in origin.dirty_diff
    assert "untracked" not in origin.dirty_diff
    (tmp_path / "diff").write_text(origin.dirty_diff)
    git(root, "checkout", "-q", "a.py")
    git(root, "apply", str(tmp_path / "diff"))
    assert (root / "a.py").read_text() == "x = 2\n"


def test_a_diff_too_large_to_keep_is_left_out_but_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n"})
    (root / "a.py").write_text("x = 2\n" * 100)
    monkeypatch.setattr(_origin, "MAX_DIFF_BYTES", 50)

    origin = read_origin(root)

    assert (origin.dirty, origin.dirty_diff) == (True, None)


def test_a_project_inside_a_repository_knows_its_folder(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "repo", {"services/bot/refinery.toml": "", "a.py": ""})

    origin = read_origin(root / "services" / "bot")

    assert origin.root == str(root.resolve())
    assert origin.folder == "services/bot"


def test_without_a_repository_nothing_is_claimed(tmp_path: Path) -> None:
    assert read_origin(tmp_path).commit is None
    assert read_origin(tmp_path).dirty is None


def test_a_repository_without_commits_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    assert read_origin(tmp_path).commit is None


def test_without_git_the_project_is_still_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": ""})
    monkeypatch.setenv("PATH", str(tmp_path))

    origin = read_origin(root)

    assert (origin.root, origin.commit) == (str(root.resolve()), None)


def test_programs_named_in_the_repository_do_not_run(tmp_path: Path) -> None:
    root = make_repository(
        tmp_path / "repo", {"a.py": "x = 1\n", ".gitattributes": "*.py diff=x\n"}
    )
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path / 'sprung'}\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.command", "diff.x.textconv"):
        git(root, "config", name, str(trap))
    (root / "a.py").write_text("x = 2\n")

    origin = read_origin(root)

    assert origin.dirty_diff
    assert not (tmp_path / "sprung").exists()


def test_the_reader_reads_once_and_answers_every_time(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n"})
    reader = OriginReader(root)

    first = reader.get()
    (root / "a.py").write_text("x = 2\n")

    assert reader.get() is first
    assert first.dirty is False
    reader.after_fork()
    assert reader.get() is first


def test_a_process_that_ends_does_not_wait_for_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n"})
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")

    def hurried_s(_: int) -> float:
        reader = OriginReader(root)
        reader.begin()
        started = time.monotonic()
        reader.hurry()
        assert reader.get().commit is None
        return time.monotonic() - started

    assert soonest(hurried_s, 1) < 1


def test_an_entry_point_carries_code_version_and_argument(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "repo", {"a.py": "x = 1\n"})

    point = entry_point(Entry("callable", "a:f", {"q": 1}), read_origin(root))

    assert (point.kind, point.target, point.argument) == ("callable", "a:f", {"q": 1})
    assert point.repository == str(root.resolve())
    assert point.commit == git(root, "rev-parse", "HEAD").strip()


def test_the_command_line_is_quoted_for_a_shell() -> None:
    entry = _origin.command_line()

    assert entry.kind == "command"
    assert shlex.split(entry.target) == sys.orig_argv
