"""Plans edits: from typed operations to the exact bytes of a patch."""

from collections.abc import Sequence

from refinery.codebase.repository import Repository
from refinery.model.patch import Edit, Patch
from refinery.model.trace import Json


def plan(repository: Repository, edits: Sequence[Edit], commit: str = "HEAD") -> Patch:
    """The patch the edits lead to."""
    raise NotImplementedError


def describe_kinds() -> dict[str, Json]:
    """JSON schema of the arguments of every kind of edit, by kind."""
    raise NotImplementedError
