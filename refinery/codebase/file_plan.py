"""Decides what becomes of each touched file, so that uncommitted work is kept.

A file exists three times: in the commit, in the index (staged) and in the work tree. A change of
the commit is made in each of the other two as well, by a three-way merge when they differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from refinery.codebase import journal
from refinery.codebase.git import Git
from refinery.codebase.index import IndexEntry, entries
from refinery.codebase.journal import Step
from refinery.codebase.merging import Join, merge_lines
from refinery.codebase.objects import as_checked_out, write_blob
from refinery.codebase.repository import Repository
from refinery.codebase.worktree import WorkFile, read_file
from refinery.errors import RefusedError
from refinery.model.patch import FileChange


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of the work tree, as it is and as it will be."""

    step: Step
    now: WorkFile | None
    after: bytes | None
    """None removes the file."""
    is_executable: bool
    """Whether a new file is to be executable."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a change is to be made, and how."""

    base: str
    """The commit that holds every `before`."""
    join: Join = merge_lines
    """How the change is made in versions that differ from the committed one."""
    has_index: bool = True
    """Whether the index follows; if not, the change is left uncommitted."""


def plan_files(
    repository: Repository,
    changes: Sequence[FileChange],
    blobs: dict[str, tuple[str, str | None]],
    place: Place,
) -> list[PlannedFile]:
    """What becomes of the changed files in the index and the work tree.

    Args:
        repository: where to.
        changes: the files.
        blobs: mode and new blob by path; blob None removes the path.
        place: what the changes start from.

    Raises:
        RefusedError: uncommitted work touches the same lines, or a file is not ours to change.
    """
    staged = entries(repository.git, [change.path for change in changes])
    base = repository.tree(place.base)
    planned = []
    for change in changes:
        mode, blob = blobs[change.path]
        entry, now = staged.get(change.path), read_file(repository.root, change.path)
        committed = base.get(change.path)
        if blob is None or committed is None or change.before is None:
            old = None if committed is None else committed.blob
            _check_untouched(repository.git, change.path, old, (now, entry), place)
            after = None if blob is None else as_checked_out(repository.git, change.path, blob)
            index_after = f"{mode} {blob}" if blob else None
        else:
            after, index_after = _both(
                repository.git, change, (committed.blob, blob), (now, entry), place
            )
        index_before = str(entry) if entry else None
        step = Step(
            change.path,
            journal.digest(now.content if now else None),
            journal.digest(after),
            index_before,
            index_after if place.has_index else index_before,
        )
        planned.append(PlannedFile(step, now, after, mode.endswith("755")))
    return planned


def _both(
    git: Git,
    change: FileChange,
    blobs: tuple[str, str],
    present: tuple[WorkFile | None, IndexEntry | None],
    place: Place,
) -> tuple[bytes, str | None]:
    """New content of the work file and new index entry of a file that stays."""
    path, (old_blob, new_blob), (now, entry) = change.path, blobs, present
    if now is None or (entry is None and place.has_index):
        what = "deleted" if now is None else "taken out of the index"
        raise RefusedError(f"{path} is {what} but not committed", hint="commit or restore it")
    index_blob = new_blob
    if place.has_index and entry is not None and entry.blob != old_blob:
        kept = git.run("cat-file", "blob", entry.blob)
        versions = (change.before or b"", kept, change.after or b"")
        index_blob = write_blob(git, _checked(place.join(git, path, *versions), path, "staged"))
    base, theirs = as_checked_out(git, path, old_blob), as_checked_out(git, path, new_blob)
    after = _checked(place.join(git, path, base, now.content, theirs), path, "uncommitted")
    return after, f"{entry.mode} {index_blob}" if entry else None


def _checked(joined: bytes | None, path: str, what: str) -> bytes:
    if joined is None:
        raise RefusedError(
            f"your {what} changes of {path} touch the same lines as the patch",
            hint=f"commit or undo your changes of {path}, then try again; nothing was changed",
        )
    return joined


def _check_untouched(
    git: Git,
    path: str,
    old_blob: str | None,
    present: tuple[WorkFile | None, IndexEntry | None],
    place: Place,
) -> None:
    """Refuse to make a file where one is, or to remove one with uncommitted changes."""
    now, entry = present
    if old_blob is None:
        if now is not None or entry is not None:
            raise RefusedError(f"{path} exists but is not committed", hint="move or commit it")
        return
    is_same = now is not None and now.content == as_checked_out(git, path, old_blob)
    is_staged = place.has_index and (entry is None or entry.blob != old_blob)
    if not is_same or is_staged:
        raise RefusedError(
            f"{path} has uncommitted changes and would be removed", hint="commit or undo them"
        )
