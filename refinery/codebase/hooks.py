"""Runs the user's commit hooks, only when asked, and where they can change nothing of theirs.

A hook sees HEAD, an index with the patch and a work tree with the patch, as in `git commit`; but
the work tree is an export and the index a private one. A hook that wants other content than was
approved is a refusal.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from refinery.codebase.export import export
from refinery.codebase.git import GitError
from refinery.codebase.repository import Repository
from refinery.codebase.tree import parse_tree
from refinery.errors import RefusedError


def run_before_commit(repository: Repository, tree: str, message: str, index: Path) -> None:
    """Run `pre-commit` and `commit-msg`.

    Args:
        repository: whose hooks run, with the user's own settings and environment.
        tree: what is about to be committed.
        message: the commit message; a hook may check it, not change it.
        index: the private index that holds `tree`.

    Raises:
        RefusedError: a hook said no, or changed what would be committed.
    """
    git = repository.git
    with TemporaryDirectory(prefix="refinery-hooks-") as folder:
        place = Path(folder, "tree")
        entries = parse_tree(git.run("ls-tree", "-r", "-z", "--full-tree", tree))
        export(git, entries, place, None)
        text = Path(folder, "message")
        text.write_text(message, encoding="utf-8")
        extra = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(place)}
        for hook, arguments in (("pre-commit", ()), ("commit-msg", (str(text),))):
            command = ("hook", "run", "--ignore-missing", hook, "--", *arguments)
            try:
                git.run_as_user(*command, cwd=place, extra=extra)
            except GitError as error:
                raise RefusedError(
                    f"the {hook} hook said no: {error.stderr.strip()[-400:]}",
                    hint="mend what it names, or commit without --run-hooks",
                ) from error
        written = git.run("write-tree", extra={"GIT_INDEX_FILE": str(index)}).decode().strip()
        if written != tree or text.read_text(encoding="utf-8") != message:
            raise RefusedError(
                "a hook changed what would be committed, which is not what was approved",
                hint="commit without --run-hooks, then run the hooks yourself",
            )
