"""One change of the repository: prepared in private, then made by one move of a ref.

Until the ref moves nothing of the user's is touched. From then on the journal holds all that is
needed to finish, so a restart finishes (`recovery`), and an error in this process takes all back.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refinery import clock
from refinery.codebase import index, journal, locks
from refinery.codebase.file_plan import Place, PlannedFile, plan_files
from refinery.codebase.git import GitError
from refinery.codebase.journal import Entry
from refinery.codebase.merging import Join, merge_lines
from refinery.codebase.objects import (
    file_modes,
    identity,
    write_blob,
    write_commit,
    write_tree,
)
from refinery.codebase.repository import Repository
from refinery.codebase.worktree import check_path, read_file, remove_file, replace_file
from refinery.errors import InputError, RefineryError, RefusedError
from refinery.model.patch import FileChange


@dataclass(frozen=True, slots=True)
class Target:
    """The ref a commit goes to."""

    ref: str
    """Full name of a branch, or `HEAD` when it is detached."""
    old: str
    """Commit it is at; zeros when it does not exist yet."""
    parent: str
    """Parent of the new commit."""
    touches_tree: bool
    """Whether the work tree follows."""
    touches_index: bool = True
    """Whether the index does; if not, the work tree holds the change uncommitted."""


@dataclass(frozen=True, slots=True)
class Request:
    """A commit to make."""

    changes: tuple[FileChange, ...]
    message: str
    target: Target
    run_hooks: bool = False
    join: Join = merge_lines
    """How the change is made in a staged or a work version that others edited."""
    who: Mapping[str, str] | None = None
    """Author, committer and dates, as `objects.identity` gives them; None: the user, now."""


def find_target(repository: Repository, branch: str | None, base: str) -> Target:
    """The ref for a change made on commit `base`.

    Raises:
        InputError: the ref has moved on since, or `branch` is no valid name or is checked out in
            another work tree.
    """
    git, current = repository.git, repository.branch()
    is_here = branch is None or branch == current
    if is_here:
        ref, old = f"refs/heads/{current}" if current else "HEAD", repository.head_commit()
    else:
        ref = f"refs/heads/{branch}"
        _check_branch_name(repository, branch or "")
        if f"branch {ref}" in git.text("worktree", "list", "--porcelain").splitlines():
            raise InputError(f"branch {branch} is checked out in another work tree")
        old = git.text("rev-parse", "--verify", "--quiet", ref, ok=(0, 1)) or "0" * len(base)
    if old not in (base, "0" * len(base)):
        raise InputError(
            f"{ref.removeprefix('refs/heads/')} has moved from {base[:12]} to {old[:12]} since "
            "the patch was made",
            hint="plan the patch again on the present commit",
        )
    return Target(ref, old, base, touches_tree=is_here)


def find_kept(repository: Repository, ref: str, base: str) -> Target:
    """A ref that is no branch, for a change of the work tree alone.

    Args:
        repository: whose HEAD `base` must be while the ref does not exist.
        ref: its full name.
        base: commit it is at, or is to be made on.

    Raises:
        InputError: HEAD has moved on since.
    """
    zeros = "0" * len(base)
    old = repository.git.text("rev-parse", "--verify", "--quiet", ref, ok=(0, 1)) or zeros
    if old == zeros and repository.head_commit() != base:
        raise InputError(
            f"HEAD has moved from {base[:12]} since the patch was made",
            hint="plan the patch again on the present commit",
        )
    return Target(ref, old, base, touches_tree=True, touches_index=False)


def _check_branch_name(repository: Repository, branch: str) -> None:
    try:
        repository.git.run("check-ref-format", f"refs/heads/{branch}")
    except GitError as error:
        raise InputError(f"{branch!r} is no valid branch name") from error
    if branch.startswith("-"):
        raise InputError(f"{branch!r} is no valid branch name")


def perform(repository: Repository, request: Request, journal_folder: Path) -> str:
    """Make the commit and bring index and work tree along; returns its hash.

    The caller holds the lock of the journal.

    Raises:
        InputError: the repository is busy, changed meanwhile, or cannot be written.
        RefusedError: a path is not ours to change, or uncommitted work stands in the way.
    """
    git = repository.git
    git.forget_settings()
    _check_paths(repository, [change.path for change in request.changes])
    who = request.who or identity(git)
    folder = journal.new_folder(journal_folder)
    try:
        with _clear_errors():
            entry, files = _prepare(repository, request, folder, who)
            locks.wait_until_free(git, entry.ref)
            journal.begin(folder, entry)
    except BaseException:
        journal.finish(folder)
        raise
    try:
        _move_ref(repository, entry.ref, (entry.old, entry.new), (who, request.message))
    except RefineryError as error:
        if not _was_moved(repository, entry, folder, error):
            journal.finish(folder)
            raise
    try:
        with _clear_errors():
            _bring_along(repository, entry, files, folder)
    except RefineryError:
        _take_back(repository, entry, files, folder, who)
        raise
    journal.finish(folder)
    return entry.new


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Say what the disk refused."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {error.filename or 'the repository'}: {error.strerror}",
            hint="nothing was changed; check space and permissions",
        ) from error


def _check_paths(repository: Repository, paths: Sequence[str]) -> None:
    for path in paths:
        check_path(path)
    if filtered := repository.filtered_paths(list(paths)):
        raise RefusedError(
            f"{', '.join(sorted(filtered))}: kept behind a filter (LFS, git-crypt)",
            hint="only git with that filter can write it; make this change by hand",
        )


def _prepare(
    repository: Repository, request: Request, folder: Path, who: Mapping[str, str]
) -> tuple[Entry, list[PlannedFile]]:
    """Write the objects and the images of the files; nothing of the user's changes."""
    git, target = repository.git, request.target
    modes = file_modes(repository, request.changes, target.parent)
    blobs = {
        change.path: (
            modes[change.path],
            None if change.after is None else write_blob(git, change.after),
        )
        for change in request.changes
    }
    files = []
    if target.touches_tree:
        place = Place(target.parent, request.join, has_index=target.touches_index)
        files = plan_files(repository, request.changes, blobs, place)
    tree = write_tree(git, target.parent, blobs, folder / "index")
    if request.run_hooks:
        from refinery.codebase.hooks import run_before_commit

        run_before_commit(repository, tree, request.message, folder / "index")
    new = write_commit(git, tree, target.parent, request.message, who)
    for number, file in enumerate(files):
        _write_images(folder, number, file)
    steps = tuple(file.step for file in files)
    root = str(git.root)
    return Entry(folder.name, root, target.ref, target.old, new, clock.now_ns(), steps), files


