"""Commits proven patches, lists them, and takes them back."""

from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.model.patch import Patch
from refinery.model.verdict import Change


def commit_change(
    repository: Repository,
    patch: Patch,
    *,
    trace_id: str,
    title: str,
    body: str,
    home: Path,
    branch: str | None = None,
) -> Change:
    """Commit a patch and write it to the ledger."""
    raise NotImplementedError


def history(home: Path) -> list[Change]:
    """All changes, newest first."""
    raise NotImplementedError


def rollback(repository: Repository, home: Path, change_id: str = "latest") -> Change:
    """Take a change back."""
    raise NotImplementedError
