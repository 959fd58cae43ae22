"""Commits a patch, takes it back, and mends what a killed process left."""

from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.model.patch import Patch


def apply(
    repository: Repository,
    patch: Patch,
    message: str,
    journal: Path,
    *,
    branch: str | None = None,
    run_hooks: bool = False,
) -> str:
    """Commit the patch and return the commit's hash."""
    raise NotImplementedError


def revert(
    repository: Repository, commit: str, message: str, journal: Path, *, branch: str | None = None
) -> str:
    """Take one commit back as a new commit and return its hash."""
    raise NotImplementedError


def recover(repository: Repository, journal: Path) -> list[str]:
    """Finish or drop what a killed process left; says what was found and mended."""
    raise NotImplementedError
