"""Commits a patch, takes it back, and mends what a killed process left.

Made with a private index, `commit-tree` and a compare-and-swap of the ref; touched files by atomic
rename, from a journal that is on disk before anything of the user's changes. Never a push, a
force, `reset`, `checkout`, `clean` or `stash`.
"""

from collections.abc import Mapping
from pathlib import Path

from refinery.codebase import journal as journals
from refinery.codebase.merging import Join, merge_or_unpick, take_back
from refinery.codebase.patches import build
from refinery.codebase.recovery import KEPT_REFS, recover_all
from refinery.codebase.repository import Repository
from refinery.codebase.transaction import Request, find_kept, find_target, perform
from refinery.codebase.tree import EXECUTABLE, REGULAR
from refinery.codebase.unpicking import Conflict
from refinery.codebase.worktree import read_file
from refinery.errors import ConflictError, InputError, NotFoundError, RefusedError
from refinery.model.patch import FileChange, Patch


def apply(
    repository: Repository,
    patch: Patch,
    message: str,
    journal: Path,
    *,
    branch: str | None = None,
    run_hooks: bool = False,
    kept_as: str | None = None,
    who: Mapping[str, str] | None = None,
) -> str:
    """Commit the patch and return the commit's hash.

    Uncommitted work stays byte for byte; where a touched file has some, the patch is made in the
    committed, the staged and the work version.

    Args:
        repository: at the patch's base commit.
        patch: its digest must be that of its base commit and diff.
        message: commit message; its first line is the subject.
        journal: folder for what a restart needs; made when missing.
        branch: commit there instead, leaving index and work tree alone; made when missing.
        run_hooks: run the repository's pre-commit and commit-msg hooks on a copy.
        kept_as: do not commit: write the work tree alone, and keep the commit, which taking it
            back needs, as `refs/refinery/<kept_as>`, on no branch.
        who: author, committer and dates; None: the user, now.

    Raises:
        InputError: HEAD has moved, git knows no identity, or the repository is busy.
        RefusedError: uncommitted work touches the same lines, a path is behind a filter or a
            symlink, the digest is wrong, or a hook said no. Nothing is changed.
    """
    made = build(patch.edits, patch.changes, patch.base_commit)
    if (made.digest, made.diff) != (patch.digest, patch.diff):
        raise RefusedError("the patch is not the one its digest names", hint="plan it again")
    if not patch.changes:
        raise InputError("the patch changes nothing")
    with journals.locked(journal, repository.git):
        recover_all(repository, journal)
        repository.check_state()
        if kept_as is not None:
            target = find_kept(repository, KEPT_REFS + kept_as, patch.base_commit)
        else:
            target = find_target(repository, branch, patch.base_commit)
        request = Request(patch.changes, message, target, run_hooks, who=who)
        return perform(repository, request, journal)


def revert(
    repository: Repository,
    commit: str,
    message: str,
    journal: Path,
    *,
    branch: str | None = None,
    join: Join = merge_or_unpick,
    kept_as: str | None = None,
) -> str:
    """Take one commit back as a new commit and return its hash.

    What others wrote since stays, also within the same lines; a file that nobody changed since is
    byte for byte what it was.

    Args:
        repository: on the commit's branch, unless `branch` is named.
        commit: any name of it.
        message: of the new commit.
        journal: folder for what a restart needs.
        branch: the branch that holds the commit; None: the current one.
        join: how a staged or a work version with uncommitted edits follows.
        kept_as: the change is in the work tree alone, see `apply`.

    Raises:
        NotFoundError: the branch does not hold the commit, or has it taken back already.
        InputError: as `apply`; or the commit is a merge or the first one.
        ConflictError: the same words were changed since. Nothing is changed: the branch keeps the
            newer version, history the older.
    """
    with journals.locked(journal, repository.git):
        recover_all(repository, journal)
        repository.check_state()
        if kept_as is not None:
            tip = repository.resolve(KEPT_REFS + kept_as)
            target = find_kept(repository, KEPT_REFS + kept_as, tip)
            reverse_in_tree(repository, commit, kept_as, join)
        else:
            tip = repository.resolve(f"refs/heads/{branch}" if branch else "HEAD")
            target = find_target(repository, branch, tip)
        changes = reverse(repository, commit, tip)
        request = Request(changes, message, target, join=join)
        return perform(repository, request, journal)


