"""Writes blobs, trees and commits without the user's index, work tree or programs."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from refinery.codebase.git import Git
from refinery.codebase.repository import Repository
from refinery.codebase.tree import EXECUTABLE, REGULAR, SUBMODULE, SYMLINK
from refinery.errors import InputError, RefusedError
from refinery.model.patch import FileChange


def write_blob(git: Git, content: bytes) -> str:
    """Store bytes as they are; returns the object's name."""
    return git.run("hash-object", "-w", "--stdin", "--no-filters", stdin=content).decode().strip()


def identity(git: Git) -> dict[str, str]:
    """Author and committer of the user, as environment variables.

    Raises:
        InputError: the user has not told git a name or an address.
    """
    found: dict[str, str] = {}
    for role in ("AUTHOR", "COMMITTER"):
        for part in ("NAME", "EMAIL"):
            values = [
                os.environ.get(f"GIT_{role}_{part}", ""),
                *git.user_values(f"{role.lower()}.{part.lower()}")[-1:],
                *git.user_values(f"user.{part.lower()}")[-1:],
            ]
            value = next((one.strip() for one in values if one.strip()), "")
            if not value:
                raise InputError(
                    f"git does not know your {part.lower()}",
                    hint=f"git config --global user.{part.lower()} 'you'",
                )
            found[f"GIT_{role}_{part}"] = value
    return found


def dated(who: Mapping[str, str], created_ns: int) -> dict[str, str]:
    """Author and committer with a moment, in the local time zone."""
    seconds = created_ns // 10**9
    moment = f"@{seconds} {time.strftime('%z', time.localtime(seconds))}"
    return {**who, "GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}


def signed_text(git: Git, message: str, who: Mapping[str, str]) -> str:
    """What a commit object says beside its tree and its parent: who, when and the message.

    Args:
        git: the repository.
        message: as given to `write_commit`.
        who: `dated`.
    """
    author = git.text("var", "GIT_AUTHOR_IDENT", extra=who)
    committer = git.text("var", "GIT_COMMITTER_IDENT", extra=who)
    return f"author {author}\ncommitter {committer}\n\n{_message_text(message)}"


def _message_text(message: str) -> str:
    return message.replace("\0", "").strip() + "\n"


def file_modes(
    repository: Repository, changes: Sequence[FileChange], commit: str
) -> dict[str, str]:
    """Git mode of every changed path, after checking that `before` is what the commit holds.

    Raises:
        InputError: a file of the commit is not as the change says.
        RefusedError: a path is a symlink or a submodule, or stands below one.
    """
    tree = repository.tree(commit)
    folders = {path for path, entry in tree.items() if entry.mode in (SYMLINK, SUBMODULE)}
    modes = {}
    for change in changes:
        above = [str(parent) for parent in Path(change.path).parents]
        if change.path in folders or folders.intersection(above):
            raise RefusedError(f"{change.path} is a symlink or in a submodule")
        if repository.read(change.path, commit) != change.before:
            raise InputError(
                f"{change.path} is not as it was when the patch was made", hint="plan it again"
            )
        entry = tree.get(change.path)
        modes[change.path] = EXECUTABLE if entry and entry.mode == EXECUTABLE else REGULAR
    return modes


def write_tree(
    git: Git, base: str, blobs: Mapping[str, tuple[str, str | None]], index: Path
) -> str:
    """The tree of a commit with some paths changed.

    Args:
        git: the repository.
        base: the commit to start from.
        blobs: mode and blob by path; blob None removes the path.
        index: where the private index is made; a file that does not exist.
    """
    private = {"GIT_INDEX_FILE": str(index)}
    git.run("read-tree", base, extra=private)
    lines = []
    for path, (mode, blob) in blobs.items():
        entry = f"{mode} {blob}" if blob else f"0 {'0' * len(base)}"
        lines.append(f"{entry}\t".encode() + os.fsencode(path) + b"\0")
    git.run("update-index", "-z", "--index-info", stdin=b"".join(lines), extra=private)
    return git.run("write-tree", extra=private).decode().strip()


def write_commit(git: Git, tree: str, parent: str, message: str, who: Mapping[str, str]) -> str:
    """A commit object; no ref names it yet."""
    text = _message_text(message)
    return (
        git.run(
            "commit-tree", tree, "-p", parent, stdin=text.encode("utf-8", "replace"), extra=who
        )
        .decode()
        .strip()
    )


def as_checked_out(git: Git, path: str, blob: str) -> bytes:
    """A blob as git would write it to the work tree: end-of-line conversion, no filter."""
    return git.run("cat-file", "--filters", f"--path={path}", blob)
