"""What a change of files may affect."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Impact:
    """Files that have to do with the changed ones; paths relative to the root, sorted."""

    importers: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()


def impact(root: Path, paths: Sequence[str]) -> Impact:
    """Files a change of `paths` may affect."""
    raise NotImplementedError
