"""Joins a change with what the user did to the same file meanwhile."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from refinery.codebase.git import Git, GitError
from refinery.codebase.unpicking import Conflict, unpick

Join = Callable[[Git, str, bytes, bytes, bytes], bytes | None]
"""Makes in a file's second version the change from the first to the third; None: it cannot."""


def merge(git: Git, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Three-way merge by lines: both changes from `base` on; None when they touch.

    When `ours` has other line endings than `base` throughout, the change gets those.
    """
    base, theirs = _with_endings_of(ours, base), _with_endings_of(ours, theirs)
    if ours == base:
        return theirs
    if theirs in (base, ours):
        return ours
    if b"\0" in ours + base + theirs:
        return None
    with TemporaryDirectory(prefix="refinery-merge-") as folder:
        names = []
        for name, content in (("ours", ours), ("base", base), ("theirs", theirs)):
            path = Path(folder, name)
            path.write_bytes(content)
            names.append(str(path))
        try:
            return git.run("merge-file", "-p", "--quiet", *names)
        except GitError:
            return None  # it ends with the number of conflicts


def take_back(git: Git, path: str, written: bytes, now: bytes, before: bytes) -> bytes | Conflict:
    """The present content of a file without a change: by lines, else by words."""
    joined = merge(git, written, now, before)
    if joined is not None:
        return joined
    if b"\0" in now + written + before:
        return Conflict(path, "", "", "")
    return unpick(path, _with_endings_of(now, written), _with_endings_of(now, before), now)


def merge_lines(git: Git, path: str, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """`merge`, as a `Join`."""
    del path
    return merge(git, base, ours, theirs)


def merge_or_unpick(git: Git, path: str, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Like `merge`, but by words where lines touch; for undoing a change in a work tree."""
    found = take_back(git, path, base, ours, theirs)
    return None if isinstance(found, Conflict) else found


def remembering(folder: Path) -> Join:
    """Like `merge_or_unpick`, but keeps each version with work of others, for `recalling`.

    Args:
        folder: where the versions are kept; made when needed, private to the user.
    """

    def join(git: Git, path: str, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        joined = merge_or_unpick(git, path, base, ours, theirs)
        if joined is not None and ours not in (base, joined):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = folder / _key(path, joined)
            kept.touch(0o600)
            kept.write_bytes(ours)
        return joined

    return join


def recalling(folder: Path) -> Join:
    """Like `merge_or_unpick`, but a version that nobody touched since is put back as it was."""

    def join(git: Git, path: str, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        kept = folder / _key(path, ours)
        if ours != base and kept.is_file():
            return kept.read_bytes()
        return merge_or_unpick(git, path, base, ours, theirs)

    return join


def _key(path: str, content: bytes) -> str:
    return sha256(os.fsencode(path) + b"\0" + content).hexdigest()


def _with_endings_of(model: bytes, content: bytes) -> bytes:
    if _is_crlf(model) and b"\r" not in content:
        return content.replace(b"\n", b"\r\n")
    if b"\r" not in model and _is_crlf(content):
        return content.replace(b"\r\n", b"\n")
    return content


def _is_crlf(content: bytes) -> bool:
    lines = content.count(b"\n")
    return lines > 0 and content.count(b"\r\n") == lines == content.count(b"\r")
