"""Patches: exact bytes, their unified diff, and the digest an approval is bound to."""

from collections.abc import Sequence
from difflib import unified_diff
from hashlib import sha256

from refinery.model.patch import Edit, FileChange, Patch


def build(edits: Sequence[Edit], changes: Sequence[FileChange], base_commit: str) -> Patch:
    """A patch of changes on a commit, ordered by path."""
    ordered = tuple(sorted(changes, key=lambda change: change.path))
    diff = "".join(diff_of(change) for change in ordered)
    digest = sha256(f"{base_commit}\n{diff}".encode("utf-8", "surrogateescape")).hexdigest()
    return Patch(tuple(edits), ordered, base_commit, diff, digest)


def diff_of(change: FileChange) -> str:
    """Unified diff of one file with three lines of context, as `git apply` reads it.

    Lines end at line feeds only; bytes that are no UTF-8 are kept as surrogates.
    """
    old, new = _lines(change.before), _lines(change.after)
    before = "/dev/null" if change.before is None else f"a/{change.path}"
    after = "/dev/null" if change.after is None else f"b/{change.path}"
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in unified_diff(old, new, before, after)
    )


def _lines(content: bytes | None) -> list[str]:
    text = (content or b"").decode("utf-8", "surrogateescape")
    pieces = text.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
