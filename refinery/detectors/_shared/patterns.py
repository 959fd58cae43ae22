"""Patterns on untrusted text: RE2 only (linear time), on bounded pieces of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

MAX_TEXT = 100_000
"""Characters of one text that are searched; chosen by us, longer texts are cut."""
MAX_HITS = 200
"""Hits in one text that are looked at."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a pattern fits."""

    text: str
    start: int
    """Offset in characters."""
    groups: tuple[str, ...]
    """Groups in order, empty where a group did not take part."""

    @property
    def end(self) -> int:
        """Offset behind the last character."""
        return self.start + len(self.text)


@cache
def _compiled(pattern: str) -> Any:
    import re2

    return re2.compile(pattern)


def readable(text: str) -> str:
    """The part of a text that is searched, lone surrogates replaced by `?`, offsets kept."""
    cut = text[:MAX_TEXT]
    try:
        cut.encode("utf-8")
    except UnicodeEncodeError:
        return cut.encode("utf-8", "replace").decode("utf-8")
    return cut


def find_all(pattern: str, text: str) -> Iterator[Hit]:
    """Hits of an RE2 pattern, in order, not overlapping, at most `MAX_HITS`."""
    for count, match in enumerate(_compiled(pattern).finditer(readable(text))):
        if count == MAX_HITS:
            return
        yield Hit(match.group(0), match.start(), tuple(g or "" for g in match.groups()))


def find(pattern: str, text: str) -> Hit | None:
    """The first hit of an RE2 pattern; None when there is none."""
    return next(find_all(pattern, text), None)
