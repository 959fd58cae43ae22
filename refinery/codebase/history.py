"""Reads the user's history: lines of commits, what one changed, where a file began."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refinery.codebase.git import GitError
from refinery.codebase.repository import Repository
from refinery.errors import InputError

MAX_COMMITS = 100_000
"""Most commits of a line that are read; chosen by us."""
_MAX_STAT_LINES = 40


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit."""

    sha: str
    parents: tuple[str, ...]
    author: str
    date: str
    """When it was written, ISO 8601 with its own zone."""
    subject: str

    @property
    def is_merge(self) -> bool:
        """Whether it joins several lines."""
        return len(self.parents) > 1


def commit(repository: Repository, sha: str) -> Commit:
    """What is known of a commit, without its changes."""
    form = "--format=%H%x00%P%x00%an%x00%aI%x00%s"
    told = repository.git.text("show", "--no-patch", "--no-show-signature", form, sha, "--")
    name, parents, author, date, subject = told.split("\x00", 4)
    return Commit(name, tuple(parents.split()), author, date, subject)


def line(repository: Repository, good: str, bad: str) -> list[str]:
    """Commits after `good` up to and with `bad`, oldest first, along first parents.

    What was merged from the side counts as its merge.

    Raises:
        InputError: `good` is no ancestor of `bad`.
    """
    git = repository.git
    try:
        git.run("merge-base", "--is-ancestor", good, bad)
    except GitError as error:
        raise InputError(
            f"{good[:12]} is no ancestor of {bad[:12]}",
            hint="name two commits of one line with --good and --bad",
        ) from error
    listed = git.text("rev-list", "--first-parent", f"--max-count={MAX_COMMITS}", bad, f"^{good}")
    return listed.split()[::-1]


def side_line(repository: Repository, main: str, tip: str) -> list[str]:
    """Commits of a merged line that the main line does not have, oldest first."""
    git = repository.git
    listed = git.text("rev-list", "--first-parent", f"--max-count={MAX_COMMITS}", tip, f"^{main}")
    return listed.split()[::-1]


def beginning(repository: Repository, bad: str, paths: Sequence[str]) -> str | None:
    """The newest commit of the line that added one of the paths; None when none did."""
    if not paths:
        return None
    listed = repository.git.text(
        *("log", "--first-parent", "-m", "--diff-filter=A", "--no-renames", "--format=%H"),
        *("--max-count=1", "--no-show-signature", "--no-ext-diff", "--no-textconv", bad, "--"),
        *paths,
    )
    return listed.split("\n", 1)[0].strip() or None


def changed_paths(repository: Repository, one: str, other: str) -> list[str]:
    """Paths that two commits have in different states, in order."""
    told = repository.git.run(
        *(
            "diff-tree",
            "-r",
            "-z",
            "--name-only",
            "--no-renames",
            "--no-ext-diff",
            one,
            other,
            "--",
        )
    )
    return [path for path in told.decode("utf-8", "surrogateescape").split("\x00") if path]


def stat(repository: Repository, sha: str) -> str:
    """What a commit changed, a line a file, as `git diff --stat` writes it."""
    known = commit(repository, sha)
    base = known.parents[0] if known.parents else _EMPTY_TREE
    told = repository.git.text(
        *("diff-tree", "-r", "--stat=100", "--no-renames", "--no-ext-diff", "--no-textconv"),
        *(base, sha, "--"),
    )
    return "\n".join(_cut(told.splitlines()))


def _cut(lines: list[str]) -> Iterator[str]:
    yield from lines[:_MAX_STAT_LINES]
    if len(lines) > _MAX_STAT_LINES:
        yield f" … and {len(lines) - _MAX_STAT_LINES} lines more"


_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The tree without files, which git knows in every SHA-1 repository."""
