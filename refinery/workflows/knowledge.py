"""The knowledge base for people: what is in it, what answers a question, and their own texts."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from refinery.errors import InputError, NotFoundError
from refinery.knowledge.passages import Passage
from refinery.workflows.wiring import Workspace, open_library

ENDINGS = (".md", ".markdown", ".txt", ".rst")
"""Files of a folder that are added; a file named itself may have any ending."""


@dataclass(frozen=True, slots=True)
class Guide:
    """One guide, or one text of the user's."""

    name: str
    origin: str
    """`guide` (ships with Refinery), `user` or `lesson`."""
    passages: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and how it searched."""

    passages: tuple[Passage, ...]
    embedder: str
    arms: tuple[str, ...]
    """`lexical`, and `vector` when the vectors could be used."""
    notes: tuple[str, ...]


def guides(workspace: Workspace) -> list[Guide]:
    """Everything the knowledge base holds, by name."""
    with open_library(workspace) as library:
        counted = Counter((p.guide, p.origin) for p in library.passages())
    return [Guide(name, origin, count) for (name, origin), count in sorted(counted.items())]


def search(workspace: Workspace, query: str, k: int) -> Found:
    """The passages that fit a query best.

    Raises:
        NotFoundError: none shares a word or meaning with it.
    """
    with open_library(workspace) as library:
        passages = tuple(library.search(query, k))
        found = Found(passages, library.embedder_name, library.arms, tuple(library.notes))
    if not passages:
        raise NotFoundError(f"nothing fits {query!r}", hint="try other words")
    return found


def add(workspace: Workspace, source: Path, name: str | None) -> tuple[int, list[str]]:
    """Add a file, or every text of a folder; returns the number of new passages and the names.

    Raises:
        InputError: there is no such file, nothing in it, or it is no text.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist", hint="name a text file or a folder")
    files = sorted(p for p in source.rglob("*") if p.suffix in ENDINGS) if source.is_dir() else []
    if source.is_dir() and not files:
        raise InputError(f"{source} holds no {', '.join(ENDINGS)}", hint="name the file itself")
    if name and source.is_dir():
        raise InputError("--name goes with one file", hint="leave it out for a folder")
    with open_library(workspace) as library:
        if not files:
            return library.add(source, name), [name or source.stem]
        names = [file.relative_to(source).with_suffix("").as_posix() for file in files]
        new = sum(library.add(file, one) for file, one in zip(files, names, strict=True))
        return new, names


def remove(workspace: Workspace, name: str) -> int:
    """Take a text of the user's out; returns the number of passages removed.

    Raises:
        NotFoundError: the user added none of that name.
    """
    with open_library(workspace) as library:
        removed = library.remove(name)
    if not removed:
        raise NotFoundError(
            f"you added no text named {name!r}", hint="`refinery knowledge list` shows the names"
        )
    return removed


def rebuild(workspace: Workspace) -> tuple[int, str]:
    """Build the vectors anew; returns the number of passages and the embedder's name."""
    with open_library(workspace) as library:
        return library.rebuild(), library.embedder_name
