"""The paths of a commit, as `git ls-tree` lists them."""

import os
from dataclasses import dataclass

REGULAR, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"
"""File modes git knows."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of a commit."""

    mode: str
    """`REGULAR`, `EXECUTABLE`, `SYMLINK` or `SUBMODULE`."""
    blob: str
    """Object name of the content."""


def parse_tree(listed: bytes) -> dict[str, TreeEntry]:
    """Entries of the output of `git ls-tree -r -z`, by path in git's order."""
    found = {}
    for line in listed.split(b"\0"):
        head, _, path = line.partition(b"\t")
        if path:
            mode, _, blob = head.decode("ascii").split(" ")
            found[os.fsdecode(path)] = TreeEntry(mode, blob)
    return found
