"""Finishes or drops what a killed process left in the journal."""

from dataclasses import replace
from pathlib import Path

from refinery.codebase import index, journal, locks
from refinery.codebase.git import GitError
from refinery.codebase.journal import Entry, Step
from refinery.codebase.repository import Repository
from refinery.codebase.worktree import read_file, remove_file, replace_file
from refinery.errors import RefineryError

KEPT_REFS = "refs/refinery/"
"""Where commits of changes are kept that are in the work tree alone."""


def recover_all(repository: Repository, journal_folder: Path) -> list[str]:
    """Settle every entry of this repository; the caller holds the lock of the journal.

    Returns:
        What was found and done, one sentence an item; empty when there was nothing.
    """
    said = []
    for folder, entry in journal.unfinished(journal_folder):
        if entry.root != str(repository.root):
            said.append(f"left an unfinished change of {entry.root} for a run there")
            continue
        said += _settle(repository, folder, entry)
    return said


def _settle(repository: Repository, folder: Path, entry: Entry) -> list[str]:
    git = repository.git
    copy = index.copy_name(git, entry.entry_id)
    said = locks.remove_ours(git, entry, folder / "entry.json", copy)
    copy.unlink(missing_ok=True)
    copy.with_name(copy.name + ".lock").unlink(missing_ok=True)
    if not _is_in(repository, entry):
        journal.finish(folder)
        return [*said, f"a change was stopped before it was made ({entry.new[:12]}): dropped"]
    wanted = [
        (number, step)
        for number, step in enumerate(entry.steps)
        if _is_still_wanted(repository, entry, step)
    ]
    for number, step in wanted:
        said += _finish_file(repository, folder, number, step)
    steps = _index_steps(repository, [step for _, step in wanted])
    if steps:
        index.install(git, steps, entry.entry_id)
    journal.finish(folder)
    return [*said, f"commit {entry.new[:12]} was stopped halfway: its files are now in place"]


def _is_in(repository: Repository, entry: Entry) -> bool:
    """Whether the ref holds the commit."""
    try:
        repository.git.run("merge-base", "--is-ancestor", entry.new, entry.ref)
    except GitError:
        return False
    return True


def _is_still_wanted(repository: Repository, entry: Entry, step: Step) -> bool:
    """Whether HEAD has the file as the commit made it; later commits may have changed it.

    A commit that is kept outside the branches is only written to the work tree: HEAD never has it.
    """
    is_kept = entry.ref.startswith(KEPT_REFS)
    head = repository.tree(entry.ref if is_kept else repository.head_commit()).get(step.path)
    return head == repository.tree(entry.new).get(step.path)


def _finish_file(repository: Repository, folder: Path, number: int, step: Step) -> list[str]:
    try:
        now = read_file(repository.root, step.path)
        found = journal.digest(now.content if now else None)
        if found == step.after:
            return []
        if found != step.before:
            return [f"left {step.path} as it is: it was changed since"]
        prepared = folder / f"after-{number}"
        if step.after is not None and journal.digest(prepared.read_bytes()) != step.after:
            return [f"left {step.path} as it is: its copy in the journal is damaged"]
        if step.after is None:
            remove_file(repository.root, step.path, now)
        else:
            replace_file(repository.root, step.path, prepared, now)
    except (RefineryError, OSError) as error:
        return [f"left {step.path} as it is: {error}"]
    return [f"put {step.path} in place"]


def _index_steps(repository: Repository, steps: list[Step]) -> list[Step]:
    """The steps whose index entry is still the old one."""
    staged = index.entries(repository.git, [step.path for step in steps]) if steps else {}
    found = []
    for step in steps:
        entry = staged.get(step.path)
        now = str(entry) if entry else None
        if now == step.index_before and now != step.index_after:
            found.append(replace(step, index_before=now))
    return found
