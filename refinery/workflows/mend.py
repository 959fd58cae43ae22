"""Mends what `refinery doctor` found, where the mend is small, local and can be undone.

    for mend in mends(examine(folder)):
        if agreed(mend.question):
            mend.carry_out(answers)

Nothing is installed and nothing outside the repository and its `.refinery` folder is written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from refinery import home
from refinery.errors import InputError
from refinery.workflows import setup
from refinery.workflows.doctor import Examination, State

Answers = Callable[[str], str]
"""Asks a person for a word, e.g. `Name`, and returns it."""


@dataclass(frozen=True, slots=True)
class Mend:
    """One thing that can be put right."""

    of: str
    """Name of the check that did not pass."""
    question: str
    """What would be done, as a question."""
    needs_answers: bool
    """Whether a person has to say something besides yes."""
    carry_out: Callable[[Answers], str]
    """Does it and says what was done."""


def mends(found: Sequence[Examination], folder: Path) -> Iterator[Mend]:
    """What can be put right of what was found, in its order.

    Args:
        found: as `doctor.examine` returns it.
        folder: the folder that was examined.
    """
    root = home.project_root(folder) or folder
    for item in found:
        if item.state is State.OK:
            continue
        if item.name == "git identity":
            question = "Set the name and address of commits, for this repository only?"
            yield Mend(item.name, question, True, partial(_name_author, root))
        elif item.name == "private files":
            question = "Let nobody but you read the recorded traces?"
            yield Mend(item.name, question, False, partial(_make_private, home.locate(folder)))
        elif item.name == "entry point" and not (root / setup.FILE_NAME).exists():
            proposal = setup.propose(root)
            if proposal.best:
                question = f"Write {setup.FILE_NAME} with the entry point {proposal.best}?"
                yield Mend(item.name, question, False, partial(_write_settings, proposal))


def _name_author(root: Path, ask: Answers) -> str:
    from refinery.codebase.repository import Repository

    git = Repository.open(root).git
    name, email = ask("Name").strip(), ask("E-mail address").strip()
    if not name or "@" not in email:
        raise InputError("commits need a name and an e-mail address", hint="say both")
    git.run("config", "--local", "user.name", name)
    git.run("config", "--local", "user.email", email)
    return f"commits in {root} are now by {name} <{email}>"


def _make_private(folder: Path, _: Answers) -> str:
    count = 0
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if not path.is_symlink() and mode & 0o077:
            path.chmod(mode & 0o700)
            count += 1
    return f"{count} files and folders in {folder} are now yours alone"


def _write_settings(proposal: setup.Proposal, _: Answers) -> str:
    written = setup.write(proposal, proposal.best)
    return f"written: {', '.join(str(path) for path in written)}"