def _write_images(folder: Path, number: int, file: PlannedFile) -> None:
    if file.now is not None:
        journal.write_synced(folder / f"before-{number}", file.now.content, file.now.mode)
    if file.after is not None:
        new_mode = journal.default_mode(is_executable=file.is_executable)
        mode = file.now.mode if file.now else new_mode
        journal.write_synced(folder / f"after-{number}", file.after, mode)


def _move_ref(
    repository: Repository, ref: str, commits: tuple[str, str], note: tuple[Mapping[str, str], str]
) -> None:
    """Move a ref from one commit to another, only if it is still at the first."""
    (old, new), (who, message) = commits, note
    subject = message.strip().partition("\n")[0]
    command = ["update-ref", "--no-deref", "-m", f"refinery: {subject}", ref, new, old]
    if set(new) == {"0"}:
        command = ["update-ref", "--no-deref", "-d", ref, old]
    try:
        repository.git.run(*command, extra=who)
    except GitError as error:
        raise InputError(
            f"{ref.removeprefix('refs/heads/')} cannot be moved: {error.stderr.strip()[:200]}",
            hint="something else changed the repository in this moment; try again",
        ) from error


def _was_moved(repository: Repository, entry: Entry, folder: Path, error: RefineryError) -> bool:
    """Whether a ref update that failed was stopped behind its last step; tidies up after it."""
    if not (isinstance(error.__cause__, GitError) and error.__cause__.was_stopped):
        return False
    git = repository.git
    locks.remove_ours(git, entry, folder / "entry.json", index.copy_name(git, entry.entry_id))
    now = git.text("rev-parse", "--verify", "--quiet", entry.ref, ok=(0, 1))
    return now == entry.new


def _bring_along(
    repository: Repository, entry: Entry, files: Sequence[PlannedFile], folder: Path
) -> None:
    for number, file in enumerate(files):
        if file.after is None:
            remove_file(repository.root, file.step.path, file.now)
        elif file.step.before != file.step.after:
            image = folder / f"after-{number}"
            replace_file(repository.root, file.step.path, image, file.now)
    if any(step.index_before != step.index_after for step in entry.steps):
        try:
            index.install(repository.git, entry.steps, entry.entry_id)
        finally:
            index.copy_name(repository.git, entry.entry_id).unlink(missing_ok=True)


def _take_back(
    repository: Repository,
    entry: Entry,
    files: Sequence[PlannedFile],
    folder: Path,
    who: Mapping[str, str],
) -> None:
    """Undo what `_bring_along` did; when that fails too the journal is kept for a restart."""
    for number, file in enumerate(files):
        now = read_file(repository.root, file.step.path)
        if journal.digest(now.content if now else None) != file.step.after:
            continue
        if file.now is None:
            remove_file(repository.root, file.step.path, now)
        elif file.step.before != file.step.after:
            replace_file(repository.root, file.step.path, folder / f"before-{number}", now)
    _move_ref(repository, entry.ref, (entry.new, entry.old), (who, "take back a change"))
    journal.finish(folder)
