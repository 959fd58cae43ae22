"""Applying, the user's own edits, and taking back, in any order and shape."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.codebase.commit import apply, revert
from refinery.codebase.git import Git
from refinery.codebase.merging import merge
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.errors import RefusedError
from refinery.model.patch import FileChange
from tests.kits.repositories import git, make_repository

LINES = st.lists(
    st.sampled_from(["a", "b", "", "é", "  x", "\ttab", "}", "q" * 30]), min_size=4, max_size=12
)
ENDINGS = st.sampled_from([b"\n", b"\r\n"])


def content_of(lines: list[str], ending: bytes, *, has_end: bool) -> bytes:
    """Numbered lines, so that every line is its own."""
    body = ending.join(f"{n} {line}".encode() for n, line in enumerate(lines))
    return body + (ending if has_end else b"")


def changed(content: bytes, ending: bytes, number: int, text: bytes) -> bytes:
    lines = content.split(ending)
    lines[number] = text
    return ending.join(lines)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Git:
    folder = make_repository(tmp_path_factory.mktemp("merge"), {})
    return Repository.open(folder).git


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES, ENDINGS, st.booleans(), st.data())
def test_changes_of_lines_apart_are_joined_and_of_one_line_are_not(
    runner: Git, lines: list[str], ending: bytes, has_end: bool, data: st.DataObject
) -> None:
    base = content_of(lines, ending, has_end=has_end)
    mine = data.draw(st.integers(0, len(lines) - 1))
    theirs = data.draw(st.integers(0, len(lines) - 1))
    ours, patched = changed(base, ending, mine, b"mine"), changed(base, ending, theirs, b"theirs")

    joined = merge(runner, base, ours, patched)

    if abs(mine - theirs) > 1:
        assert joined == changed(ours, ending, theirs, b"theirs")
        assert merge(runner, patched, joined, base) == ours
    elif mine == theirs:
        assert joined is None
    assert merge(runner, base, base, patched) == patched
    assert merge(runner, base, ours, base) == ours


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES, ENDINGS, st.booleans(), st.booleans(), st.data())
def test_taking_back_leaves_the_users_lines_and_modes(
    lines: list[str], ending: bytes, has_end: bool, is_executable: bool, data: st.DataObject
) -> None:
    before = content_of(lines, ending, has_end=has_end)
    ours = data.draw(st.integers(0, len(lines) - 1))
    users = data.draw(st.none() | st.integers(0, len(lines) - 1))
    is_committed = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_repository(
            Path(temporary, "repo"), {"f.py": "", ".gitattributes": "* -text"}
        )
        path = folder / "f.py"
        path.write_bytes(before)
        path.chmod(0o755 if is_executable else 0o644)
        git(folder, "commit", "-qam", "content")
        repository, journal = Repository.open(folder), Path(temporary, "journal")
        after = changed(before, ending, ours, b"ours")
        patch = build((), (FileChange("f.py", before, after),), repository.head_commit())
        commit = apply(repository, patch, "ours", journal)
        assert path.read_bytes() == after
        now = after if users is None else changed(after, ending, users, b"the user's")
        path.write_bytes(now)
        if is_committed:
            git(folder, "commit", "-q", "--allow-empty", "-am", "user")

        try:
            revert(repository, commit, "back", journal)
        except RefusedError:
            assert users is not None
            assert abs(users - ours) <= 1
            assert path.read_bytes() == now
        else:
            wanted = before if users is None else changed(before, ending, users, b"the user's")
            assert users is None or users != ours
            assert path.read_bytes() == wanted
            assert git(folder, "status", "--porcelain") == (
                "" if users is None or is_committed else " M f.py\n"
            )
        assert os.access(path, os.X_OK) == is_executable