def reverse(repository: Repository, commit: str, tip: str = "HEAD") -> tuple[FileChange, ...]:
    """The changes that take a commit back on top of another; writes nothing.

    Raises:
        NotFoundError, InputError, RefusedError: as `revert`.
    """
    full, tip = repository.resolve(commit), repository.resolve(tip)
    parents = repository.git.text("rev-list", "--parents", "-n", "1", full).split()[1:]
    if len(parents) != 1:
        raise InputError(f"{commit[:12]} is a merge or the first commit: cannot be taken back")
    if not repository.git.text("rev-list", "-n", "1", full, f"^{tip}") == "":
        raise NotFoundError(f"the branch does not hold commit {commit[:12]}", hint="switch to it")
    before, after = repository.tree(parents[0]), repository.tree(full)
    touched = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    changes = []
    for path in sorted(touched):
        entries = [tree[path] for tree in (before, after) if path in tree]
        if any(entry.mode not in (REGULAR, EXECUTABLE) for entry in entries):
            raise InputError(f"{path} is a symlink or a submodule: cannot be taken back")
        old = repository.read(path, parents[0])
        new, now = repository.read(path, full), repository.read(path, tip)
        restored = _restored(repository, path, (old, new, now))
        if restored != now:
            changes.append(FileChange(path, now, restored))
    if not changes:
        raise NotFoundError(f"commit {commit[:12]} has been taken back already")
    return tuple(changes)


def reverse_in_tree(
    repository: Repository, commit: str, kept_as: str, join: Join = merge_or_unpick
) -> tuple[FileChange, ...]:
    """What taking back a change of the work tree alone does to its files; changes none.

    Raises:
        NotFoundError: the work tree does not hold the change any more.
        InputError, RefusedError: as `revert`.
    """
    found = []
    for change in reverse(repository, commit, KEPT_REFS + kept_as):
        present = read_file(repository.root, change.path)
        now = present.content if present else None
        restored = None
        if change.before is not None and now is not None and change.after is not None:
            restored = join(repository.git, change.path, change.before, now, change.after)
        if restored is None:
            restored = _restored(repository, change.path, (change.after, change.before, now))
        if restored != now:
            found.append(FileChange(change.path, now, restored))
    if not found:
        raise NotFoundError("the work tree does not hold the change any more")
    return tuple(found)


def _restored(
    repository: Repository, path: str, versions: tuple[bytes | None, bytes | None, bytes | None]
) -> bytes | None:
    """What a file becomes: versions are before the commit, after it, and now."""
    old, new, now = versions
    if now in (new, old):
        return old
    if old is None or new is None or now is None:
        raise ConflictError(
            f"{path} was made or removed by the change and edited since",
            hint=f"nothing was changed; compare with: git log -p -- {path}",
        )
    joined = take_back(repository.git, path, new, now, old)
    if isinstance(joined, Conflict):
        raise ConflictError(
            f"{path} was changed again in the same words since, it cannot be taken back alone",
            hint=f"nothing was changed; compare with: git log -p -- {path}",
            versions=(joined.before, joined.written, joined.now),
        )
    return joined


def recover(repository: Repository, journal: Path) -> list[str]:
    """Finish or drop what a killed process left; says what was found and mended.

    Returns:
        One sentence an item; empty when there was nothing.

    Raises:
        InputError: another process holds the journal, or an entry is damaged.
    """
    if not journal.is_dir():
        return []
    with journals.locked(journal, repository.git):
        return recover_all(repository, journal)
