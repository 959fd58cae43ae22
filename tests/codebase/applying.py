"""What the tests of committing share: a small repository and a patch of one line."""

from pathlib import Path

from refinery.codebase.commit import apply
from refinery.codebase.patches import build
from refinery.codebase.repository import Repository
from refinery.model.patch import FileChange, Patch
from tests.kits.repositories import git

BEFORE = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
AFTER = BEFORE.replace("two", "TWO")


def patch_of(folder: Path, *changes: tuple[str, str | None, str | None]) -> Patch:
    head = git(folder, "rev-parse", "HEAD").strip()
    made = [
        FileChange(
            path, a.encode() if a is not None else None, b.encode() if b is not None else None
        )
        for path, a, b in changes
    ]
    return build((), made, head)


def apply_to(folder: Path, journal: Path, after: str = AFTER, **options: object) -> str:
    patch = patch_of(folder, ("agent.py", BEFORE, after))
    return apply(Repository.open(folder), patch, "agent: fix\n\nBody.", journal, **options)  # type: ignore[arg-type]


def assert_whole(folder: Path) -> None:
    git(folder, "fsck", "--full", "--strict")
    assert not list((folder / ".git").glob("*.lock"))
    assert not list((folder / ".git").glob("refinery-*"))
